"""Which records train, and which test: schemes that share out groups of records."""

from entense.records.splitting.groups import Groups
from entense.records.splitting.lists import by_lists
from entense.records.splitting.report import split_report
from entense.records.splitting.schemes import register_split
from entense.records.splitting.shares import by_shares
from entense.records.splitting.split import kfold, split

__all__ = ["Groups", "kfold", "register_split", "split", "split_report"]

register_split("random", by_shares)
register_split("lists", by_lists)
