"""Scalars given by equations of their own: no effective ridge, but solved by the same iteration."""

from __future__ import annotations

from typing import Any

from sympy import Expr, Matrix, Symbol, eye

from collapse_theory.algebra.opaque import Opaque, pairs_of
from collapse_theory.symbols import UnknownName

__all__ = ["ImplicitRoot"]


class ImplicitRoot(Opaque):
    r"""One of the positive scalars :math:`x_1,x_2,\dots` that solve :math:`x_i=f_i(x_1,x_2,\dots)`.

    Args:
        equations: Pairs of an unknown and its right-hand side, each increasing in the unknowns.
        index: Which of them.

    The derivatives solve :math:`x_i'=\partial f_i+\sum_jx_j'\,\partial f_i/\partial x_j`.

    The equations of fits that weigh their samples, or see several covariances, are of this kind.

    >>> from collapse_theory.symbols import T, lam, unknown_name
    >>> from collapse_theory.algebra.integrals import df
    >>> x = unknown_name("x")
    >>> ImplicitRoot(((x, lam + x * df(1, x) / T),), 0).free_symbols == {T, lam}
    True
    """

    is_nonnegative = True
    is_finite = True
    _binds = UnknownName

    def __new__(cls, equations: Any, index: Any) -> Expr:
        """Return the object."""
        return super().__new__(cls, pairs_of(equations), index)

    @property
    def system(self) -> tuple[tuple[Symbol, Expr], ...]:
        """The unknowns and their right-hand sides."""
        return tuple((x, f) for x, f in self.args[0])

    def _derivative(self, x: Symbol) -> Expr:
        unknowns, sides = zip(*self.system, strict=True)
        roots = {y: ImplicitRoot(self.args[0], i) for i, y in enumerate(unknowns)}
        jacobian = Matrix([[f.diff(y).xreplace(roots) for y in unknowns] for f in sides])
        slopes = (eye(len(sides)) - jacobian).LUsolve(Matrix([f.diff(x).xreplace(roots) for f in sides]))
        return slopes[int(self.args[1])]

    def _tex(self, printer: Any) -> tuple[str, str]:
        del printer
        return self.system[int(self.args[1])][0].name.rstrip("?"), ""
