"""Path templates, ``{subject}/visit{session}/{task}.nii.gz``, as the pairs that layouts hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError, hint
from entense.index.entities import ENTITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FIELD = re.compile(r"\{([^{}]*)\}")
_PARTS = {"datatype": r"([^_./]+)", "suffix": r"([^-_./]+)", "extension": r"(\.[^/]+)"}
_EXPRESSIONS = dict.fromkeys(ENTITIES, r"([^_./]+)") | _PARTS
_ORDER = {"subject": 0, "session": 1}  # what names begin with


def compile_template(template: str, labels: Mapping[str, object]) -> tuple[str, str]:
    r"""Make of a template the expression that its paths match, and what they are replaced by.

    Parameters
    ----------
    template
        A path below the root. Each ``{entity}`` is a label, which holds none of ``_ . /``;
        ``{suffix}``, ``{extension}`` (with its dot) and ``{datatype}`` are known too.
    labels
        What the path does not tell: name -> label.

    Raises
    ------
    TableError
        A name is no entity; there is no subject, suffix or extension; a label is told and given,
        or cannot stand in a name; two fields have nothing between them.

    Examples
    --------
    >>> compile_template("{subject}/{task}.nii", {"suffix": "bold"})
    ('^/([^_./]+)/([^_./]+)\\.nii$', '///sub-${1}_task-${2}_bold.nii')
    """
    pieces = _FIELD.split(template.lstrip("/"))
    literals, fields = pieces[::2], pieces[1::2]
    given = {name: str(label) for name, label in labels.items()}
    ending = re.search(r"\.[^/]*$", literals[-1].rsplit("/", 1)[-1])
    if ending and "extension" not in (*fields, *given):
        given["extension"] = ending[0]
    for problem in _problems(literals, fields, given):
        raise TableError(f"the template {template!r} {problem}")
    return _pattern(literals, fields), _name(fields, given)


def _problems(
    literals: Sequence[str], fields: Sequence[str], given: Mapping[str, str]
) -> Iterator[str]:
    names = (*fields, *given)
    for name in names:
        if name not in _EXPRESSIONS:
            yield f"names {name!r}, which is no entity; {hint(name, _EXPRESSIONS)}"
    for name in ("subject", "suffix", "extension"):
        if name not in names:
            yield f"does not tell the {name}: write {{{name}}} in it, or give it beside it"
    for name, label in given.items():
        if name in fields:
            yield f"tells {{{name}}} and is given {label!r} for it: leave out one of them"
        if not re.fullmatch(r"\.[^_/$]+" if name == "extension" else r"[^_./$]+", label):
            yield f"is given {label!r} for {name!r}: use letters and digits, as names hold no other"
    if re.search(r"[{}]", "".join(literals)):
        yield "has a brace that closes nothing, or opens nothing: write {entity}"
    for literal, name in zip(literals[1:], fields[1:], strict=False):
        if not literal and name != "extension":
            yield f"has nothing between {{{name}}} and the one before: say what parts them"


def _pattern(literals: Sequence[str], fields: Sequence[str]) -> str:
    told = [_EXPRESSIONS[name] for name in fields]
    fixed = [pl.escape_regex(literal) for literal in literals]
    return "^/" + fixed[0] + "".join(map("".join, zip(told, fixed[1:], strict=True))) + "$"


def _name(fields: Sequence[str], given: Mapping[str, str]) -> str:
    """Write the name as BIDS has it, below ``//``, where no other template looks for a path."""
    told = [(name, f"${{{group}}}") for group, name in enumerate(fields, 1)]
    parts = sorted([*told, *given.items()], key=lambda part: _ORDER.get(part[0], len(_ORDER)))
    one = {"datatype": ""} | dict(reversed(parts))
    entities = "_".join(f"{ENTITIES[name]}-{label}" for name, label in parts if name in ENTITIES)
    return f"//{one['datatype']}/{entities}_{one['suffix']}{one['extension']}"
