"""The pieces of a confound formula that hold no other formula, each read and checked alone."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from entense.errors import hint
from entense.ops.confounds.formula import Column, Components, Strategy, Word
from entense.ops.confounds.names import FACTS, FAMILIES, SHORTHAND, STEMS, meant, stem_of
from entense.ops.confounds.strategies import BY_LOWER, STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from entense.ops.confounds.formula import Formula

HIGHEST = 9  # order of a difference or a power
SIGNS = (">=", "<=", "==", "!=", ">", "<")
LOGIC = ("OR", "AND", "NOT", "SCATTER")
MASKS = ("WM", "CSF", "combined")


class Token(NamedTuple):
    """A piece of a formula: its kind, its text, and where it begins (counted from 0)."""

    kind: str
    text: str
    at: int


class Mistake(Exception):  # noqa: N818  it becomes a RecipeError where the whole text is known
    """What is wrong in a formula, and where (counted from 0)."""

    def __init__(self, at: int, problem: str) -> None:
        self.at, self.problem = at, problem


def orders(token: Token) -> tuple[int, ...]:
    """Return the orders of a difference or a power: ``d1``, ``dd2``, ``^1-3``, ``^{1,3}``."""
    sign, lowest = token.text[0], 0 if token.text[0] == "d" else 1
    given = [int(digits[:9]) for digits in re.findall(r"\d+", token.text)]
    if token.text.startswith(2 * sign):
        given.insert(0, lowest)
    found = given
    if "-" in token.text or token.text.startswith(2 * sign):
        found = [*range(given[0], min(given[1], HIGHEST + 1) + 1)]
    if not found or min(found) < lowest or max(found) > HIGHEST:
        raise Mistake(token.at, f"orders go from {lowest} to {HIGHEST}, upwards: not {token.text}")
    return tuple(sorted(set(found)))


def indicator(token: Token) -> tuple[str, float]:
    """Return the sign and the threshold of ``1_[>0.5]``."""
    inner = token.text[3:-1].strip()
    sign = next((sign for sign in SIGNS if inner.startswith(sign)), None)
    number = inner.removeprefix(sign or "").strip()
    written = re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", number)
    if sign is None or not written or not math.isfinite(float(number)):
        signs = " ".join(sorted(SIGNS))
        raise Mistake(token.at + 3, f"a threshold is one of {signs} and a number, as in 1_[>0.5]")
    return sign, float(number)


def logic(token: Token) -> str:
    """Return OR, AND, NOT or SCATTER."""
    word = token.text[1:-1].upper()
    if word not in LOGIC:
        raise Mistake(token.at + 1, f"there is no [{word}]; {hint(word, LOGIC)}")
    return word


def column(token: Token) -> Formula:
    """Return the column whose name is in quotes."""
    return Column(token.text[1:-1])


def word(token: Token) -> Formula:
    """Return a strategy, or a word that a table may know; a misspelling is a mistake."""
    if token.text.lower() in BY_LOWER:
        return Strategy(BY_LOWER[token.text.lower()])
    if not is_known(token.text) and (near := meant(stem_of(token.text), _words())):
        raise Mistake(
            token.at,
            f"there is no {token.text!r}; did you mean {near!r}? A column of this name is written "
            f'"{token.text}"',
        )
    return Word(token.text)


def is_known(text: str) -> bool:
    """Whether a word is a shorthand, a pattern, or a column as fMRIPrep names them."""
    words = (*SHORTHAND, *FAMILIES)
    return "*" in text or text.lower() in words or {text, stem_of(text)} & STEMS != set()


def no_function(name: str) -> str:
    """Say that a name takes no parentheses."""
    near = meant(name, [name for name, one in STRATEGIES.items() if one.components])
    example = near or "aCompCor"
    return (
        f"{name!r} takes no parentheses; a difference is written d1(x), a strategy {example}(n=10)"
    )


def strategy(token: Token) -> Formula:
    """Return a strategy with its parameter: ``aCompCor(n=10)``, ``aCompCor(variance=50)``."""
    call, named, value = token.text[:-1].partition("=")
    name, _, key = (part.strip() for part in call.partition("("))
    known = BY_LOWER.get(name.lower())
    if known is None:
        raise Mistake(token.at, f"there is no strategy {name!r}; {hint(name, STRATEGIES)}")
    at = token.at + call.index(key, call.index("(") + 1)
    if not named:
        raise Mistake(at, f"say what {key} is: {known}(n=…) or {known}(variance=…)")
    if STRATEGIES[known].components is None or key not in ("n", "variance"):
        takes = [name for name, one in STRATEGIES.items() if one.components]
        raise Mistake(at, f"{known} has no {key!r}; n or variance go with {', '.join(takes)}")
    at = token.at + len(call) + 1
    if key == "n":
        return Strategy(known, count=_count(value, at))
    return Strategy(known, variance=_percent(value, at))


def components(token: Token) -> Formula:
    """Return what ``n_{{5; acc; Mask=CSF,WM}}``, or ``v_``, or neither, asks for."""
    start = token.text.index("{{") + 2
    inner = token.text[start:-2]
    parts = [(one[0], token.at + start + one.start()) for one in re.finditer(r"[^;]+", inner)]
    amount = {"n": _count, "v": _percent}.get(token.text[0])
    if len(parts) < (1 if amount is None else 2):
        raise Mistake(token.at, "write n_{{5; acc}}, v_{{50; acc}} or {{acc}}: a family is missing")
    taken = amount(*parts.pop(0)) if amount else None
    family, *filters = parts
    return Components(
        _family(*family),
        tuple(_filter(*one) for one in filters),
        count=taken if isinstance(taken, int) else None,
        variance=taken if isinstance(taken, float) else None,
    )


LEAVES: dict[str, Callable[[Token], Formula]] = {
    "column": column,
    "components": components,
    "strategy": strategy,
    "word": word,
}


def _words() -> list[str]:
    return [*STRATEGIES, *SHORTHAND, *FAMILIES, *STEMS]


def _begins(text: str, at: int) -> int:
    return at + len(text) - len(text.lstrip())


def _count(text: str, at: int) -> int:
    if not re.fullmatch(r"0*[1-9]\d{0,3}", text.strip()):
        raise Mistake(_begins(text, at), f"a number of components is due, not {text.strip()!r}")
    return int(text)


def _percent(text: str, at: int) -> float:
    number = re.fullmatch(r"\d{1,3}(\.\d*)?", text.strip())
    if not number or not 1 < float(text) <= 100:
        raise Mistake(
            _begins(text, at), f"a percentage above 1, such as 50, is due, not {text.strip()!r}"
        )
    return float(text)


def _family(text: str, at: int) -> str:
    name = text.strip()
    near = None if name in STEMS or name.lower() in FAMILIES else meant(name, [*FAMILIES, *STEMS])
    if near or not re.fullmatch(r"\w+", name):
        raise Mistake(_begins(text, at), f"there is no family {name!r}; {hint(name, FAMILIES)}")
    return name


def _filter(text: str, at: int) -> tuple[str, tuple[str, ...]]:
    key, _, values = (part.strip() for part in text.partition("="))
    at = _begins(text, at)
    if key not in FACTS:
        raise Mistake(at, f"the sidecar says no {key!r} of components; {hint(key, FACTS)}")
    given = tuple(value.strip() for value in values.split(","))
    if not all(re.fullmatch(r"[\w.]+", value) for value in given):
        raise Mistake(at, f"write {key}=value, or {key}=one,other")
    if key != "Mask":
        return key, given
    masks = {mask.lower(): mask for mask in MASKS}
    for value in given:
        if value.lower() not in masks:
            raise Mistake(at, f"there is no mask {value!r}; {hint(value, MASKS)}")
    return key, tuple(masks[value.lower()] for value in given)
