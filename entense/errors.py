"""What can go wrong, in sentences a scientist understands."""


class EntenseError(Exception):
    """The base of every error that entense raises on purpose."""


class TableError(EntenseError):
    """A table of files or records is not what the step needs."""


class RecipeError(EntenseError):
    """A tensor cannot be made as asked: an unknown op, a wrong parameter, mixed recipes."""


class RecordError(EntenseError):
    """One record cannot be computed: its file is missing, damaged or does not fit."""


class ArchiveError(EntenseError):
    """An archive is unfinished, damaged, or in the way."""
