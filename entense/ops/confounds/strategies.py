"""Named strategies: each is a formula, and the frames that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from entense.ops.confounds.censoring import Censoring

if TYPE_CHECKING:
    from entense.ops.confounds.formula import Strategy

_PICK = "PICK"
_MASKS = "acc; Mask=WM,CSF"


class Recipe(NamedTuple):
    """A strategy's formula; where it has PICK, the components that are chosen."""

    formula: str
    components: str | None = None
    first: int | None = None  # how many components, all where None
    censoring: Censoring = Censoring()


_DUMMIES = Censoring(dummies=True)  # nilearn always leaves them out

STRATEGIES: dict[str, Recipe] = {
    "none": Recipe(""),
    "gsr_only": Recipe("gsr"),
    "6P": Recipe("rps"),
    "9P": Recipe("rps + csf + wm + gsr"),
    "24P": Recipe("(dd1(rps))^^2"),
    "27P": Recipe("(dd1(rps))^^2 + csf + wm + gsr"),
    "36P": Recipe("(dd1(rps + csf + wm + gsr))^^2"),
    "aCompCor": Recipe("dd1(rps) + PICK + cosine", _MASKS, 5),
    "aCompCor_GSR": Recipe("dd1(rps) + PICK + cosine + gsr", _MASKS, 5),
    "tCompCor": Recipe("dd1(rps) + PICK + cosine", "tcc", 5),
    "ICA-AROMA": Recipe("aroma"),
    "simple": Recipe("cosine + (dd1(rps))^^2 + wm + csf", censoring=_DUMMIES),
    "scrubbing": Recipe(
        "cosine + (dd1(rps))^^2 + (dd1(wm + csf))^^2",
        censoring=Censoring(fd=0.5, dvars=1.5, contiguous=5, dummies=True),
    ),
    "compcor": Recipe("cosine + (dd1(rps))^^2 + PICK", "acc", censoring=_DUMMIES),
    "ica_aroma": Recipe("cosine + wm + csf", censoring=_DUMMIES),
}
BY_LOWER = {name.lower(): name for name in STRATEGIES}


def formula_of(strategy: Strategy) -> str:
    """Return the formula of a strategy.

    Examples
    --------
    >>> from entense.ops.confounds.formula import Strategy
    >>> formula_of(Strategy("aCompCor", count=10))
    'dd1(rps) + n_{{10; acc; Mask=WM,CSF}} + cosine'
    """
    recipe = STRATEGIES[strategy.name]
    return recipe.formula.replace(_PICK, _components(recipe, strategy))


def _components(recipe: Recipe, strategy: Strategy) -> str:
    if strategy.variance is not None:
        return f"v_{{{{{strategy.variance}; {recipe.components}}}}}"
    count = recipe.first if strategy.count is None else strategy.count
    return (
        f"{{{{{recipe.components}}}}}"
        if count is None
        else f"n_{{{{{count}; {recipe.components}}}}}"
    )
