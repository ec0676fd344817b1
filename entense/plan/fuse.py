"""Fusion: the steps of a graph become as few stages as their cuts and the budget allow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from entense.errors import RecipeError, hint
from entense.ops.core import Kind, ops
from entense.plan.optimize import DECODED, HOSTED, RULES, Roots, Rule, kind, nodes, optimize, source
from entense.plan.shapes import axes_of, specs_of
from entense.plan.steps import Cut, Step, steps_of
from entense.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from entense.tensors.graph import Node

Fusion: TypeAlias = "Callable[[Sequence[Step], int], Sequence[Sequence[Step]]]"
ROOM = 256 << 20
"""Bytes that a stage of whole arrays makes at most, unless one op makes more.

It is the same whatever `memory` allows: where programs are parted shows in the last bits.
"""
fusions: Registry[Fusion] = Registry("fusion")


@dataclass(frozen=True)
class Decode:
    """A stage on disk and CPU: one pass over one file, whatever number of tensors it feeds."""

    sinks: tuple[Node, ...]


@dataclass(frozen=True)
class Stage:
    """A stage on the device: one jitted function, over blocks of columns, some frames, or it all.

    Parameters
    ----------
    cut
        Along what it is cut.
    nodes
        What it computes, in order.
    inputs
        What it takes: arrays, operators, codes, numbers.
    outputs
        What it gives to others: arrays, and pools, which are added up over the blocks.
    """

    cut: Cut
    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]


@dataclass(frozen=True)
class Program:
    """What a graph compiles to; every record of that graph runs it.

    Parameters
    ----------
    recipe
        The graph as it was bound.
    roots
        The same, rewritten; a root a tensor.
    rules
        The rules that changed it.
    decodes, hosted, stages
        What runs, in order; `hosted` is made in float64 on the CPU.
    """

    recipe: Roots
    roots: Roots
    rules: tuple[Rule, ...]
    decodes: tuple[Decode, ...]
    hosted: tuple[Node, ...]
    stages: tuple[Stage, ...]


def register_fusion(name: str, function: Fusion) -> Fusion:
    """Register a way of fusing steps into stages, for ``write(fusion=name)``.

    Parameters
    ----------
    name
        What it is called.
    function
        Takes the steps, in an order in which they can run, and how many bytes one of whole arrays
        should make; returns them in groups, which run one after the other. The steps of a group go
        with each other (`Step.goes_with`), and take nothing that comes later.

    Examples
    --------
    >>> alone = register_fusion("alone-again", lambda steps, room: [[step] for step in steps])
    """
    return fusions.define(name, function, lambda fusion: fusion)


def greedy(steps: Sequence[Step], room: int) -> list[list[Step]]:
    """Fuse each step with the earliest stage that it can join, while the stage stays in its room.

    What is cut along columns or frames always fits: it is cut into as many pieces as it takes.
    """
    groups: list[list[Step]] = []
    place: dict[Node, int] = {}
    for step in steps:
        first = max((_after(step, item, groups, place) for item in step.node.inputs), default=0)
        fits = (n for n in range(first, len(groups)) if _fits(groups[n], step, room))
        place[step.node] = number = next(fits, len(groups))
        if number == len(groups):
            groups.append([])
        groups[number].append(step)
    return groups


def _after(
    step: Step, item: Node, groups: Sequence[Sequence[Step]], place: Mapping[Node, int]
) -> int:
    """Return the first stage that a step can be in, given one of its inputs."""
    if item not in place:
        return 0
    pooled = kind(item) is Kind.POOL  # it is complete when its stage is
    return place[item] + (pooled or not groups[place[item]][0].goes_with(step))


def _fits(group: Sequence[Step], step: Step, room: int) -> bool:
    made = sum(one.size for one in group) + step.size
    return group[0].goes_with(step) and (step.cut != "whole" or made <= room)


def alone(steps: Sequence[Step], _room: int) -> list[list[Step]]:
    """Make each step a stage of its own: nothing is fused."""
    return [[step] for step in steps]


register_fusion("greedy", greedy)
register_fusion("none", alone)


@dataclass(frozen=True)
class How:
    """How a plan is made.

    Parameters
    ----------
    rules
        The optimiser's rules; none still gives a right, slower program.
    fusion
        The registered way of fusing.
    """

    rules: tuple[Rule, ...] = RULES
    fusion: str = "greedy"

    @property
    def said(self) -> str:
        """What an archive says of it: another way gives other last bits."""
        return ", ".join([self.fusion, *(rule.name for rule in self.rules)])


DEFAULT = How()


def how_of(without: Sequence[str] = (), fusion: str = "greedy") -> How:
    """Return how a plan is made, of what a user says.

    Examples
    --------
    >>> len(how_of(["centre"]).rules) == len(RULES) - 1
    True
    """
    names = [rule.name for rule in RULES]
    for name in [without] if isinstance(without, str) else without:
        if name not in names:
            raise RecipeError(f"there is no rule {name!r} to leave out; {hint(name, names)}")
    fusions[fusion]  # an error where there is none
    return How(tuple(rule for rule in RULES if rule.name not in without), fusion)


def compile_program(
    recipe: Roots, known: Mapping[Node, Any], how: How = DEFAULT
) -> tuple[Program, dict[Node, Any]]:
    """Compile a bound graph.

    Parameters
    ----------
    recipe
        The roots, one a tensor.
    known
        What is known of its nodes.
    how
        Rules and fusion.

    Returns
    -------
    The program, and what is known of its nodes (see `specs_of`).
    """
    roots, used = _optimized(recipe, how.rules, ops.generation)
    specs = specs_of(roots, known)
    axes = tuple(axes_of(specs).items())
    sizes = tuple(getattr(spec, "nbytes", 0) for spec in specs.values())
    sizes = sizes if sum(sizes) > ROOM else ()  # what always fits is one program for all lengths
    key = (how.fusion, fusions[how.fusion])
    program = _compiled(
        *(recipe, roots, used, axes), fusion=key, sizes=sizes, generation=ops.generation
    )
    return program, specs


@lru_cache(maxsize=256)
def _optimized(
    recipe: Roots, rules: tuple[Rule, ...], _generation: int
) -> tuple[Roots, tuple[Rule, ...]]:
    roots, used = optimize(recipe, rules)
    return roots, tuple(used)


@lru_cache(maxsize=256)
def _compiled(
    recipe: Roots,
    roots: Roots,
    rules: tuple[Rule, ...],
    axes: tuple[tuple[Node, int], ...],
    *,
    fusion: tuple[str, Fusion],
    sizes: tuple[int, ...],
    generation: int,
) -> Program:
    order = nodes(roots)
    steps = steps_of(order, dict(axes), dict(zip(order, sizes, strict=False)))
    name, fuse = fusion
    groups = fuse(steps, ROOM)
    _check(groups, steps, name)
    return Program(
        recipe=recipe,
        roots=roots,
        rules=rules,
        decodes=_decodes(order),
        hosted=tuple(node for node in order if node.op in HOSTED),
        stages=tuple(_stage(group, order, roots) for group in groups),
    )


def _check(groups: Sequence[Sequence[Step]], steps: Sequence[Step], fusion: str) -> None:
    """Hold a fusion, which may be a user's, to what it promises."""
    done: set[Node] = {step.node for step in steps}
    flat = [step for group in groups for step in group]
    good = len(flat) == len(steps) and {*flat} == {*steps} and all(groups)
    for group in groups:
        pools = [step.node for step in group if kind(step.node) is Kind.POOL]
        for step in group:
            good = good and group[0].goes_with(step)
            done.discard(step.node)
            good = good and not done.intersection(step.node.inputs)
            good = good and not any(pool in step.node.inputs for pool in pools)
    if not good:
        raise RecipeError(
            f"the fusion {fusion!r} leaves out a step, or puts together steps that do not go "
            "together or run before what they take; mend it, or leave fusion= out"
        )


def _stage(group: Sequence[Step], order: Sequence[Node], roots: Roots) -> Stage:
    inside = [step.node for step in group]
    inputs = dict.fromkeys(item for node in inside for item in node.inputs if item not in inside)
    taken = {item for node in order if node not in inside for item in node.inputs}
    outputs = [node for node in inside if node in taken or node in roots]
    return Stage(group[0].cut, tuple(inside), tuple(inputs), tuple(outputs))


def _decodes(order: Iterable[Node]) -> tuple[Decode, ...]:
    files: dict[tuple[str, Node], list[Node]] = {}
    for node in order:
        if node.op in DECODED:
            series = source(node)
            files.setdefault((series.op, series.inputs[0]), []).append(node)
    return tuple(Decode(tuple(sinks)) for sinks in files.values())
