"""A confound formula as a tree; its text, as `grammar.parse` reads it, is `str(formula)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final


@final
@dataclass(frozen=True)
class Word:
    """A name as it stands: a column, a shorthand, or columns by a pattern such as ``cosine*``."""

    text: str

    def __str__(self) -> str:
        return self.text


@final
@dataclass(frozen=True)
class Column:
    """A column of exactly this name."""

    name: str

    def __str__(self) -> str:
        return f'"{self.name}"'


@final
@dataclass(frozen=True)
class Strategy:
    """A named strategy, with how many components it takes or what variance they explain."""

    name: str
    count: int | None = None
    variance: float | None = None

    def __str__(self) -> str:
        if self.count is not None:
            return f"{self.name}(n={self.count})"
        return self.name if self.variance is None else f"{self.name}(variance={self.variance!r})"


@final
@dataclass(frozen=True)
class Components:
    """Numbered columns of a family, chosen by what the sidecar says of them.

    The first `count` of each mask, or as many as explain `variance` percent, or all.
    """

    family: str
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    count: int | None = None
    variance: float | None = None

    def __str__(self) -> str:
        filters = [f"{key}={','.join(values)}" for key, values in self.filters]
        if self.count is not None:
            return f"n_{{{{{'; '.join([str(self.count), self.family, *filters])}}}}}"
        if self.variance is not None:
            return f"v_{{{{{'; '.join([repr(self.variance), self.family, *filters])}}}}}"
        return f"{{{{{'; '.join([self.family, *filters])}}}}}"


@final
@dataclass(frozen=True)
class Sum:
    """Columns side by side; none at all where there are no terms."""

    terms: tuple[Formula, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


@final
@dataclass(frozen=True)
class Difference:
    """Backward differences of some orders; order 0 is the column itself."""

    orders: tuple[int, ...]
    of: Formula

    def __str__(self) -> str:
        last = self.orders[-1]
        if self.orders == (last,):
            return f"d{last}({self.of})"
        if self.orders == tuple(range(last + 1)):
            return f"dd{last}({self.of})"
        return f"d{{{','.join(map(str, self.orders))}}}({self.of})"


@final
@dataclass(frozen=True)
class Power:
    """Powers of some orders; order 1 is the column itself."""

    orders: tuple[int, ...]
    of: Formula

    def __str__(self) -> str:
        last = self.orders[-1]
        if self.orders == (last,):
            return f"({self.of})^{last}"
        if self.orders == tuple(range(1, last + 1)):
            return f"({self.of})^^{last}"
        return f"({self.of})^{{{','.join(map(str, self.orders))}}}"


@final
@dataclass(frozen=True)
class Indicator:
    """1 where a column compares so with the threshold, else 0."""

    sign: str
    threshold: float
    of: Formula

    def __str__(self) -> str:
        return f"1_[{self.sign}{self.threshold!r}]({self.of})"


@final
@dataclass(frozen=True)
class Logic:
    """OR, AND or NOT of columns of 0 and 1, or SCATTER: a column for each 1."""

    word: str
    of: Formula

    def __str__(self) -> str:
        return f"[{self.word}]({self.of})"


Formula: TypeAlias = (
    Word | Column | Strategy | Components | Sum | Difference | Power | Indicator | Logic
)


def total(terms: list[Formula]) -> Formula:
    """Return the sum of some terms: flat, and a single term as it is."""
    flat = [one for term in terms for one in (term.terms if isinstance(term, Sum) else (term,))]
    return flat[0] if len(flat) == 1 else Sum(tuple(flat))


def strategies_in(formula: Formula) -> list[Strategy]:
    """Return the named strategies of a formula, in their order."""
    match formula:
        case Strategy():
            return [formula]
        case Sum(terms):
            return [one for term in terms for one in strategies_in(term)]
        case Difference(_, of) | Power(_, of) | Indicator(_, _, of) | Logic(_, of):
            return strategies_in(of)
        case _:
            return []
