r"""The operator-valued fixed point :math:`G=(F-\eta(G))^{-1}`, solved along its structure in any arithmetic.

The recursion is written once. An :class:`EntryArithmetic` says what the entries are: arrays over the eigenvalues in float64,
or elements of a field of rational functions. In block triangular form, for atoms :math:`A<B`,

.. math:: G_{AB}=-G_{AA}\Big(M_{AB}G_{BB}+\sum_{A<C<B}M_{AC}G_{CB}\Big),\qquad M_{AC}=F_{AC}-\eta_{AC},

where only :math:`\eta_{AB}` has unknowns of the pair itself: a small linear system.

Source: the fixed point is that of operator-valued semicircular elements, Helton, Rashidi Far, Speicher, Operator-valued
semicircular elements: solving a quadratic matrix equation with positivity constraints, IMRN 2007; Mingo, Speicher, Free
Probability and Random Matrices, 2017, ch. 9 and 10. The recursion along block triangular form is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, Protocol

from sympy import Expr, S, default_sort_key

from collapse_theory.engine.pencil import Letter
from collapse_theory.engine.triangular import Feed, Structure, Unknown

__all__ = ["Algebra", "Atom", "EntryArithmetic", "SolvedPencil", "solve"]

Entries = dict[tuple[int, int], Any]


class Algebra(Protocol):
    """What a single block asks of its numbers. Functions support ``+``, ``-`` and ``*``, also with scalars."""

    def function(self, f: Expr) -> Any:
        """Return a function of the eigenvalues."""

    def inverse(self, dimension: Expr, matrix: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse of a small matrix of functions."""


class EntryArithmetic(Algebra, Protocol):
    """What the recursion asks of its numbers."""

    def nonlinear(self, atom: Atom) -> Sequence[Any]:
        """Return the solution of the unknowns of one atom."""

    def linear(
        self, unknowns: Sequence[Unknown], constant: Sequence[Any], slope: Mapping[tuple[int, int], Any]
    ) -> Sequence[Any]:
        """Return ``x = constant + slope x``, where a missing slope is zero. Entries are functions before the trace.

        The trace of each is taken with the unknown's weight and dimension.
        """


