"""Laws of sequences of expressions: one expression in the index whose values they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Basic, Dummy, Expr, Integer, S, Symbol, linsolve

__all__ = ["Stretch", "law", "runs", "stretches", "written_out"]

_NUMBER = re.compile(r"-?\d+")
_ENDS = 1  # exceptions at either end of a sequence, at most
_SHORTEST = 3  # elements of a run that are not equal: two always have a law


@dataclass(frozen=True)
class Stretch:
    """Consecutive elements of a sequence that obey one law.

    Attributes:
        index: The symbol in which the element is written; the place itself if it is the only one.
        element: The element at the index.
        first: The first place, from 1.
        last: The last place.
    """

    index: Expr
    element: Any
    first: Expr
    last: Expr

    def mapped(self, values: Mapping[Any, Any]) -> Stretch:
        """Return the run with symbols replaced in the element and the places."""
        index, first, last = (x.xreplace(values) for x in (self.index, self.first, self.last))
        return Stretch(index, self.element.xreplace(values), first, last)


def law(values: Mapping[tuple[int, ...], Basic], indices: tuple[Symbol, ...]) -> Basic | None:
    """Return an expression in the indices with these values, numbers in it affine in them or one over that; None without one.

    >>> from sympy.abc import i, x
    >>> law({(2,): 2 * x**2 + x / 2, (3,): 3 * x**2 + x / 3, (4,): 4 * x**2 + x / 4}, (i,))
    i*x**2 + x/i
    >>> law({(2,): 2 * x, (3,): 3 * x, (4,): 5 * x}, (i,)) is None
    True
    """
    found = _unified(list(values), list(values.values()), indices)
    return found if found is not None and all(_at(found, indices, at) == x for at, x in values.items()) else None


def _at(e: Basic, indices: tuple[Symbol, ...], at: tuple[int, ...]) -> Basic:
    # not xreplace: a product is to combine its numbers anew
    return e.subs(list(zip(indices, map(Integer, at), strict=True)))


def _unified(places: list[tuple[int, ...]], values: list[Basic], indices: tuple[Symbol, ...]) -> Basic | None:
    """Return what the expressions have in common, with a law for every number in which they differ."""
    first = values[0]
    if all(x == first for x in values):
        return first
    if all(x.is_Rational for x in values):
        affine = _affine(places, values, indices)
        if affine is None and all(x != 0 for x in values):
            below = _affine(places, [1 / x for x in values], indices)
            affine = None if below is None else 1 / below
        return affine
    if not first.args or any(x.func != first.func or len(x.args) != len(first.args) for x in values):
        return None
    args = [_unified(places, list(column), indices) for column in zip(*map(_ordered, values), strict=True)]
    return None if any(x is None for x in args) else first.func(*args)


def _ordered(e: Basic) -> list[Basic]:
    """Return the arguments, those of a sum or product in an order that numbers in them do not change."""
    return sorted(e.args, key=lambda x: _NUMBER.sub("#", str(x))) if e.is_Add or e.is_Mul else list(e.args)


def _affine(places: list[tuple[int, ...]], values: list[Any], indices: tuple[Symbol, ...]) -> Expr | None:
    unknowns = [Dummy() for _ in range(len(indices) + 1)]
    rows = [
        unknowns[0] + sum((c * j for c, j in zip(unknowns[1:], at, strict=True)), S.Zero) - x
        for at, x in zip(places, values, strict=True)
    ]
    for solution in linsolve(rows, unknowns):
        constant, *slopes = (c.xreplace(dict.fromkeys(unknowns, S.Zero)) for c in solution)
        return constant + sum((c * j for c, j in zip(slopes, indices, strict=True)), S.Zero)
    return None


def runs(sequences: Mapping[int, Sequence[Basic]], index: Symbol, count: Symbol) -> tuple[Stretch, ...] | None:
    """Return the laws of the sequences that there are for each count: one for all elements but the first and the last.

    The law is made without the sequence of the largest count and has to hold for it too. Elements at the ends that obey it are part
    of its run; if all sequences are equally long, every element has a law of its own, in the count alone.

    Args:
        sequences: For each of three counts or more.
        index: The symbol of the place, from 1.
        count: The symbol of the count.

    Returns:
        None if there is no such law.

    >>> from sympy.abc import i, n, x
    >>> for run in runs({c: [x, *(j * x + c for j in range(2, c + 2))] for c in (3, 4, 5)}, i, n):
    ...     print(run.element, run.first, run.last)
    x 1 1
    i*x + n 2 n + 1
    """
    longest = max(sequences)
    more = {len(found) - c for c, found in sequences.items()}
    lengths = {len(found) for found in sequences.values()}
    if len(lengths) == 1:
        return _alone(sequences, count, range(1, lengths.pop() + 1), 0)
    if len(more) != 1:
        return None
    (extra,) = more
    known = {
        (place, c): found[place - 1]
        for c, found in sequences.items()
        for place in range(1 + _ENDS, len(found) + 1 - _ENDS)
    }
    found = law({at: x for at, x in known.items() if at[1] != longest}, (index, count))
    if found is None:
        return None

    def holds(place: int, from_end: bool) -> bool:
        return all(
            _at(found, (index, count), (len(e) + 1 - place if from_end else place, c))
            == e[-place if from_end else place - 1]
            for c, e in sequences.items()
        )

    if any(_at(found, (index, count), at) != x for at, x in known.items()):
        return None
    head = 0 if holds(1, from_end=False) else _ENDS
    tail = 0 if holds(1, from_end=True) else _ENDS
    before = _alone(sequences, count, range(1, head + 1), 0)
    after = _alone(sequences, count, range(extra + 1 - tail, extra + 1), 1)
    if before is None or after is None:
        return None
    middle = Stretch(index, found, Integer(1 + head), count + extra - tail)
    return (*before, middle, *after)


def stretches(
    elements: Sequence[Basic], index: Symbol, first: int = 1, alone: Collection[int] = ()
) -> tuple[Stretch, ...]:
    """Return the laws of one sequence, each of as many consecutive elements as obey it.

    Args:
        elements: The elements.
        index: The symbol of the place.
        first: The place of the first element.
        alone: Places whose elements begin no run.

    >>> from sympy.abc import i, x
    >>> for run in stretches([x, x, 5 * x, 6 * x, 7 * x, x], i):
    ...     print(run.element, run.first, run.last)
    x 1 2
    x*(i + 2) 3 5
    x 6 6
    """
    out: list[Stretch] = []
    at = 0
    while at < len(elements):
        place = first + at
        size = 2 if len(set(elements[at : at + 2])) == 1 else _SHORTEST
        start: dict[tuple[int, ...], Basic] = {(place + i,): x for i, x in enumerate(elements[at : at + size])}
        found = law(start, (index,)) if len(start) == size and place not in alone else None
        if found is None:
            size, (here, element) = 1, (Integer(place), elements[at])
        else:
            while at + size < len(elements) and _at(found, (index,), (place + size,)) == elements[at + size]:
                size += 1
            here, element = index, found
        out.append(Stretch(here, element, Integer(place), Integer(place + size - 1)))
        at += size
    return tuple(out)


def _alone(
    sequences: Mapping[int, Sequence[Basic]], count: Symbol, places: range, slope: int
) -> tuple[Stretch, ...] | None:
    """Return the elements at ``place + slope * count``, each with a law in the count."""
    out = []
    for place in places:
        found = law({(c,): e[place + slope * c - 1] for c, e in sequences.items()}, (count,))
        if found is None:
            return None
        at = place + slope * count
        out.append(Stretch(at, found, at, at))
    return tuple(out)


def written_out(found: Sequence[Stretch], count: Symbol, value: int) -> list[Basic] | None:
    """Return the elements at a count; None if the runs do not follow each other there.

    >>> from sympy.abc import i, n, x
    >>> written_out([Stretch(i, i * x, Integer(1), n), Stretch(n + 1, x + n, n + 1, n + 1)], n, 2)
    [x, 2*x, x + 2]
    """
    out: list[Basic] = []
    for run in found:
        first, last = (int(e.subs(count, value)) for e in (run.first, run.last))
        if first != len(out) + 1 or last < first - 1:
            return None
        # a place that is not the running index holds its own element
        index = (run.index,) if isinstance(run.index, Symbol) and run.index != count else ()
        for place in range(first, last + 1):
            at = (place,) * len(index) + (value,)
            out.append(_at(run.element, (*index, count), at))
    return out
