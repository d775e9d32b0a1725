r"""Effective ridges of spectra that are written out: few distinct eigenvalues, numbers or symbols.

On atoms :math:`s_i` with :math:`m_i` directions each the equation of the effective ridge is a polynomial one of degree
:math:`k+1`,

.. math:: T(\kappa-\lambda)=\kappa\sum_{i=1}^k\frac{m_is_i}{s_i+\kappa},\qquad
   \lambda\le\kappa\le\lambda+\frac1T\sum_im_is_i,

whose non-negative root (at :math:`\lambda=0` the limit :math:`\lambda\to0^+`) is one object. One atom has a quadratic, and
:meth:`AtomicRidge.doit` writes its root out. The object itself has exact derivatives, by atoms too, and is evaluated without the
cancellation of the square root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import Add, Dummy, Eq, Expr, Mul, S, factor, sqrt

from collapse_theory.algebra.effective import ImplicitRidge, Residual
from collapse_theory.algebra.opaque import called

__all__ = ["AtomicResidual", "AtomicRidge", "Atoms", "atoms_of"]

Atoms = Sequence[tuple[Expr, Expr]]
"""Eigenvalues and the number of directions of each."""


def atoms_of(flat: Sequence[Expr]) -> Atoms:
    """Return the atoms that stand one after the other."""
    return tuple(zip(flat[::2], flat[1::2], strict=True))


class AtomicRidge(ImplicitRidge):
    r"""The effective ridge of ``T`` rows and ridge ``lam`` on atoms.

    Args:
        T: Number of rows.
        atoms: ``s1, m1, s2, m2, ...``: distinct positive eigenvalues and their multiplicities.
        lam: Ridge on the mean squared error.

    >>> from collapse_theory.symbols import T, d, lam
    >>> AtomicRidge(10, 1, 20, 0), AtomicRidge(T, 1, d, lam).doit()
    (1, lam/2 + sqrt(4*lam + (lam - 1 + d/T)**2)/2 - 1/2 + d/(2*T))
    """

    @classmethod
    def eval(cls, *args: Expr) -> Expr | None:
        """Return the root without a ridge, where it is known on which side of the directions the rows are."""
        T, *flat, lam = args
        if not lam.is_zero:
            return None
        spare = T - Add(*flat[1::2])
        if spare.is_nonnegative:
            return S.Zero
        return cls.without_ridge(*args) if spare.is_negative and len(flat) == 2 else None

    @classmethod
    def without_ridge(cls, *args: Expr) -> Expr:
        r"""Return :math:`s(m/T-1)`, the root of :math:`\mathrm{df}_1=T` for fewer rows than directions of one eigenvalue."""
        T, s, m, _ = args
        return s * (m - T) / T

    @staticmethod
    def explained(x: Expr, *between: Expr) -> Expr:
        r"""Return :math:`\kappa\,\mathrm{df}_1(\kappa)`."""
        return Add(*(m * x * s / (s + x) for s, m in atoms_of(between)))

    @property
    def eigenspaces(self) -> Atoms:
        """The eigenvalues and their multiplicities."""
        return atoms_of(self.args[1:-1])

    @property
    def rank(self) -> Expr:
        """The number of directions."""
        return Add(*self.args[2:-1:2])

    @property
    def residual(self) -> Expr:
        r""":math:`T-\mathrm{df}_2(\kappa)`."""
        return AtomicResidual(*self.args)

    def equation(self, x: Expr) -> Eq:
        """Return the polynomial equation, in the symbol ``x``."""
        T, lam = self.args[0], self.args[-1]
        bases = [s + x for s, _ in self.eigenspaces]
        right = [m * s * Mul(*(b for j, b in enumerate(bases) if j != i)) for i, (s, m) in enumerate(self.eigenspaces)]
        return Eq(Mul(T, x - lam, *bases), x * Add(*right), evaluate=False)

    @property
    def bracket(self) -> tuple[Expr, Expr]:
        """Between which bounds its root lies."""
        T, lam = self.args[0], self.args[-1]
        return lam, lam + Add(*(m * s for s, m in self.eigenspaces)) / T

    def doit(self, **_hints: Any) -> Expr:
        """Return the root of the quadratic of one atom, and the object of more."""
        if len(self.eigenspaces) != 1:
            return self
        T, s, m, lam = self.args
        half = lam + m * s / T - s
        return (half + sqrt(half**2 + 4 * lam * s)) / 2

    def _number(self, mp: Any, *args: Any) -> Any:
        """Return the limit of Newton's iteration from the upper bound: the equation is convex."""
        T, *flat, lam = args
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        if lam == 0 and mp.fsum(flat[1::2]) <= T:
            return mp.zero
        x = lam + mp.fsum(s * m for s, m in pairs) / T
        while True:
            value = x * (T - mp.fsum(m * s / (s + x) for s, m in pairs)) - T * lam
            step = value / (T - mp.fsum(m * (s / (s + x)) ** 2 for s, m in pairs))
            if step <= x * mp.mpf(2) ** (8 - mp.prec):
                return x
            x -= step

    def _tex(self, printer: Any) -> tuple[str, str]:
        return called(r"\kappa", (self.args[0], self.args[-1]), printer)


class AtomicResidual(Residual):
    r"""The residual degrees of freedom :math:`T-\sum_im_is_i^2/(s_i+\kappa)^2` on atoms, one object because it cancels.

    Args:
        T: Number of rows.
        atoms: As in :class:`AtomicRidge`.
        lam: Ridge on the mean squared error.

    >>> AtomicResidual(10, 1, 20, 0), AtomicResidual(30, 1, 20, 0)
    (5, 10)
    """

    @classmethod
    def eval(cls, *args: Expr) -> Expr | None:
        """Return the value where the effective ridge has one."""
        return None if isinstance(AtomicRidge(*args), AtomicRidge) else cls.definition(*args)

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        r"""Return :math:`T-\mathrm{df}_2(\kappa)`."""
        return cls.at(AtomicRidge(*args), *args)

    def doit(self, **_hints: Any) -> Expr:
        """Return the definition with the root written out."""
        return self.at(AtomicRidge(*self.args).doit(), *self.args)

    @classmethod
    def at(cls, kappa: Expr, *args: Expr) -> Expr:
        """Return the slope of the equation at an effective ridge."""
        T, *flat, _ = args
        x = Dummy(positive=True)
        slope = T - Add(*(factor(AtomicRidge.explained(x, *pair).diff(x)) for pair in atoms_of(flat)))
        return slope.xreplace({x: kappa})