@dataclass(frozen=True)
class Atom:
    """One irreducible diagonal block: its deterministic part, its terms of eta and its unknowns.

    Attributes:
        groups: Indices by dimension.
        fixed: The deterministic entries.
        feeds: The terms of eta within the atom.
        unknowns: The unknowns in these terms.
        letters: The random factors within the atom: their place, and their coefficient.
    """

    groups: Mapping[Expr, tuple[int, ...]]
    fixed: Mapping[tuple[int, int], Expr]
    feeds: tuple[Feed, ...]
    unknowns: tuple[Unknown, ...]
    letters: tuple[tuple[int, int, Letter, Expr], ...]

    @classmethod
    def of(cls, structure: Structure, a: int) -> Atom:
        """Return atom ``a`` of a structure."""
        members = structure.atoms[a]
        groups: dict[Expr, tuple[int, ...]] = {}
        for i in members:
            p = structure.pencil.dimensions[i]
            groups[p] = (*groups.get(p, ()), i)
        blocks = structure.pencil.blocks
        fixed = {
            (i, j): blocks[i, j].fixed for i in members for j in members if (i, j) in blocks and blocks[i, j].fixed != 0
        }
        feeds = structure.feeds_by_pair.get((a, a), ())
        letters = tuple(
            (i, j, letter, c)
            for i in members
            for j in members
            if (i, j) in blocks
            for letter, c in blocks[i, j].random.items()
        )
        return cls(groups, fixed, feeds, tuple(dict.fromkeys(f.unknown for f in feeds)), letters)

    def signature(self, *, transposed: bool = False) -> tuple[Any, tuple[int, ...]]:
        """Return a hashable form equal for atoms of equal equations, and the order of the unknowns in it.

        With ``transposed`` the form of the transposed atom, whose unknowns have the same values.
        """
        place = self._place
        at = self._at(transposed=transposed)

        def code(u: Unknown) -> tuple[Any, ...]:
            return (*at(u.row, u.column), u.weight)

        dims = tuple((place[i], p) for p, g in self.groups.items() for i in g)
        fixed = tuple((at(i, j), f) for (i, j), f in self.fixed.items())
        feeds = tuple((at(f.i, f.j), f.factor, code(f.unknown)) for f in self.feeds)
        key = (frozenset(dims), frozenset(fixed), frozenset(feeds))
        order = sorted(range(len(self.unknowns)), key=lambda n: tuple(map(default_sort_key, code(self.unknowns[n]))))
        return key, tuple(order)

    @cached_property
    def _place(self) -> dict[int, int]:
        return {i: n for n, i in enumerate(sorted(i for g in self.groups.values() for i in g))}

    def _at(self, *, transposed: bool) -> Callable[[int, int], tuple[int, int]]:
        place = self._place
        return lambda i, j: (place[j], place[i]) if transposed else (place[i], place[j])

    def randomness(self, *, transposed: bool = False) -> frozenset[Any]:
        """Return the covariances of the entries in a hashable form; more than the equations, the same law."""
        at = self._at(transposed=transposed)
        words = [
            (at(i, j), letter.transpose if transposed else letter, c, letter.matrix) for i, j, letter, c in self.letters
        ]
        return frozenset(
            (x[0], x[1].transposed, x[1].left, x[1].right, x[2], y[0], y[1].transposed, y[1].left, y[1].right, y[2])
            for x in words
            for y in words
            if x[3] == y[3]
        )

    def green(self, arithmetic: EntryArithmetic, values: Mapping[Unknown, Any]) -> Entries:
        """Return the entries of ``G = (F - eta)^{-1}`` at given values of the unknowns."""
        out: Entries = {}
        for p in self.groups:
            out.update(self.block(arithmetic, p, values))
        return out

    def block(self, arithmetic: Algebra, dimension: Expr, values: Mapping[Unknown, Any]) -> Entries:
        """Return the entries of ``G`` on one space, which only needs the unknowns that feed it."""
        g = self.groups[dimension]
        entries: Entries = {key: arithmetic.function(f) for key, f in self.fixed.items() if key[0] in g}
        for f in self.feeds:
            if f.i in g:
                _add(entries, (f.i, f.j), -(arithmetic.function(f.factor) * values[f.unknown]))
        zero = arithmetic.function(S.Zero)
        inverse = arithmetic.inverse(dimension, [[entries.get((i, j), zero) for j in g] for i in g])
        return {(i, j): inverse[r][c] for r, i in enumerate(g) for c, j in enumerate(g)}

    def response(self, arithmetic: EntryArithmetic, green: Mapping[tuple[int, int], Any]) -> dict[tuple[int, int], Any]:
        """Return the derivative of unknown ``a``'s function by unknown ``b``: ``G_ki factor G_jl``, by position."""
        return _response(arithmetic, self.unknowns, self.feeds, green)


@dataclass(frozen=True)
class SolvedPencil:
    """The solved fixed point.

    Attributes:
        green: The needed entries of ``G``.
        values: The unknowns.
    """

    green: Mapping[tuple[int, int], Any]
    values: Mapping[Unknown, Any]


def solve(structure: Structure, arithmetic: EntryArithmetic) -> SolvedPencil:
    """Solve the fixed point along its structure.

    Atoms that are equal, or transposes of each other, share one solution.
    """
    green: Entries = {}
    values: dict[Unknown, Any] = {}
    count = len(structure.atoms)
    for a, atom, alike in _needed_atoms(structure):
        known = arithmetic.nonlinear(atom) if alike is None else [values[u] for u in alike]
        values.update(zip(atom.unknowns, known, strict=True))
        green.update(atom.green(arithmetic, values))
        read = [u for u in structure.unknowns_by_pair.get((a, a), ()) if u not in values]  # for later components only
        values.update(zip(read, arithmetic.linear(read, [green[u.row, u.column] for u in read], {}), strict=True))
    middle: dict[tuple[int, int], Entries] = {}
    for distance in range(1, count):
        for a in range(count - distance):
            if (a, a + distance) in structure.needed:
                _solve_pair(structure, arithmetic, (a, a + distance), green, middle, values)
    return SolvedPencil(green, values)


