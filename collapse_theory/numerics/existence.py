r"""Whether a pencil has a deterministic equivalent, and which root of its fixed point that is.

The fixed point has real roots of vanishing residual also where zero lies in the limiting spectrum of :math:`Q`, and there
:math:`Q^{-1}` has no deterministic equivalent. The second moment tells: :math:`\mathbb EQ^{-1}XQ^{-\top}` solves
:math:`Y=G(X+\eta_{Q,Q^\top}(Y))G^\top`, so it is finite and positive for every :math:`X\ge0` iff

.. math:: \rho\big(X\mapsto G\,\eta_{Q,Q^\top}(X)\,G^\top\big)<1,\qquad
   \eta_{Q,Q^\top}(X)=\mathbb E\,(Q-\mathbb EQ)\,X\,(Q-\mathbb EQ)^\top.

At most one root passes. The map is positive and block triangular with the pencil, so its radius is the largest over the atoms.
A root is looked for where it is unique for every :math:`\epsilon>0`, on the Hermitian dilation

.. math:: \begin{pmatrix}-i\epsilon&Q\\Q^\top&-i\epsilon\end{pmatrix}^{-1}\simeq\begin{pmatrix}iA&P^\top\\P&iB\end{pmatrix},

with :math:`A,B\ge0` of order :math:`\epsilon` where the equivalent :math:`P\to G` exists.

Source: the criterion, and the rule that the root which passes is the equivalent, are ours. One root with the right sign for
every offset, and its averaged iteration: Helton, Rashidi Far, Speicher, Operator-valued semicircular elements: solving a
quadratic matrix equation with positivity constraints, IMRN 2007.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import ConvergenceError, NoEquivalentError
from collapse_theory.engine.fixed_point import Atom
from collapse_theory.engine.pencil import Letter
from collapse_theory.engine.triangular import Structure
from collapse_theory.numerics.entries import NumericArithmetic, expressions_of
from collapse_theory.numerics.solution import Status

__all__ = ["VerifiedArithmetic", "second_moment_radius", "verified_expressions"]

_MARGIN = 6e-8  # a root is known to about eps/(1 - radius): closer to one than sqrt(eps) the radius is round-off
_OFFSETS = (1.0, 0.1, 1e-2, 1e-3, 1e-4)
_STEPS = 60


def verified_expressions(structure: Structure) -> set[Expr]:
    """Return the functions that solving and verifying a pencil reads."""
    out = expressions_of(structure)
    for block in structure.pencil.blocks.values():
        for letter, c in block.random.items():
            out |= {letter.left, letter.right, c}
    return out


@dataclass
class VerifiedArithmetic(NumericArithmetic):
    """Arrays over the nodes, with every atom's root verified to be the equivalent.

    Attributes:
        radius: Largest second-moment radius met so far.
    """

    radius: float = field(default=0.0)

    def nonlinear(self, atom: Atom) -> Sequence[float]:
        """Return the root whose second moment is finite.

        Raises:
            NoEquivalentError: If there is none.
            ConvergenceError: If float64 cannot tell.
        """
        given = self.start(atom)
        start = np.zeros(len(atom.unknowns)) if given is None else np.array(given, dtype=float)
        found, radius = self._verified(atom, start)
        if not radius < 1 - _MARGIN:
            found, radius = self._from_dilation(atom, radius)
        self.radius = max(self.radius, radius)
        return found

    def _verified(self, atom: Atom, start: np.ndarray) -> tuple[Sequence[float], float]:
        """Return the root near a start and its second-moment radius, infinite if there is none."""
        try:
            found = self.root(atom, start)
            if found.status is not Status.SETTLED:
                return [], np.inf
            radius = second_moment_radius(atom, self, list(found.value))
        except ConvergenceError:
            return [], np.inf
        if radius < 1 - _MARGIN:
            self.residual = max(self.residual, found.largest)
        return list(found.value), radius

    def _from_dilation(self, atom: Atom, radius: float) -> tuple[Sequence[float], float]:
        """Return the root that the dilation leads to, with its radius; ``radius`` is that of a root that failed."""
        dilation = _Dilation(atom, self)
        for epsilon in _OFFSETS if atom.unknowns else ():
            dilation.relax(epsilon)
            x, here = self._verified(atom, dilation.unknowns())
            radius = min(radius, here)
            if here < 1 - _MARGIN:
                return x, here
        if radius < 1 + _MARGIN:
            raise ConvergenceError(
                f"the expression needs a second-moment radius clearly below 1, got 1 - {1 - radius:.1e}: float64 cannot tell on "
                "which side of the threshold of existence this is; move away from it"
            )
        got = "no real root at all" if radius == np.inf else f"{radius:.4g} at the root of its fixed point"
        raise NoEquivalentError(
            f"a deterministic equivalent needs a second-moment radius < 1, got {got}: zero lies in the limiting spectrum of a "
            "matrix that is inverted, so that the inverse does not settle as the dimensions grow; move the shift out of the "
            "spectrum, for example by a larger ridge"
        )


def second_moment_radius(atom: Atom, arithmetic: NumericArithmetic, values: Sequence[float]) -> float:
    r"""Return the spectral radius of :math:`X\mapsto G\eta_{Q,Q^\top}(X)G^\top` on one atom.

    The map acts through the traces :math:`\operatorname{tr}[r_a(\Sigma)r_b(\Sigma)X_{kl}]` over pairs of places of one
    letter, so that it is a small matrix.

    Raises:
        ConvergenceError: If an entry is not finite.
    """
    if not atom.letters:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        green = atom.green(arithmetic, dict(zip(atom.unknowns, values, strict=True)))
        pairs = _pairs(atom, arithmetic, transposed=False)
        matrix = np.zeros((len(pairs), len(pairs)))
        for row, column in product(range(len(pairs)), repeat=2):
            u, f = pairs[row], pairs[column]
            left, right = green.get((u.inner[0], f.outer[0])), green.get((u.inner[1], f.outer[1]))
            if left is not None and right is not None:
                matrix[row, column] = arithmetic.trace(u.dimension, u.weight * left * f.factor * right)
    if not np.isfinite(matrix).all():
        raise ConvergenceError("the second moment of a component is not finite at these values; give a ridge > 0")
    return float(np.max(np.abs(np.linalg.eigvals(matrix)), initial=0.0))


@dataclass(frozen=True)
class _Pair:
    """Two places of one letter: their contribution ``factor * tr[weight X_inner]`` to the entry ``outer``.

    Attributes:
        outer: Indices on the outer sides of the two letters.
        inner: Indices on their inner sides.
        dimension: Space of the inner sides.
        factor: Function on the outer space.
        weight: Function on the inner space.
    """

    outer: tuple[int, int]
    inner: tuple[int, int]
    dimension: Expr
    factor: Any
    weight: Any


def _pairs(atom: Atom, arithmetic: NumericArithmetic, *, transposed: bool) -> list[_Pair]:
    """Return the terms of ``E[Q X Q']`` for centred ``Q``, or of ``E[Q' X Q]``."""
    space = {i: p for p, g in atom.groups.items() for i in g}
    places = [_Place.of(arithmetic, *place, transposed=transposed) for place in atom.letters]
    return [
        _Pair((a.outer, b.outer), (a.inner, b.inner), space[a.inner], a.left * b.left, a.right * b.right)
        for a in places
        for b in places
        if a.letter.matrix == b.letter.matrix and a.letter.transposed == b.letter.transposed
    ]


@dataclass(frozen=True)
class _Place:
    """A letter where it stands, or its transpose: ``left Z right`` from the index ``inner`` to ``outer``."""

    outer: int
    inner: int
    letter: Letter
    left: Any
    right: Any

    @classmethod
    def of(cls, arithmetic: NumericArithmetic, i: int, k: int, letter: Letter, c: Expr, *, transposed: bool) -> _Place:
        """Return the place with the functions as numbers, the coefficient among the outer ones."""
        if transposed:
            i, k, letter = k, i, letter.transpose
        value = arithmetic.function
        return cls(i, k, letter, value(c) * value(letter.left), value(letter.right))


class _Dilation:
    """The fixed point of the Hermitian dilation of one atom, by averaged iteration, which converges for every offset > 0."""

    def __init__(self, atom: Atom, arithmetic: NumericArithmetic) -> None:
        self.atom, self.arithmetic = atom, arithmetic
        self.groups = {p: {i: n for n, i in enumerate(g)} for p, g in atom.groups.items()}
        self.space = {i: p for p, g in atom.groups.items() for i in g}
        self.above = _pairs(atom, arithmetic, transposed=False)
        self.below = _pairs(atom, arithmetic, transposed=True)
        first = [_Place.of(arithmetic, *place, transposed=False) for place in atom.letters]
        self.mixed = [
            _Pair((a.outer, b.inner), (a.inner, b.outer), self.space[a.inner], a.left * b.right, a.right * b.left)
            for a in first
            for b in first
            if a.letter.matrix == b.letter.matrix and a.letter.transposed != b.letter.transposed
        ]
        shape = {p: (arithmetic.spaces[p].size, len(g), len(g)) for p, g in atom.groups.items()}
        self.fixed = {p: np.zeros(s) for p, s in shape.items()}
        for (i, j), f in atom.fixed.items():
            p = self.space[i]
            self.fixed[p][:, self.groups[p][i], self.groups[p][j]] = arithmetic.function(f)
        unit = {p: np.broadcast_to(np.eye(s[1]), s).copy() for p, s in shape.items()}
        self.upper, self.lower = unit, {p: u.copy() for p, u in unit.items()}
        self.middle = {p: np.zeros(s) for p, s in shape.items()}

    def relax(self, epsilon: float) -> None:
        """Iterate at one offset, from where the last one ended."""
        for _ in range(_STEPS):
            first = self._image(self.above, self.lower)
            second = self._image(self.below, self.upper)
            shift = self._image(self.mixed, self.middle)
            for p, fixed in self.fixed.items():
                half, unit = fixed.shape[1], epsilon * np.eye(fixed.shape[1])
                n = fixed - shift[p]
                block = np.block([[first[p] + unit, n], [-np.swapaxes(n, 1, 2), second[p] + unit]])
                inverse = np.linalg.inv(block)
                self.upper[p] = (self.upper[p] + inverse[:, :half, :half]) / 2
                self.middle[p] = (self.middle[p] + inverse[:, half:, :half]) / 2
                self.lower[p] = (self.lower[p] + inverse[:, half:, half:]) / 2

    def unknowns(self) -> np.ndarray:
        """Return the traces that the atom's own fixed point is solved for."""
        return np.array(
            [
                self._trace(u.dimension, self.arithmetic.function(u.weight), (u.row, u.column), self.middle)
                for u in self.atom.unknowns
            ]
        )

    def _image(self, pairs: Sequence[_Pair], entries: Mapping[Expr, np.ndarray]) -> dict[Expr, np.ndarray]:
        out = {p: np.zeros_like(f) for p, f in self.fixed.items()}
        for f in pairs:
            p = self.space[f.outer[0]]
            i, j = (self.groups[p][x] for x in f.outer)
            out[p][:, i, j] += f.factor * self._trace(f.dimension, f.weight, f.inner, entries)
        return out

    def _trace(self, p: Expr, weight: Any, place: tuple[int, int], entries: Mapping[Expr, np.ndarray]) -> float:
        k, q = (self.groups[p][x] for x in place)
        return self.arithmetic.trace(p, weight * entries[p][:, k, q])
