r"""Computations in exponents, repeated in every chamber of the symbols, and the cases they come out as.

:func:`explored` splits where a comparison is not decided, on both sides of a polynomial. So conditions are complete and disjoint by
construction, and a side that is empty without our seeing it costs a superfluous case, never a wrong one. :func:`swept` goes over
the interval of the inner symbol.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import QQ, Ge, Lt
from sympy.logic.boolalg import And, Boolean, Or

from collapse_theory.algebra.exponents import CLEAR, Chamber, CutError, UndecidedError
from collapse_theory.algebra.inequalities import implied
from collapse_theory.core.errors import DomainError

__all__ = ["Piece", "Split", "boundaries", "cases", "explored", "swept"]


@dataclass(frozen=True)
class Split:
    """A tree of cases: a value on each side of a polynomial, which is a value or another split."""

    polynomial: Any
    above: Any
    """Where the polynomial is >= 0."""
    below: Any

    @staticmethod
    def of(polynomial: Any, above: Any, below: Any) -> Any:
        """Return the split, or the common value of both sides."""
        return above if above == below else Split(polynomial, above, below)


def explored(run: Callable[[Chamber], Any], chamber: Chamber) -> Any:
    """Return the results of a computation in all chambers, as a tree of splits.

    Args:
        run: The computation.
        chamber: What is known.

    Raises:
        DomainError: If there are too many chambers to list.
    """
    found = itertools.count(1)

    def explore(chamber: Chamber) -> Any:
        try:
            return run(chamber)
        except UndecidedError as e:
            boundary = e.polynomial
        if next(found) > _MOST:
            raise DomainError(
                f"rates needs fewer symbols, got more than {_MOST} cases for {', '.join(map(str, chamber.domain.symbols))}; "
                "give some of them numbers"
            )
        alive = [x for x in (chamber.knowing(boundary), chamber.knowing(-boundary)) if not x.empty]
        if len(alive) == 1:
            return explore(alive[0])
        return Split.of(boundary, *map(explore, alive))

    return explore(chamber)


_MOST = 100


def cases(tree: Any, value: Callable[[Any], Any], chamber: Chamber) -> list[tuple[Any, Boolean]]:
    """Return the different values in a tree of splits and where each holds: conditions are complete and disjoint.

    Args:
        tree: The tree.
        value: Returns the value of a leaf; sides with equal values are one case.
        chamber: Where the tree was explored.
    """
    found: list[tuple[Any, _Path]] = []

    def walk(node: Any, path: _Path) -> None:
        if isinstance(node, Split):
            walk(node.above, (*path, (node.polynomial, 1)))
            walk(node.below, (*path, (node.polynomial, -1)))
        else:
            found.append((node, path))

    walk(_valued(tree, value), ())
    out: dict[Any, list[Boolean]] = {}
    for x, path in _shortened(found, chamber):
        out.setdefault(x, []).append(And(*(_condition(p, side) for p, side in path)))
    return [(x, Or(*conditions)) for x, conditions in out.items()]


_Path = tuple[tuple[Any, int], ...]
"""Conditions that hold together: polynomials that are >= 0 (1) or < 0 (-1)."""


def _valued(node: Any, value: Callable[[Any], Any]) -> Any:
    if isinstance(node, Split):
        return Split.of(node.polynomial, _valued(node.above, value), _valued(node.below, value))
    return value(node)


def _shortened(found: list[tuple[Any, _Path]], chamber: Chamber) -> list[tuple[Any, _Path]]:
    """Return paths without the conditions that keep them apart from no path of another value; together they cover the same."""
    kept = list(found)
    for i, (x, path) in enumerate(found):
        others = [other for y, other in found if y != x]
        for step in path:
            fewer = tuple(c for c in path if c != step)
            if all(_disjoint(fewer, other, chamber) for other in others):
                path = fewer
        kept[i] = x, path
    kept = list(dict.fromkeys(kept))
    for one in tuple(kept):
        if any(x == one[0] and path != one[1] and _within(one[1], path, chamber) for x, path in kept):
            kept.remove(one)
    return kept


def _within(path: _Path, other: _Path, chamber: Chamber) -> bool:
    """Return whether a path is proved to lie in another: it is apart from the other side of each condition."""
    return all(c in path or _disjoint(path, ((c[0], -c[1]),), chamber) for c in other)


def _disjoint(first: _Path, second: _Path, chamber: Chamber) -> bool:
    """Return whether two paths are proved to have no point in common: the rest contradicts one of the strict conditions."""
    path = tuple(dict.fromkeys((*first, *second)))
    inside = np.ones(chamber.samples.shape[1], dtype=bool)
    for p, side in path:
        inside &= side * chamber.values(p) > CLEAR
    if inside.any():
        return False
    for p, side in path:
        rest = [turn * q for q, turn in path if (q, turn) != (p, side)]
        if side < 0 and implied(p, (*chamber.facts, *rest)):
            return True
    return False


def boundaries(tree: Any, value: Callable[[Any], Any], chamber: Chamber) -> list[tuple[Any, Boolean, Any, Any]]:
    """Return the splits whose sides have one value each, and different ones.

    Args:
        tree: The tree.
        value: Returns the value of a leaf.
        chamber: Where the tree was explored.

    Returns:
        The polynomial, what else holds there, and the values where it is negative and where it is not.
    """
    found: dict[tuple[Any, Any, Any], list[Boolean]] = {}

    def walk(node: Any, path: tuple[tuple[Any, int], ...]) -> Any:
        """Return the one value of a node, or None."""
        if not isinstance(node, Split):
            return value(node)
        above = walk(node.above, (*path, (node.polynomial, 1)))
        below = walk(node.below, (*path, (node.polynomial, -1)))
        if above is None or below is None:
            return None
        if above == below:
            return above
        where = And(*(_condition(p, side) for p, side in _needed(path, chamber)))
        found.setdefault((node.polynomial, below, above), []).append(where)
        return None

    walk(tree, ())
    return [(p, Or(*where), below, above) for (p, below, above), where in found.items()]


def _needed(path: Sequence[tuple[Any, int]], chamber: Chamber) -> list[tuple[Any, int]]:
    """Return the conditions of a path that the others do not imply: of two that do, the later stays."""
    kept = list(path)
    for step in path:
        others = [x for x in kept if x != step]
        known = [*chamber.facts, *(side * p for p, side in others)]
        # A strict condition follows from weak ones if there is room to spare.
        weak = step[0] if step[1] > 0 else -step[0] - step[0].ring(_ROOM)
        if implied(weak, known):
            kept = others
    return kept


_ROOM = QQ(1, 10**6)


def _condition(polynomial: Any, side: int) -> Boolean:
    """Return ``polynomial >= 0`` or ``< 0``, solved for a symbol if one stands alone, else without signs."""
    terms = polynomial.terms()
    ring = polynomial.ring
    for i, x in enumerate(ring.gens):
        alone = [c for k, c in terms if k[i]]
        if len(alone) == 1 and polynomial.coeff(x) == alone[0]:
            rest = -(polynomial - alone[0] * x).quo_ground(alone[0])
            if rest.is_ground:
                up = (alone[0] > 0) == (side > 0)
                left, right = x.as_expr(), rest.as_expr()
                if side > 0:
                    return Ge(left, right) if up else Ge(right, left)
                return Lt(right, left) if up else Lt(left, right)
    plus, minus = (ring.from_dict({k: s * c for k, c in terms if s * c > 0}).as_expr() for s in (1, -1))
    return Ge(plus, minus) if side > 0 else Lt(plus, minus)


# ---------------------------------------------------------------------- the inner symbol
@dataclass(frozen=True)
class Piece:
    """A result on an interval of the inner symbol."""

    low: Any
    high: Any
    value: Any


def swept(run: Callable[[Chamber], Any], chamber: Chamber, low: Any, high: Any) -> tuple[Piece, ...]:
    """Return the results of a computation over an interval of the inner symbol, equal neighbours as one piece."""
    try:
        return (Piece(low, high, run(chamber.within(low, high))),)
    except CutError as e:
        left, right = swept(run, chamber, low, e.at), swept(run, chamber, e.at, high)
    if left[-1].value == right[0].value:
        return (*left[:-1], Piece(left[-1].low, right[0].high, right[0].value), *right[1:])
    return (*left, *right)
