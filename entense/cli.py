"""The command line: each command is a few lines around a public function."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
import sys
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

import entense as et
from entense.errors import EntenseError, RecipeError, TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Add: TypeAlias = Callable[..., argparse.Action]


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
        print(f"entense: {_in_flags(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = options.run in (_write, _repair)
        resumes = "; the same command goes on where this one was" if again else ""
        print(f"entense: stopped{resumes}", file=sys.stderr)
        return 130
    return 0


def _in_flags(sentence: str) -> str:
    """Say as the command line has it what is said as Python has it."""
    for told, flag in (('on_error="skip"', "--on-error skip"), ("overwrite=True", "--overwrite")):
        sentence = sentence.replace(told, flag)
    return sentence


def parser() -> argparse.ArgumentParser:
    """Make the parser; each command carries the function that runs it as ``run``."""
    top = argparse.ArgumentParser(
        prog="entense", description="Turns neuroimaging datasets into training data."
    )
    top.add_argument("--version", action="version", version=f"entense {et.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, (what, arguments, run) in COMMANDS.items():
        command = commands.add_parser(name, help=what)
        arguments(command.add_argument)
        command.set_defaults(run=run)
    return top


def _arguments_of_demo(add: Add) -> None:
    add("--data", type=Path, metavar="FOLDER", help="your fMRIPrep outputs")
    add("--out", type=Path, help="where to write (./demo, or ./demo-FOLDER)")
    add("--atlas", type=Path, metavar="FILE", help="label image, for a connectome")


def _arguments_of_index(add: Add) -> None:
    add("folder", help="a folder, or a URL")
    add("--layout", help="how its files are named; found out where it is not given")
    add("--out", type=Path, metavar="FILE.parquet", help="keep the file table")


def _arguments_of_explain(add: Add) -> None:
    add("plan", type=Path, metavar="PLAN.parquet")
    add("--raw", action="store_true", help="before the optimiser")
    _add_how(add)
    _add_trusted(add)
    _add_where(add)


def _arguments_of_write(add: Add) -> None:
    add("plan", type=Path, metavar="PLAN.parquet")
    add("out", metavar="FOLDER", help="a folder, or a URL of an object store")
    add("--format", nargs="+", default=["webdataset"], help="one, or several")
    add("--columns", nargs="*", default=[], help="scalars to put into the samples")
    add("--shard-size", default="512MB", help="at most, such as 512MB")
    add("--shard-records", type=int, metavar="N", help="records a shard, at most")
    add("--shard-by", nargs="*", metavar="COLUMN", help="what keeps records together")
    add("--shuffle", type=int, metavar="SEED", help="of the records, before the cut")
    add("--sharding", default="size", help="size, or one of your own")
    add("--disaggregate", choices=["tensor"], help="shards of its own for each tensor")
    add("--index", nargs="*", default=[], help="for the readers of dali, wids, energon")
    add("--dtype", nargs="*", default=[], metavar="TENSOR=DTYPE")
    _add_memory(add)
    _add_how(add)
    _add_trusted(add)
    add("--on-error", choices=["raise", "skip"], default="raise")
    add("--overwrite", action="store_true")
    add("--scratch", metavar="FOLDER", help="of a URL: where shards are made")
    add("--hash-inputs", action="store_true", help="know inputs again by content, not by time")
    _add_where(add)
    add("--dry-run", action="store_true", help="with --executor: what would be submitted, only")


def _arguments_of_info(add: Add) -> None:
    add("archive", help="a folder, or a URL")
    add("--json", action="store_true", help="the whole manifest")


def _arguments_of_schema(add: Add) -> None:
    add("archive", help="a folder, or a URL")
    add("--json", action="store_true")


def _arguments_of_verify(add: Add) -> None:
    add("archive", help="a folder, or a URL")
    add("--json", action="store_true", help="each damaged file and its records")


def _arguments_of_repair(add: Add) -> None:
    add("plan", type=Path, metavar="PLAN.parquet")
    add("archive", help="a folder, or a URL of an object store")
    _add_memory(add)
    _add_trusted(add)


def _add_memory(add: Add) -> None:
    add("--memory", help="about how much the arrays may take, such as 4GB")


def _add_how(add: Add) -> None:
    without = "rules of the optimiser to leave out"
    add("--without", nargs="*", default=[], metavar="RULE", help=without)
    add("--fusion", default="greedy", help="how steps are fused into stages")


def _add_where(add: Add) -> None:
    add("--executor", default="serial", help="serial, pydra, or one of your own")
    add("--worker", default="process", help="of pydra: process, dask, slurm, sge")
    add("--cores", type=int, default=1, help="of a task")
    add("--gpus", type=int, default=0, help="of a task")
    add("--tasks", type=int, metavar="N", help="about how many; else as many as cost asks for")
    worker = "of the worker: n_procs, address, partition, time, account, sbatch_args"
    add("--worker-option", nargs="+", default=[], metavar="NAME=VALUE", help=worker)


def _add_trusted(add: Add) -> None:
    modules = "modules that register ops of your own"
    add("--import", dest="modules", nargs="*", default=[], metavar="MODULE", help=modules)
    roots = "read only files below these folders or URLs: for a plan that others made"
    add("--root", dest="roots", nargs="+", default=[], metavar="ROOT", help=roots)


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
    print(et.explain(_plan(options), optimized=not options.raw, **_asked(options, et.explain)))


def _write(options: argparse.Namespace) -> None:
    _import(options.modules)
    asked = _asked(options, et.write) | {"dtype": _dtypes(options.dtype)}
    run = et.dry_run if options.dry_run else et.write
    print(run(_plan(options), options.out, **asked))


def _asked(options: argparse.Namespace, function: Callable[..., Any]) -> dict[str, Any]:
    """Return what a function takes by keyword of what was said, and the worker's options."""
    said = {name: vars(options)[name] for name in signature(function).parameters if name in options}
    return said | _worker_options(options.worker_option)


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
    _import(options.modules)
    print(et.repair(_plan(options), options.archive, memory=options.memory))


