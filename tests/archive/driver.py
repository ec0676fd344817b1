"""Write the archive of a saved table as a script without a main guard does.

python driver.py table.parquet out options.json
"""

import importlib
import json
import sys

import polars as pl

import entense as et

table, out, options = sys.argv[1:]
for module in json.loads(options)["modules"]:
    importlib.import_module(module)
et.write(pl.read_parquet(table), out, **json.loads(options))
