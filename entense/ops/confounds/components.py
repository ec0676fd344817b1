"""Numbered columns (CompCor, AROMA, cosines), chosen by what the sidecar says of them."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.ops.confounds.names import FAMILIES, Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from entense.ops.confounds.formula import Components
    from entense.ops.confounds.table import Regressors

_MASKS = {"a_comp_cor_": "combined", "c_comp_cor_": "CSF", "w_comp_cor_": "WM"}
_EARLY = 6  # components of both masks together, all that fMRIPrep up to 1.3 kept


def chosen(table: Regressors, asked: Components) -> list[str]:
    """Return the names of the columns that are asked for, each mask's in order.

    Raises
    ------
    RecordError
        There are none, or the sidecar does not say what they are chosen by.
    """
    family = FAMILIES.get(asked.family.lower(), Family((f"{asked.family}_",)))
    described = _described(table, family.stems)
    filters = dict(family.filters) | dict(asked.filters)
    found: list[str] = []
    for values in product(*filters.values()):
        wanted = dict(zip(filters, values, strict=True))
        group = [name for name in described if _fits(table, name, described[name], wanted)]
        if not group and not (family.may_lack and "global_signal" in table.frame.columns):
            raise _none(table, asked, wanted, described)
        found += group[: _amount(table, asked, [described[name] for name in group])]
    return found


def _described(table: Regressors, stems: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
    """Return what is known of each column of a family, in the order of their numbers."""
    said = {_plain(name): facts for name, facts in table.about.items()}
    pattern = re.compile(f"({'|'.join(map(re.escape, stems))})(\\d+)")
    numbered = [found for name in table.frame.columns if (found := pattern.fullmatch(name))]
    lost = {
        name for name, facts in said.items() if pattern.fullmatch(name) and facts.get("Retained")
    }
    if lost := lost - {_plain(found[0]) for found in numbered}:
        raise RecordError(
            f"{table.path}: there is no column {min(lost)!r}, which {table.sidecar} describes; "
            "copy both again"
        )
    facts = {
        found[0]: {**_by_name(found[1], numbered), **said.get(_plain(found[0]), {})}
        for found in sorted(numbered, key=lambda found: (found[1], int(found[2])))
    }
    return {name: known for name, known in facts.items() if known.get("Retained") is not False}


def _plain(name: str) -> str:
    """Return a name whose number has no zeros in front: sidecars may not have them."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name)


def _by_name(stem: str, numbered: Iterable[re.Match[str]]) -> dict[str, Any]:
    """Return what the names say, where there is no sidecar."""
    if stem == "aroma_motion_":
        return {"MotionNoise": True}  # fMRIPrep writes no others
    if stem not in _MASKS:
        return {}
    alike = sum(found[1] == stem for found in numbered)
    told = alike < sum(found[1] in _MASKS for found in numbered) or stem != "a_comp_cor_"
    return {"Mask": _MASKS[stem]} if told or alike <= _EARLY else {}


def _fits(
    table: Regressors, name: str, facts: Mapping[str, Any], wanted: Mapping[str, str]
) -> bool:
    for key in wanted:
        if key not in facts:
            raise _untold(table, name, key)
    return all(_same(facts[key], value) for key, value in wanted.items())


def _same(said: object, value: str) -> bool:
    if isinstance(said, (int, float)) and not isinstance(said, bool):
        return re.fullmatch(r"\d*\.?\d+", value) is not None and said == float(value)
    return str(said).lower() == value.lower()


def _amount(table: Regressors, asked: Components, group: list[Mapping[str, Any]]) -> int | None:
    """Return how many of a group are taken; None for all."""
    if asked.variance is None or not group:
        return asked.count
    key = "CumulativeVarianceExplained"
    explained = [share for facts in group if isinstance(share := facts.get(key), (int, float))]
    if len(explained) < len(group):
        raise _untold(table, asked.family, key)
    enough = np.flatnonzero(np.array(explained) >= asked.variance / 100)
    if not enough.size:
        raise RecordError(
            f"{table.path}: the components of {asked} explain {max(explained):.1%} at most; ask "
            "for less, or have fMRIPrep write all (--return-all-components)"
        )
    return int(enough[0]) + 1  # as fMRIPrep counts: the one that reaches it is in


def _untold(table: Regressors, name: str, key: str) -> RecordError:
    where = "it has no JSON sidecar" if table.sidecar is None else f"{table.sidecar} does not"
    return RecordError(
        f"{table.path}: nothing says what {key} is for {name!r}: {where}; put fMRIPrep's "
        "sidecar beside the table, or name columns in a list"
    )


def _none(
    table: Regressors,
    asked: Components,
    wanted: Mapping[str, str],
    described: Mapping[str, Mapping[str, Any]],
) -> RecordError:
    kind = "".join(f" with {key}={value}" for key, value in wanted.items())
    masks = sorted({str(facts.get("Mask")) for facts in described.values()})
    if not described:
        remedy = "leave them out, or run fMRIPrep with them"
    elif wanted.get("Mask", masks[0]) not in masks:
        remedy = (
            f"the table has those of {', '.join(masks)} (fMRIPrep up to 1.3 kept six of both masks "
            "together: dd1(rps) + n_{{5; acc}} + cosine)"
        )
    else:
        remedy = f"there are {len(described)} others"
    return RecordError(f"{table.path}: there are no {asked.family} components{kind}; {remedy}")
