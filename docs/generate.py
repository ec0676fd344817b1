"""Make the parts of docs/operations.md that the docstrings say: ``make docs``."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import entense as et
from entense.ops import Kind, Op, ops

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).with_name("operations.md")
GROUPS = {  # a module that is in none is an error: an op must not be missing from the page
    "Where a tensor begins": ["load"],
    "Space": ["space", "resample", "grid", "smooth", "parcels", "medians"],
    "Filters and confounds": ["filters", "denoise", "regress"],
    "Frames": ["frames", "window", "resample_tr", "despike"],
    "Scales": ["standardize"],
    "Connectomes": ["connectome", "edges"],
    "Lists": ["gather"],
    "Missing values, summaries, formats": ["missing", "summary", "dtype"],
}
_READERS = ("labels", "region", "regressors", "weights")  # ops that no user calls
_PART = re.compile(r"(<!-- made by make docs: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SECTION = re.compile(r"^(\w+)\n-+\n", re.MULTILINE)
_OTHERS = re.compile(
    r"`((?:numpy|scipy|sklearn|nilearn)\.[\w.]+)`|((?:AFNI|MONAI|nilearn)'s)\s+`+(\w[^`]+)`"
    r"|\bas (XCP-D|SPM|nilearn|nipype)\b(?!')"
)


def page() -> str:
    """Return the page as it should be: what is written by hand, and what is made."""
    made = {"table": table, "docstrings": docstrings}
    return _PART.sub(lambda part: f"{part[1]}\n{made[part[2]]()}\n{part[3]}", PAGE.read_text())


def grouped() -> dict[str, list[Op]]:
    """Return entense's own ops by group, those of other packages apart."""
    group = {f"entense.ops.{module}": name for name, some in GROUPS.items() for module in some}
    groups: dict[str, list[Op]] = {name: [] for name in GROUPS}
    for op in map(ops.__getitem__, ops):
        if op.function.__module__.startswith("entense.") and op.name not in _READERS:
            groups[group[op.function.__module__]].append(op)
    return groups


def table() -> str:
    """Return a table a group: how each op is called, what it does and makes, and as whom."""
    head = "| operation | does | makes | as |\n|---|---|---|---|\n"
    tables = (
        f"**{name}**\n\n{head}" + "".join(map(_row, some)) for name, some in grouped().items()
    )
    return "\n".join(tables)


def _row(op: Op) -> str:
    summary, sections = _parsed(op)
    does = summary.partition("\n\n")[0]
    makes = re.split(r"[.;:](?:\s|$)", sections["Returns"])[0]
    cells = (f"[`{_call(op)}`](#{op.name})", does, makes, _others(op))
    return "| " + " | ".join(" ".join(cell.split()) for cell in cells) + " |\n"


def docstrings() -> str:
    """Return the docstring of each op, as Markdown."""
    return "\n".join(
        f"## {name}\n\n" + "\n".join(map(_described, some)) for name, some in grouped().items()
    )


def _described(op: Op) -> str:
    summary, sections = _parsed(op)
    parts = [f"### {op.name}", f"`{_call(op)}`", summary]
    for name, text in sections.items():
        if name == "Examples":
            parts.append("```pycon\n" + re.sub(r" *# doctest:.*", "", text) + "\n```")
        else:
            body = text if name == "Returns" else _entries(text)
            parts.append(f"*{name}*" + ("\n\n" if body.startswith("-") else ": ") + body)
    return "\n\n".join(parts) + "\n"


def _entries(text: str) -> str:
    """Turn names with indented descriptions into a list."""
    entries = re.split(r"\n(?=\S)", text)
    pairs = (entry.partition("\n")[::2] for entry in entries)
    return "\n".join(f"- **{name}**" + _item(textwrap.dedent(said)) for name, said in pairs)


def _item(said: str) -> str:
    lines = textwrap.indent(said, "  ")
    return ":\n" + lines if said.startswith("-") else ": " + lines.lstrip()


def _called(op: Op) -> Callable[..., object]:
    """Return what a user calls: a tensor begins with a function of entense's own."""
    return getattr(et, op.name) if op.kind is Kind.SOURCE else op.function


def _call(op: Op) -> str:
    if op.kind is Kind.SOURCE:
        signature = inspect.signature(_called(op))
        bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        return op.name + str(inspect.Signature(bare))
    given = [name + "=None" * (name in op.optional) for name in op.inputs[1:]]
    given += [name + _default(param) for name, param in op.params.items()]
    return f"{op.name}({', '.join(given)})"


def _default(param: inspect.Parameter) -> str:
    return "" if param.default is param.empty else f"={param.default!r}".replace("'", '"')


def _parsed(op: Op) -> tuple[str, dict[str, str]]:
    """Return a docstring's summary with what follows it, and its sections by name."""
    summary, *rest = _SECTION.split(inspect.getdoc(_called(op)) or "")
    texts = (text.strip("\n") for text in rest[1::2])
    return summary.strip(), dict(zip(rest[::2], texts, strict=True))


def _others(op: Op) -> str:
    found = _OTHERS.findall(inspect.getdoc(_called(op)) or "")
    names = (f"`{name}`" if name else f"{whose} `{what}`" for name, whose, what, _ in found)
    return ", ".join(dict.fromkeys(one[3] or name for one, name in zip(found, names, strict=True)))


if __name__ == "__main__":
    PAGE.write_text(page())
