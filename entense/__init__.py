"""Turn brain-imaging datasets into training data, as an extension of Polars.

``import entense as et`` registers ``.entense`` on Polars frames; README.md shows the way through.
"""

from entense.archive import Archive, register_format
from entense.archive import open_archive as open
from entense.archive.executors import register_executor
from entense.archive.formats import Foreign, Format
from entense.archive.loaders.table import loader
from entense.archive.repair import repair
from entense.archive.sharding import register_sharding
from entense.archive.write import write
from entense.distribute.collect import collect
from entense.distribute.dry_run import dry_run
from entense.distribute.explain import explain
from entense.errors import (
    ArchiveError,
    EntenseError,
    ExecutionError,
    RecipeError,
    RecordError,
    TableError,
)
from entense.index import scan
from entense.index.fetch import register_fetch, register_storage
from entense.index.layouts import Layout, register_layout
from entense.namespace import register as _register
from entense.ops import Kind, Spec, op
from entense.plan.fuse import register_fusion
from entense.records import (
    Role,
    drop_incomplete,
    events,
    exclude,
    explain_stage,
    facts,
    include,
    join_table,
    kfold,
    pivot,
    presets,
    quality,
    read_confounds,
    register_split,
    relocate,
    role,
    split,
    split_report,
    stage,
)
from entense.records.confine import confine
from entense.records.group_mask import group_mask
from entense.tensors.expr import Tensor, transform
from entense.tensors.lazy import to_numpy
from entense.tensors.sources import array, cifti, col, surface, table, volume

__version__ = "0.1.0"
__all__ = [
    "Archive",
    "ArchiveError",
    "EntenseError",
    "ExecutionError",
    "Foreign",
    "Format",
    "Kind",
    "Layout",
    "RecipeError",
    "RecordError",
    "Role",
    "Spec",
    "TableError",
    "Tensor",
    "array",
    "cifti",
    "col",
    "collect",
    "confine",
    "drop_incomplete",
    "dry_run",
    "events",
    "exclude",
    "explain",
    "explain_stage",
    "facts",
    "group_mask",
    "include",
    "join_table",
    "kfold",
    "loader",
    "op",
    "open",
    "pivot",
    "presets",
    "quality",
    "read_confounds",
    "register_executor",
    "register_fetch",
    "register_format",
    "register_fusion",
    "register_layout",
    "register_sharding",
    "register_split",
    "register_storage",
    "relocate",
    "repair",
    "role",
    "scan",
    "split",
    "split_report",
    "stage",
    "surface",
    "table",
    "to_numpy",
    "transform",
    "volume",
    "write",
]

_register(
    collect,
    confine,
    drop_incomplete,
    dry_run,
    events,
    exclude,
    explain,
    explain_stage,
    facts,
    group_mask,
    include,
    join_table,
    kfold,
    loader,
    pivot,
    quality,
    relocate,
    repair,
    split,
    split_report,
    stage,
    transform,
    write,
)
