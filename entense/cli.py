"""The command line: each command is a few lines around a public function."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

import entense as et
from entense.errors import EntenseError, RecipeError, TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_MODULES: dict[str, Any] = {
    "dest": "modules",
    "nargs": "*",
    "default": [],
    "metavar": "MODULE",
    "help": "modules that register ops of your own",
}
_RULES: dict[str, Any] = {
    "nargs": "*",
    "default": [],
    "metavar": "RULE",
    "help": "rules of the optimiser to leave out",
}
_ROOTS: dict[str, Any] = {
    "dest": "roots",
    "nargs": "+",
    "default": [],
    "metavar": "ROOT",
    "help": "read only files below these folders or URLs: for a plan that others made",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments
        The words after ``entense``; without them those of the process.

    Returns
    -------
    0, or 1 after an `EntenseError`, whose one sentence goes to stderr.
    """
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except EntenseError as error:
        print(f"entense: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("entense: stopped; write and repair go on where they were", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Make the parser; each command carries the function that runs it as ``run``."""
    top = argparse.ArgumentParser(
        prog="entense", description="Turns neuroimaging datasets into training data."
    )
    top.add_argument("--version", action="version", version=f"entense {et.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    add = commands.add_parser("demo", help="run the main job on simulated data or on your folder")
    add.add_argument("--data", type=Path, metavar="FOLDER", help="your fMRIPrep outputs")
    add.add_argument("--out", type=Path, help="where to write (./demo, or ./demo-FOLDER)")
    add.add_argument("--atlas", type=Path, metavar="FILE", help="label image, for a connectome")
    add.set_defaults(run=_demo)

    add = commands.add_parser("index", help="say what a folder holds")
    add.add_argument("folder", help="a folder, or a URL")
    add.add_argument("--layout", help="how its files are named; found out where it is not given")
    add.add_argument("--out", type=Path, metavar="FILE.parquet", help="keep the file table")
    add.set_defaults(run=_index)

    add = commands.add_parser("explain", help="show what a plan compiles to")
    add.add_argument("plan", type=Path, metavar="PLAN.parquet")
    add.add_argument("--raw", action="store_true", help="before the optimiser")
    add.add_argument("--without", **_RULES)
    add.add_argument("--fusion", default="greedy", help="how steps are fused into stages")
    add.add_argument("--import", **_MODULES)
    add.add_argument("--root", **_ROOTS)
    add.set_defaults(run=_explain)

    add = commands.add_parser("write", help="compute a plan and write its archive")
    add.add_argument("plan", type=Path, metavar="PLAN.parquet")
    add.add_argument("out", metavar="FOLDER")
    add.add_argument("--format", nargs="+", default=["webdataset"], help="one, or several")
    add.add_argument("--columns", nargs="*", default=[], help="scalars to put into the samples")
    add.add_argument("--shard-size", default="512MB", help="at most, such as 512MB")
    add.add_argument("--shard-records", type=int, metavar="N", help="records a shard, at most")
    add.add_argument("--shard-by", nargs="*", metavar="COLUMN", help="what keeps records together")
    add.add_argument("--shuffle", type=int, metavar="SEED", help="of the records, before the cut")
    add.add_argument("--sharding", default="size", help="size, or one of your own")
    add.add_argument("--disaggregate", choices=["tensor"], help="shards of its own for each tensor")
    add.add_argument(
        "--index", nargs="*", default=[], help="for the readers of dali, wids, energon"
    )
    add.add_argument("--dtype", nargs="*", default=[], metavar="TENSOR=DTYPE")
    add.add_argument("--memory", help="about how much the arrays may take, such as 4GB")
    add.add_argument("--without", **_RULES)
    add.add_argument("--fusion", default="greedy", help="how steps are fused into stages")
    add.add_argument("--import", **_MODULES)
    add.add_argument("--root", **_ROOTS)
    add.add_argument("--on-error", choices=["raise", "skip"], default="raise")
    add.add_argument("--overwrite", action="store_true")
    add.set_defaults(run=_write)
    _add_archive_commands(commands)
    return top


def _add_archive_commands(commands: Any) -> None:
    add = commands.add_parser("info", help="say what an archive holds")
    add.add_argument("archive", help="a folder, or a URL")
    add.add_argument("--json", action="store_true", help="the whole manifest")
    add.set_defaults(run=_info)

    add = commands.add_parser("schema", help="say what the records of an archive have in common")
    add.add_argument("archive", type=Path)
    add.add_argument("--json", action="store_true")
    add.set_defaults(run=_schema)

    add = commands.add_parser("verify", help="check every byte of an archive; fails on damage")
    add.add_argument("archive", help="a folder, or a URL")
    add.add_argument("--json", action="store_true", help="each damaged file and its records")
    add.set_defaults(run=_verify)

    add = commands.add_parser("repair", help="write what is damaged again, and nothing else")
    add.add_argument("plan", type=Path, metavar="PLAN.parquet")
    add.add_argument("archive", type=Path)
    add.add_argument("--memory", help="about how much the arrays may take, such as 4GB")
    add.add_argument("--import", **_MODULES)
    add.add_argument("--root", **_ROOTS)
    add.set_defaults(run=_repair)


def _demo(options: argparse.Namespace) -> None:
    from entense.demo.job import demo

    name = f"demo-{options.data.resolve().name}" if options.data else "demo"
    demo(options.data, out=options.out or Path(name), atlas=options.atlas)


def _index(options: argparse.Namespace) -> None:
    files = et.scan(options.folder, layout=options.layout).collect()
    kinds = files.group_by("suffix", "desc", "space", "task", "extension").len("files")
    with pl.Config(tbl_rows=-1, tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True):
        print(kinds.sort(pl.all()))
    subjects = files["subject"].drop_nulls().n_unique()
    print(f"{files.height} files of {subjects} subjects")
    if options.out:
        files.write_parquet(options.out)
        print(f"the file table is in {options.out}")


def _explain(options: argparse.Namespace) -> None:
    _import(options.modules)
    how = {"without": options.without, "fusion": options.fusion}
    print(et.explain(_plan(options), optimized=not options.raw, **how))


def _write(options: argparse.Namespace) -> None:
    _import(options.modules)
    archive = et.write(
        _plan(options),
        options.out,
        format=options.format,
        columns=options.columns,
        shard_size=options.shard_size,
        shard_records=options.shard_records,
        shard_by=options.shard_by,
        shuffle=options.shuffle,
        sharding=options.sharding,
        disaggregate=options.disaggregate,
        dtype=_dtypes(options.dtype),
        index=options.index,
        on_error=options.on_error,
        memory=options.memory,
        without=options.without,
        fusion=options.fusion,
        overwrite=options.overwrite,
    )
    print(archive)


def _info(options: argparse.Namespace) -> None:
    archive = et.open(options.archive)
    if options.json:
        _print(json.loads((archive.folder / "entense.json").read_bytes()))
        return
    print(archive)


def _schema(options: argparse.Namespace) -> None:
    archive = et.open(options.archive)
    if options.json:
        tensors = {name: tensor.plain() for name, tensor in archive.schema.items()}
        _print({"tensors": tensors, "columns": archive.manifest.columns})
        return
    for name, said in {**archive.schema, **archive.manifest.columns}.items():
        print(f"{name}: {said}")


def _verify(options: argparse.Namespace) -> None:
    try:
        found = et.open(options.archive).verify()
    except et.ArchiveError as error:
        if options.json:
            damaged = [vars(one) for one in getattr(error, "damage", ())]
            _print({"right": False, "error": str(error), "damaged": damaged})
        raise
    _print({"right": True, **vars(found)}) if options.json else print(found)


def _repair(options: argparse.Namespace) -> None:
    from entense.archive.repair import repair

    _import(options.modules)
    print(repair(_plan(options), options.archive, memory=options.memory))


def _print(body: Mapping[str, Any]) -> None:
    print(json.dumps(body, indent=2))


def _import(modules: Sequence[str]) -> None:
    """Import the modules that register the user's own ops: those named here, and no others."""
    sys.path.insert(0, "")  # as `python -m` does
    for name in modules:
        if name.endswith(".py"):
            raise EntenseError(f"--import {name}: give the module's name, {name[:-3]}")
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise EntenseError(f"--import {name}: {error}; give a module's name") from error


def _plan(options: argparse.Namespace) -> pl.DataFrame:
    """Read a record table; its lazy columns come back because importing entense registered them."""
    from entense.records.confine import confine

    try:
        table = pl.read_parquet(options.plan)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(
            f"{options.plan}: cannot be read as a plan ({_first_line(error)});"
            " a plan is a record table saved with write_parquet"
        ) from error
    return confine(table, options.roots) if options.roots else table


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _dtypes(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if pair.count("=") != 1]
    if wrong:
        raise RecipeError(f"--dtype {wrong[0]}: write it as TENSOR=DTYPE, such as clean=float16")
    return dict(pair.split("=") for pair in pairs)
