"""How an archive that is there differs from the one that is to be written, as an error says it."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from entense.tensors.graph import from_json, said, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from entense.archive.folder import Begun
    from entense.tensors.graph import Node

    Identity = Mapping[str, Any]
    Pair = tuple[str, Any, Any]

SHARDING = {
    "bytes": "shard_size",
    "records": "shard_records",
    "by": "shard_by",
    "seed": "shuffle",
    "scheme": "sharding",
}
"""What an identity calls the options of `write`."""
KIND = ("dtype", "dimensions", "scale")
NOWHERE = object()


def difference(old: Begun, new: Begun) -> str | None:
    """Say what `old` has that `new` has not, or otherwise; None where nothing would be lost."""
    if other := [key for key in new.identity if old.identity.get(key) != new.identity[key]]:
        causes = list(_causes(old.identity, new.identity))
        return f"differs in {', and in '.join(causes or other)}"
    if lost := sorted(set(old.records) - set(new.records)):
        return f"has {len(lost)} records that this table has not, such as {lost[0]}"
    now = dict(zip(new.records, new.splits, strict=True))
    before = dict(zip(old.records, old.splits, strict=False))  # older archives do not say
    if moved := [record for record, split in before.items() if now[record] != split]:
        first = moved[0]
        return (
            f"has {len(moved)} records in another split, such as {first} ({before[first]!r} there, "
            f"{now[first]!r} here)"
        )
    return None


def _causes(old: Identity, new: Identity) -> Iterator[str]:
    """Say each thing that differs by itself, and none that follows from another."""
    recipes = _different(old, new, "recipes")
    yield from _named("the recipe of", recipes, _steps)
    follow = {name for name, *_ in recipes}
    kinds = [pair for pair in _different(old, new, "tensors") if pair[0] not in follow]
    yield from _named("the tensor", kinds, _kind)
    yield from _named("the column", _different(old, new, "columns"), _both)
    for name, *values in _different(old, new, "sharding"):
        yield f"{SHARDING.get(name, name)}: {_both(*values)}"
    for name, *series in zip(("format", "disaggregate"), *map(_asked, (old, new)), strict=True):
        if series[0] != series[1]:
            yield f"{name}: {_both(*series)}"
    made = _different(old, new, "made_by")
    yield from (f"{name}: {_both(*values)}" for name, *values in made)
    upgraded = any(name == "entense" for name, *_ in made)
    yield from _code(_different(old, new, "code"), upgraded=upgraded)


def _different(old: Identity, new: Identity, key: str) -> list[Pair]:
    """Return name, what is there and what is here, of all that differs."""
    return _pairs(old.get(key) or {}, new[key])


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Pair]:
    pairs = ((name, old.get(name, NOWHERE), new.get(name, NOWHERE)) for name in {**old, **new})
    return [pair for pair in pairs if repr(pair[1]) != repr(pair[2])]  # 1 is not 1.0


def _named(what: str, pairs: Sequence[Pair], say: Callable[[Any, Any], str]) -> Iterator[str]:
    """Say how the first of some things differs, and how many others do."""
    for name, there, here in pairs[:1]:
        more = f" (and {len(pairs) - 1} more)" if len(pairs) > 1 else ""
        how = _both(there, here) if NOWHERE in (there, here) else say(there, here)
        yield f"{what} {name!r}{more}: {how}"


def _both(there: Any, here: Any) -> str:
    if NOWHERE in (there, here):
        return "it is there and not here" if here is NOWHERE else "it is here and not there"
    return f"{there!r} there, {here!r} here"


def _steps(old: str, new: str) -> str:
    """Say the first step of a recipe that differs, or the first of its parameters that does."""
    there, here = ([n for n in walk(from_json(text)) if n.op != "slot"] for text in (old, new))
    ops = [[node.op for node in nodes] for nodes in (there, here)]
    if ops[0] == ops[1]:
        values = (_values(*nodes) for nodes in zip(there, here, strict=True))
        return next(filter(None, values), "its steps take other files, or each other's results")
    _, a, b, c, d = next(
        code for code in SequenceMatcher(None, ops[0], ops[1]).get_opcodes() if code[0] != "equal"
    )
    return f"{_chain(there[a:b])} there, {_chain(here[c:d])} here"


def _values(there: Node, here: Node) -> str | None:
    for name, *values in _pairs(there.params, here.params):
        if name != "cells":
            one, other = ("a column's" if value is NOWHERE else repr(value) for value in values)
            return f"{there.op} has {name}={one} there, {other} here"
    return None


def _chain(steps: Iterable[Node]) -> str:
    return " → ".join(map(said, steps)) or "nothing"


def _kind(there: Sequence[Any], here: Sequence[Any]) -> str:
    found = zip(KIND, there, here, strict=False)  # older archives say less
    parts = (f"{name} {_both(one, other)}" for name, one, other in found if one != other)
    return next(parts, _both(there, here))


def _asked(identity: Identity) -> tuple[Any, str | None]:
    """Return the format, or formats, and disaggregation of an archive's series."""
    series = identity.get("series") or ()
    formats = list(dict.fromkeys(one["format"] for one in series))
    parted = any("{split}/" in one["folder"] for one in series)
    return formats[0] if len(formats) == 1 else formats, "tensor" if parted else None


def _code(pairs: Sequence[Pair], *, upgraded: bool) -> Iterator[str]:
    """Say whose code differs; that of entense does where its version does."""
    for name, there, here in pairs:
        if NOWHERE in (there, here):  # what is not used any more
            continue
        if name == "plan":
            rules = [set(one.split(", ")) for one in (there, here)]
            only = [
                ", ".join(sorted(mine - other)) or "none" for mine, other in (rules, rules[::-1])
            ]
            yield f"its rules or fusion: {only[0]} only there, {only[1]} only here"
        elif not upgraded:
            yield f"the code of {name}"
