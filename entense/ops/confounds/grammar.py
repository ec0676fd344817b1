"""From the text of a confound formula to its tree.

The grammar is gramform's (Ciric, doi:10.5281/zenodo.7738347)::

    sum       = term {"+" term}
    term      = ("d1" | "dd1" | "d0-2" | "d{0,2}") term | atom {"^2" | "^^2" | "^1-3" | "^{1,3}"}
    atom      = "(" sum ")" | "1_[>0.5]" atom | "[OR]" atom | "[AND]" atom | "[NOT]" atom
              | "[SCATTER]" atom | components | strategy | column | word

Powers bind tighter than differences, differences than sums.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, final

from entense.errors import RecipeError
from entense.ops.confounds import leaves
from entense.ops.confounds.formula import Difference, Indicator, Logic, Power, Sum, total
from entense.ops.confounds.leaves import Mistake, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entense.ops.confounds.formula import Formula

DEEPEST = 30  # how far parentheses nest

_TOKENS = re.compile(
    r"""(?P<space>\s+)
    | (?P<components>(?:[nv]_)?\{\{[^{}]*\}\})
    | (?P<strategy>\d*[^\W\d][\w-]*\((?:\s*\w+\s*=[^()]*|[\d.\s]+)\))
    | (?P<difference>d(?:d?\d+|\d+-\d+|\{[\d,\s]*\})(?=\s*\())
    | (?P<power>\^(?:\d+-\d+|\^?\d+|\{[\d,\s]*\}))
    | (?P<indicator>1_\[[^\[\]]*\])
    | (?P<logic>\[\w+\])
    | (?P<column>"[^"]+")
    | (?P<word>\d*(?:[^\W\d]|\*)[\w*]*(?:-\w+)*)
    | (?P<plus>\+) | (?P<open>\() | (?P<close>\))""",
    re.VERBOSE,
)
_REMEDIES = {
    "{": "components are written n_{{5; acc; Mask=CSF,WM}}, both braces closed",
    "}": "components are written n_{{5; acc; Mask=CSF,WM}}, both braces opened",
    "^": "powers are written x^2, x^^2, x^1-3 or x^{1,3}",
    "[": "write 1_[>0.5](fd) for a threshold; [OR], [AND], [NOT] or [SCATTER] for flags",
    '"': "close the quote of the column's name",
}


def parse(text: str) -> Formula:
    """Return the tree of a confound formula.

    Raises
    ------
    RecipeError
        The text is no formula: the message says at which character, and what to do.

    Examples
    --------
    >>> parse("dd1( trans_x+gsr )^2")
    Difference(orders=(0, 1), of=Power(orders=(2,), of=Sum(terms=(Word(text='trans_x'), \
Word(text='gsr')))))
    """
    try:
        return _Parser(text).whole() if text.strip() else Sum(())
    except Mistake as mistake:
        raise RecipeError(
            f"the confounds {text!r} are wrong at character {mistake.at + 1}: {mistake.problem}"
        ) from None


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:
            lone = f"{text[at]!r} has no meaning here; put a column's odd name in quotes"
            raise Mistake(at, _REMEDIES.get(text[at], lone))
        if found.lastgroup != "space":
            yield Token(str(found.lastgroup), found[0], at)
        at = found.end()
    yield Token("end", "", at)


@final
class _Parser:
    """Goes through the tokens once, a method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))

    def whole(self) -> Formula:
        formula = self.sum(0)
        if self.tokens[0].kind != "end":
            raise self.surplus()
        return formula

    def sum(self, depth: int) -> Formula:
        terms = [self.term(depth)]
        while self.take("plus"):
            terms.append(self.term(depth))
        return total(terms)

    def term(self, depth: int) -> Formula:
        if token := self.take("difference"):
            return Difference(leaves.orders(token), self.term(depth))
        formula = self.atom(depth)
        token = self.take("power")
        return Power(leaves.orders(token), formula) if token else formula

    def atom(self, depth: int) -> Formula:
        token = self.tokens.pop(0)
        if depth > DEEPEST:
            raise Mistake(token.at, f"parentheses nest deeper than {DEEPEST}; simplify")
        if token.kind == "indicator":
            return Indicator(*leaves.indicator(token), self.atom(depth + 1))
        if token.kind == "logic":
            return Logic(leaves.logic(token), self.atom(depth + 1))
        if token.kind == "open":
            return self.inner(token, depth + 1)
        if token.kind not in leaves.LEAVES:
            before = f"before {token.text!r}" if token.text else "at the end"
            raise Mistake(token.at, f"a name is missing {before}; add one, or take off the rest")
        if token.kind == "word" and self.tokens[0].kind == "open":
            raise Mistake(token.at, leaves.no_function(token.text))
        return leaves.LEAVES[token.kind](token)

    def inner(self, opened: Token, depth: int) -> Formula:
        formula = self.sum(depth)
        if not self.take("close"):
            if self.tokens[0].kind == "end":
                raise Mistake(opened.at, "this parenthesis is never closed; add a ')'")
            raise self.surplus()
        return formula

    def take(self, kind: str) -> Token | None:
        return self.tokens.pop(0) if self.tokens[0].kind == kind else None

    def surplus(self) -> Mistake:
        token = self.tokens[0]
        if token.kind == "close":
            return Mistake(token.at, "no parenthesis is open here; take this ')' off")
        if token.kind == "power":
            return Mistake(token.at, "one power follows another; put parentheses around the first")
        return Mistake(token.at, f"'+' is missing before {token.text!r}; terms are added by it")
