r"""The structure of a fixed point: which entries vanish, which traces are unknown, and in which order they are solved.

With :math:`M=F-\eta(G)` and :math:`G=M^{-1}`, the entries of :math:`\eta` are

.. math:: \eta_{ij}=\sum c\,c'\,l_a(\Sigma)\,r_b(\Sigma)\,\operatorname{tr}\big[r_a(\Sigma)l_b(\Sigma)\,G_{kl}\big]

over pairs of a letter :math:`l_aZr_a` at :math:`(i,k)` and a letter :math:`l_bZ^\top r_b` at :math:`(l,j)` of the same
matrix, in both orders. The *unknowns* are the distinct traces. Permute the pencil to block triangular form; its
irreducible diagonal blocks are the *atoms*. An unknown within one atom obeys a nonlinear equation in the unknowns of
that atom alone. An unknown between two atoms is fed only by entries between atoms of the interval they span, and by
itself and its like only linearly. So the atoms come first, then the pairs of atoms by growing distance.

Source: Mingo, Speicher, Free Probability and Random Matrices, 2017, ch. 9 (the map eta of a block matrix); Dulmage,
Mendelsohn, Coverings of bipartite graphs, Canadian Journal of Mathematics 1958, and Pothen, Fan, Computing the block
triangular form of a sparse matrix, ACM TOMS 1990 (the triangular form). The order of the unknowns is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sympy import Expr, S

from collapse_theory.core.errors import DomainError
from collapse_theory.engine.graphs import matching, strong_components
from collapse_theory.engine.pencil import Letter, Pencil

__all__ = ["Feed", "Structure", "Unknown", "structure_of"]


@dataclass(frozen=True)
class Unknown:
    """The scalar ``tr[weight(Sigma) G_kl]`` over one dimension.

    Attributes:
        dimension: The space of the trace.
        weight: A function of its eigenvalues.
        row: Row ``k`` of the entry, a variable of the pencil.
        column: Column ``l`` of the entry, an equation of the pencil.
    """

    dimension: Expr
    weight: Expr
    row: int
    column: int


@dataclass(frozen=True)
class Feed:
    """One term ``factor(Sigma) * unknown`` of the entry ``(i, j)`` of eta."""

    i: int
    j: int
    factor: Expr
    unknown: Unknown


@dataclass(frozen=True, eq=False)
class Structure:
    """A pencil in block triangular form with everything the recursion needs.

    Attributes:
        pencil: The pencil, equations permuted so that equation ``i`` is matched to variable ``i``.
        atoms: Indices of each irreducible diagonal block, in topological order: ``Q`` is upper triangular.
        feeds: The terms of eta.
    """

    pencil: Pencil
    atoms: tuple[tuple[int, ...], ...]
    feeds: tuple[Feed, ...]

    @cached_property
    def atom_of(self) -> dict[int, int]:
        """Position of the atom that holds each index."""
        return {i: a for a, members in enumerate(self.atoms) for i in members}

    @cached_property
    def feeds_by_pair(self) -> Mapping[tuple[int, int], tuple[Feed, ...]]:
        """Terms of eta by the pair of atoms of their entry."""
        found: dict[tuple[int, int], list[Feed]] = {}
        for f in self.feeds:
            found.setdefault((self.atom_of[f.i], self.atom_of[f.j]), []).append(f)
        return {pair: tuple(v) for pair, v in found.items()}

    @cached_property
    def unknowns_by_pair(self) -> Mapping[tuple[int, int], tuple[Unknown, ...]]:
        """Distinct unknowns by their pair of atoms."""
        found: dict[tuple[int, int], dict[Unknown, None]] = {}
        for f in self.feeds:
            u = f.unknown
            found.setdefault((self.atom_of[u.row], self.atom_of[u.column]), {})[u] = None
        return {pair: tuple(v) for pair, v in found.items()}

    @cached_property
    def needed(self) -> frozenset[tuple[int, int]]:
        """Pairs of atoms whose entries of ``G`` the results depend on."""
        linked = self.linked
        ends = ((self.atom_of[self.pencil.outputs[name]], self.atom_of[i]) for name, i in self.pencil.inputs.items())
        todo = [(a, b) for a, b in ends if a <= b]
        seen: set[tuple[int, int]] = set()
        while todo:
            a, b = pair = todo.pop()
            if pair in seen:
                continue
            seen.add(pair)
            middle = [c for c in range(a + 1, b + 1) if linked[a, c]]
            reads = {(a, a), (b, b), *((c, b) for c in middle)}
            for c in [a, *middle]:
                reads |= {
                    (self.atom_of[f.unknown.row], self.atom_of[f.unknown.column])
                    for f in self.feeds_by_pair.get((a, c), ())
                }
            todo += [r for r in reads if r not in seen]
        return frozenset(seen)

    @cached_property
    def linked(self) -> np.ndarray:
        """Pairs of atoms between which ``M`` is structurally non-zero."""
        out = np.zeros((len(self.atoms), len(self.atoms)), dtype=bool)
        for (i, j), block in self.pencil.blocks.items():
            out[self.atom_of[i], self.atom_of[j]] |= block.fixed != 0
        for pair in self.feeds_by_pair:
            out[pair] = True
        return out


def structure_of(pencil: Pencil) -> Structure:
    """Return the block triangular structure of the fixed point of ``pencil``.

    Raises:
        DomainError: If the pencil is singular where the Gaussian matrices vanish.
    """
    pattern = np.zeros((pencil.size, pencil.size), dtype=bool)
    for (i, j), block in pencil.blocks.items():
        pattern[i, j] = block.fixed != 0
    order = _match(pattern, pencil)
    pencil = _permuted(pencil, order)
    pattern = pattern[order]
    pairs = list(_letter_pairs(pencil))
    while True:  # eta grows the pattern of M, which grows the pattern of G, which grows eta: to the least fixed point
        nonzero = _closure(pattern)
        feeds = [f for f in pairs if nonzero[f.unknown.row, f.unknown.column]]
        grown = pattern.copy()
        for f in feeds:
            grown[f.i, f.j] = True
        if (grown == pattern).all():
            break
        pattern = grown
    return Structure(pencil, _atoms(pencil), _collected(feeds))


def _match(pattern: np.ndarray, pencil: Pencil) -> np.ndarray:
    """Return the equation matched to each variable, so that the diagonal is structurally non-zero."""
    if np.diag(pattern).all():
        return np.arange(len(pattern))
    match = matching(pattern)
    missing = np.flatnonzero(match < 0)
    if missing.size:
        raise DomainError(
            f"the pencil needs to be invertible where the Gaussian matrices vanish, got no pivot for variable {missing[0]} "
            f"of dimension {pencil.dimensions[missing[0]]}; add a ridge"
        )
    return np.asarray(match)


def _permuted(pencil: Pencil, order: np.ndarray) -> Pencil:
    place = {int(i): j for j, i in enumerate(order)}
    blocks = {(place[i], j): b for (i, j), b in pencil.blocks.items()}
    inputs = {name: place[i] for name, i in pencil.inputs.items()}
    return Pencil(pencil.dimensions, blocks, inputs, pencil.outputs, pencil.covariances)


def _closure(pattern: np.ndarray) -> np.ndarray:
    """Return the structurally non-zero entries of the inverse of a matrix with non-zero diagonal."""
    reach = pattern | np.eye(len(pattern), dtype=bool)
    while True:
        further = reach @ reach
        if (further == reach).all():
            return reach
        reach = further


def _letter_pairs(pencil: Pencil) -> Iterable[Feed]:
    """Yield the terms of eta, whether or not the entry of G they read vanishes."""
    places: dict[object, list[tuple[int, int, Letter, Expr]]] = {}
    for (i, j), block in sorted(pencil.blocks.items(), key=lambda e: e[0]):
        for letter, c in block.random.items():
            places.setdefault(letter.matrix, []).append((i, j, letter, c))
    for entries in places.values():
        for i, k, first, c in entries:
            for second_i, j, second, c2 in entries:
                if first.transposed != second.transposed:
                    unknown = Unknown(pencil.dimensions[k], first.right * second.left, k, second_i)
                    yield Feed(i, j, c * c2 * first.left * second.right, unknown)


def _collected(feeds: list[Feed]) -> tuple[Feed, ...]:
    """Add up the terms that share entry and unknown."""
    total: dict[tuple[int, int, Unknown], Expr] = {}
    for f in feeds:
        key = (f.i, f.j, f.unknown)
        total[key] = total.get(key, S.Zero) + f.factor
    return tuple(Feed(i, j, factor, u) for (i, j, u), factor in total.items() if factor != 0)


def _atoms(pencil: Pencil) -> tuple[tuple[int, ...], ...]:
    """Return the strongly connected components of the pencil, upper triangular order."""
    graph = np.zeros((pencil.size, pencil.size), dtype=bool)
    for i, j in pencil.blocks:
        graph[i, j] = True
    label = strong_components(graph)
    count = int(label.max()) + 1
    between = np.zeros((count, count), dtype=bool)
    for i, j in pencil.blocks:
        between[label[i], label[j]] |= label[i] != label[j]
    members = [tuple(int(i) for i in np.flatnonzero(label == a)) for a in range(count)]
    out, left = [], set(range(count))
    while left:  # an atom that no remaining one points to comes next; lowest index first, so that the order is stable
        a = min((a for a in left if not any(between[b, a] for b in left)), key=lambda a: members[a])
        out.append(members[a])
        left.remove(a)
    return tuple(out)