def _print(body: Mapping[str, Any]) -> None:
    print(json.dumps(body, indent=2))


def _import(modules: Sequence[str]) -> None:
    """Import the modules that register the user's own ops: those named here, and no others."""
    if modules and "" not in sys.path:
        sys.path.append("")  # last: a file here must not be taken for a module of Python's
    for name in modules:
        if name.endswith(".py"):
            raise EntenseError(f"--import {name}: give the module's name, {name[:-3]}")
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise EntenseError(f"--import {name}: {error}; give a module's name") from error


def _plan(options: argparse.Namespace) -> pl.DataFrame:
    """Read a record table; its lazy columns come back because importing entense registered them."""
    try:
        table = pl.read_parquet(options.plan)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(
            f"{options.plan}: cannot be read as a plan ({_first_line(error)});"
            " a plan is a record table saved with write_parquet"
        ) from error
    return et.confine(table, options.roots) if options.roots else table


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _worker_options(pairs: Sequence[str]) -> dict[str, Any]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise RecipeError(f"--worker-option {wrong[0]}: write it as NAME=VALUE, such as time=60")
    found = dict(pair.split("=", 1) for pair in pairs)
    plain = {name: _value(text) for name, text in found.items()}
    return plain | {name: shlex.split(found[name]) for name in found if name == "sbatch_args"}


def _value(text: str) -> int | float | str:
    """Return a number where it is one: neither an account 007 nor a time."""
    if not re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?", text):
        return text
    return float(text) if "." in text else int(text)


def _dtypes(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if pair.count("=") != 1]
    if wrong:
        raise RecipeError(f"--dtype {wrong[0]}: write it as TENSOR=DTYPE, such as clean=float16")
    return dict(pair.split("=") for pair in pairs)


COMMANDS: Mapping[str, tuple[str, Callable[[Add], None], Callable[[argparse.Namespace], None]]] = {
    "demo": ("run the main job on simulated data or on your folder", _arguments_of_demo, _demo),
    "index": ("say what a folder holds", _arguments_of_index, _index),
    "explain": ("show what a plan compiles to", _arguments_of_explain, _explain),
    "write": ("compute a plan and write its archive", _arguments_of_write, _write),
    "info": ("say what an archive holds", _arguments_of_info, _info),
    "schema": ("say what the records of an archive have in common", _arguments_of_schema, _schema),
    "verify": ("check every byte of an archive; fails on damage", _arguments_of_verify, _verify),
    "repair": ("write what is damaged again, and nothing else", _arguments_of_repair, _repair),
}
"""Each command: what it does, what adds its arguments, what runs it."""
