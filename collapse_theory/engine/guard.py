r"""A closed form carries the condition under which it is one.

The closed form of an equivalent is a formula, and takes values also where no equivalent exists. Unless the expression is seen
to have one for all parameters in their range, the formula has the factor :class:`Existence`: one where the equivalent
exists, and an error elsewhere, whichever way numbers are put in.

Source: ours, by the criterion of :mod:`collapse_theory.numerics.existence`.
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Identity, MatAdd, MatMul, MatPow, MatrixExpr, S, Symbol
from sympy.matrices.expressions.inverse import Inverse

from collapse_theory.algebra.opaque import Opaque, argument
from collapse_theory.core.doors import through
from collapse_theory.engine.language import subexpressions
from collapse_theory.engine.letters import Covariance

__all__ = ["Existence", "always_exists"]


class Existence(Opaque):
    """One where a matrix expression has a deterministic equivalent; evaluating it elsewhere raises.

    Args:
        expression: The matrix expression.

    >>> from sympy import sqrt
    >>> from collapse_theory.engine.letters import GaussianMatrix
    >>> from collapse_theory.symbols import T, d, lam
    >>> Z = GaussianMatrix("Z", T, d)
    >>> Existence((Z.T * Z / T + lam * Identity(d)).inv())
    1
    >>> Existence((Identity(d) + lam * GaussianMatrix("G", d, d) / sqrt(d)).inv()).subs({lam: 0.5, d: 10})
    1
    """

    is_positive = True

    def __new__(cls, expression: MatrixExpr) -> Expr:
        """Return one if the expression always has an equivalent, or has one at the numbers in it."""
        expression = argument(expression)
        if always_exists(expression):
            return S.One
        self = super().__new__(cls, expression)
        if not self.free_symbols and not any(isinstance(e, Covariance) for e in subexpressions(expression)):
            through("Existence.check")(expression)
            return S.One
        return self

    @property
    def expression(self) -> MatrixExpr:
        """The matrix expression."""
        return self.args[0]

    @property
    def free_symbols(self) -> set[Symbol]:
        """The scalar symbols of the expression."""
        return {x for x in subexpressions(self.expression) if isinstance(x, Symbol)}

    def _derivative(self, x: Symbol) -> Expr:  # noqa: ARG002 - one wherever it has a value
        return S.Zero

    def _sympystr(self, printer: Any) -> str:
        return f"Existence({printer.doprint(self.expression)})"

    def _tex(self, printer: Any) -> tuple[str, str]:
        return r"\mathbf{1}", rf"\left[{printer.doprint(self.expression)}\right]"


def always_exists(expression: MatrixExpr) -> bool:
    """Return whether every matrix that is inverted is seen to be positive definite for all parameters in their range.

    Sums with non-negative coefficients of ``E.T*E``, covariances and the identity are recognised.

    >>> from collapse_theory.engine.letters import GaussianMatrix
    >>> from collapse_theory.symbols import T, d, lam
    >>> Z = GaussianMatrix("Z", T, d)
    >>> [always_exists((sign * Z.T * Z / T + lam * Identity(d)).inv()) for sign in (1, -1)]
    [True, False]
    """
    inverted = [
        e.arg if isinstance(e, Inverse) else e.base
        for e in subexpressions(expression)
        if isinstance(e, Inverse) or (isinstance(e, MatPow) and e.exp.is_negative)
    ]
    return all(_positive(e) and _definite(e) for e in inverted)


def _positive(e: MatrixExpr) -> bool:
    """Whether a matrix is seen to be positive semi-definite."""
    if isinstance(e, (Identity, Covariance)):
        return True
    if isinstance(e, MatAdd):
        return all(map(_positive, e.args))
    if isinstance(e, Inverse):
        return _positive(e.arg)
    if isinstance(e, MatPow):
        return _positive(e.base) or bool(e.exp.is_even and e.base == e.base.T)
    if isinstance(e, MatMul):
        scalar, factors = e.as_coeff_matrices()
        middle, odd = divmod(len(factors), 2)
        mirrored = all(factors[i] == factors[-1 - i].T for i in range(middle))
        return bool(scalar.is_nonnegative) and mirrored and (not odd or _positive(factors[middle]))
    return False


def _definite(e: MatrixExpr) -> bool:
    """Whether a positive matrix has a part that bounds it from below, zero itself being a limit."""
    if isinstance(e, MatAdd):
        return any(map(_definite, e.args))
    if isinstance(e, MatMul):
        return all(map(_definite, e.as_coeff_matrices()[1]))
    if isinstance(e, MatPow):
        return _definite(e.base)
    return isinstance(e, (Identity, Covariance, Inverse))
