"""Which records are kept."""

from __future__ import annotations

from entense.errors import TableError, hint
from entense.records.frames import Frame, roles_of


def drop_incomplete(frame: Frame, *roles: str) -> Frame:
    """Drop the records that lack a file for a role.

    Parameters
    ----------
    frame
        A record table.
    *roles
        The roles that a record needs; all by default.

    Raises
    ------
    TableError
        A name is not a role, or the table has no roles.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame({"bold": ["/a.nii", None], "bold_sidecar": None})
    >>> drop_incomplete(df)["bold"].to_list()
    ['/a.nii']
    """
    known = roles_of(frame.collect_schema())
    if not known:
        raise TableError("drop_incomplete needs a table of records, as stage makes it")
    for role in roles:
        if role not in known:
            raise TableError(f"there is no role {role!r}; {hint(role, known)}")
    return frame.drop_nulls(list(roles or known))
