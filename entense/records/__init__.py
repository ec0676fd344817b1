"""From the file table to the record table, and what is done to records."""

from entense.records import presets
from entense.records.confounds import read_confounds
from entense.records.events import events
from entense.records.facts import facts
from entense.records.filters import drop_incomplete, exclude, include
from entense.records.identity import with_record_id
from entense.records.pivot import pivot
from entense.records.quality import quality
from entense.records.relocate import relocate
from entense.records.report import explain_stage
from entense.records.roles import Role, role
from entense.records.split import split
from entense.records.stage import stage
from entense.records.tables import join_table

__all__ = [
    "Role",
    "drop_incomplete",
    "events",
    "exclude",
    "explain_stage",
    "facts",
    "include",
    "join_table",
    "pivot",
    "presets",
    "quality",
    "read_confounds",
    "relocate",
    "role",
    "split",
    "stage",
    "with_record_id",
]
