"""From the file table to the record table, and what is done to records."""

from entense.records import presets
from entense.records.events import events
from entense.records.facts import facts
from entense.records.filters import drop_incomplete
from entense.records.identity import with_record_id
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
    "explain_stage",
    "facts",
    "join_table",
    "presets",
    "relocate",
    "role",
    "split",
    "stage",
    "with_record_id",
]
