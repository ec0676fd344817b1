"""Run the benchmarks and print one table."""

import argparse
import json
import platform
import tempfile
from dataclasses import asdict, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import entense
from benchmarks.fresh import Row, cores

BENCHES = (
    "index",
    "scale",
    "write",
    "windows",
    "read",
    "open",
    "flat",
    "convert",
    "censor",
    "lengths",
    "memory",
    "distribute",
)
PACKAGES = ("jax", "polars", "nilearn", "webdataset", "tensorflow", "bids2table")
PACKAGES += ("isal", "zlib-ng", "deflate", "rapidgzip")


def main() -> None:
    options = parse()
    # without a folder of their own, generated data are made again each time
    with tempfile.TemporaryDirectory() as temporary:
        cache = (options.folder or Path(temporary)).resolve()
        cache.mkdir(parents=True, exist_ok=True)
        rows = [
            row
            for name in options.names or BENCHES
            for row in compare(
                import_module(f"benchmarks.{name}").bench(cache, quick=options.quick)
            )
        ]
    if options.json:
        print(json.dumps({"made_by": machine(), "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        show(rows)
        print(*("", *(aim for row in rows for aim in row.aims)), sep="\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHES)} (all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="small data: numbers mean little")
    parser.add_argument("--folder", type=Path, help="keep generated data here (12 GB)")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error(f"there is no benchmark {unknown.pop()!r}; there are: {', '.join(BENCHES)}")
    return options


def compare(rows: list[Row]) -> list[Row]:
    """Add how many times ours each contender takes, within its benchmark."""
    ours = {row.bench: row.seconds for row in rows if row.name.startswith("entense")}
    return [
        replace(row, against_ours=row.seconds / ours[row.bench]) if row.bench in ours else row
        for row in rows
    ]


def machine() -> dict[str, object]:
    return {
        "machine": platform.machine(),
        "cores": cores(),
        "python": platform.python_version(),
        "packages": {"entense": entense.__version__} | {p: version(p) for p in PACKAGES},
    }


def show(rows: list[Row]) -> None:
    line = "{:<17} {:<34} {:>10} {:<13} {:>9} {:>9}  {}".format
    print(line("benchmark", "contender", "seconds", "per", "x ours", "peak MB", ""))
    for row in sorted(rows, key=lambda r: r.bench):
        ratio = f"{row.against_ours:.2f}" if row.against_ours == row.against_ours else ""
        print(
            line(
                row.bench,
                row.name,
                f"{row.seconds:.4f}",
                row.unit,
                ratio,
                f"{row.peak_mb:.0f}",
                row.note,
            )
        )


if __name__ == "__main__":
    main()