@lru_cache(maxsize=64)
def _needed_atoms(structure: Structure) -> tuple[tuple[int, Atom, tuple[Unknown, ...] | None], ...]:
    """Return the atoms the results depend on, by place; of one equal to an earlier one, the unknowns that its own equal."""
    first: dict[Any, tuple[Unknown, ...]] = {}
    out = []
    for a in range(len(structure.atoms)):
        if (a, a) not in structure.needed:
            continue
        atom, alike = Atom.of(structure, a), None
        for transposed in (False, True):
            key, order = atom.signature(transposed=transposed)
            law = key, atom.randomness(transposed=transposed)
            if law in first:
                equal = dict(zip(order, first[law], strict=True))
                alike = tuple(equal[n] for n in range(len(order)))
                break
        else:
            key, order = atom.signature()
            first[key, atom.randomness()] = tuple(atom.unknowns[n] for n in order)
        out.append((a, atom, alike))
    return tuple(out)


def _solve_pair(
    structure: Structure,
    arithmetic: EntryArithmetic,
    pair: tuple[int, int],
    green: Entries,
    middle: dict[tuple[int, int], Entries],
    values: dict[Unknown, Any],
) -> None:
    """Solve the entries of ``G`` between two atoms; the unknowns of shorter intervals are known."""
    own = structure.unknowns_by_pair.get(pair, ())
    own_feeds = tuple(f for f in structure.feeds_by_pair.get(pair, ()) if f.unknown in own)
    entries = _without_own(structure, arithmetic, pair, green, middle, values)
    if own:
        zero = arithmetic.function(S.Zero)
        constant = [entries.get((u.row, u.column), zero) for u in own]
        x = arithmetic.linear(own, constant, _response(arithmetic, own, own_feeds, green))
        values.update(zip(own, x, strict=True))
        middle.pop(pair, None)  # it lacks its own unknowns, which are known from here on
    for f in own_feeds:
        eta = arithmetic.function(f.factor) * values[f.unknown]
        for k, q in product(structure.atoms[pair[0]], structure.atoms[pair[1]]):
            if (k, f.i) in green and (f.j, q) in green:
                _add(entries, (k, q), green[k, f.i] * eta * green[f.j, q])
    green.update(entries)


def _without_own(
    structure: Structure,
    arithmetic: EntryArithmetic,
    pair: tuple[int, int],
    green: Entries,
    middle: dict[tuple[int, int], Entries],
    values: Mapping[Unknown, Any],
) -> Entries:
    """Return the entries of ``G`` between two atoms with their own unknowns set to zero."""
    a, b = pair
    inner: Entries = {}
    for c in range(a + 1, b + 1):
        if not structure.linked[a, c]:
            continue
        if (a, c) not in middle:
            middle[a, c] = _between(structure, arithmetic, (a, c), values)
        for (i, j), x in middle[a, c].items():
            for q in structure.atoms[b]:
                if (j, q) in green:
                    _add(inner, (i, q), x * green[j, q])
    out: Entries = {}
    for (i, q), x in inner.items():
        for k in structure.atoms[a]:
            if (k, i) in green:
                _add(out, (k, q), -(green[k, i] * x))
    return out


def _between(
    structure: Structure, arithmetic: EntryArithmetic, pair: tuple[int, int], values: Mapping[Unknown, Any]
) -> Entries:
    """Return the entries of ``M`` between two atoms, without its own unknowns as long as they are not solved."""
    a, b = pair
    entries: Entries = {}
    for i in structure.atoms[a]:
        for j in structure.atoms[b]:
            block = structure.pencil.blocks.get((i, j))
            if block is not None and block.fixed != 0:
                entries[i, j] = arithmetic.function(block.fixed)
    own = structure.unknowns_by_pair.get(pair, ())
    for f in structure.feeds_by_pair.get(pair, ()):
        if f.unknown not in own or f.unknown in values:
            _add(entries, (f.i, f.j), -(arithmetic.function(f.factor) * values[f.unknown]))
    return entries


def _response(
    arithmetic: EntryArithmetic,
    unknowns: Sequence[Unknown],
    feeds: Sequence[Feed],
    green: Mapping[tuple[int, int], Any],
) -> dict[tuple[int, int], Any]:
    place = {u: n for n, u in enumerate(unknowns)}
    out: dict[tuple[int, int], Any] = {}
    for f in feeds:
        factor = arithmetic.function(f.factor)
        for n, u in enumerate(unknowns):
            left, right = green.get((u.row, f.i)), green.get((f.j, u.column))
            if left is not None and right is not None:
                _add(out, (n, place[f.unknown]), left * factor * right)
    return out


def _add(entries: dict[tuple[int, int], Any], key: tuple[int, int], x: Any) -> None:
    entries[key] = entries[key] + x if key in entries else x
