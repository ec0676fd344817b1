"""From the file table to the record table, and what is done to records."""

from entense.records.events import events
from entense.records.filters import drop_incomplete, exclude, include
from entense.records.identity import with_record_id
from entense.records.pivot import pivot
from entense.records.quality import quality
from entense.records.relocate import relocate
from entense.records.splitting import Groups, kfold, register_split, split, split_report
from entense.records.staging import presets
from entense.records.staging.facts import facts
from entense.records.staging.report import explain_stage
from entense.records.staging.roles import Role, role
from entense.records.staging.stage import stage
from entense.records.tables.confounds import read_confounds
from entense.records.tables.join import join_table

__all__ = [
    "Groups",
    "Role",
    "drop_incomplete",
    "events",
    "exclude",
    "explain_stage",
    "facts",
    "include",
    "join_table",
    "kfold",
    "pivot",
    "presets",
    "quality",
    "read_confounds",
    "register_split",
    "relocate",
    "role",
    "split",
    "split_report",
    "stage",
    "with_record_id",
]
