r"""Deterministic equivalents of matrix expressions: the public face of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sympy import Eq, Expr, MatrixExpr, Symbol
from sympy.matrices.expressions.inverse import Inverse

from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.algebra.naming import implicit_equations, named, ridge_names
from collapse_theory.core.doors import through
from collapse_theory.core.errors import DomainError
from collapse_theory.engine.closed_form import ClosedForm, solve_symbolic
from collapse_theory.engine.guard import Existence
from collapse_theory.engine.implicit import trace_over
from collapse_theory.engine.language import subexpressions
from collapse_theory.engine.linearise import linearise
from collapse_theory.engine.pencil import Pencil
from collapse_theory.engine.triangular import Structure, structure_of

if TYPE_CHECKING:
    import numpy as np

    from collapse_theory.describe.spectra import Spectrum
    from collapse_theory.numerics.equivalent_values import EquivalentValues

__all__ = ["RESULT", "DeterministicEquivalent", "deterministic_equivalent"]

RESULT = "x"
"""Name of the input and the output of the pencil whose entry is the equivalent."""


@dataclass(frozen=True)
class DeterministicEquivalent:
    r"""A function :math:`g(\Sigma)` that stands for a random matrix :math:`E` as the dimensions grow together.

    For bounded deterministic :math:`B`, :math:`\operatorname{tr}[BE]\simeq\operatorname{tr}[B\,g(\Sigma)]`.
    Made by :func:`deterministic_equivalent`.

    Attributes:
        expression: The random matrix expression ``E``.
        structure: Its pencil in block triangular form.
    """

    expression: MatrixExpr
    structure: Structure = field(compare=False, repr=False)

    @property
    def pencil(self) -> Pencil:
        """The linear system behind the expression; ``print`` shows it equation by equation."""
        return self.structure.pencil

    @cached_property
    def closed_form(self) -> ClosedForm:
        """The solution with the scalars in it named and defined one by one."""
        return solve_symbolic(self.structure)

    @cached_property
    def expr(self) -> Expr:
        """``g`` as a SymPy expression in the eigenvalue of each covariance, effective ridges, traces and parameters.

        Unless the equivalent is seen to exist for all parameters, with the factor :class:`~.guard.Existence`.
        """
        return self.closed_form.explicit(RESULT) * Existence(self.expression)

    @property
    def equations(self) -> tuple[Eq, ...]:
        """The defining equation of every implicit scalar in ``expr``, as SymPy ``Eq``."""
        shown = self.expr
        rest = tuple(self.closed_form.equations.values())
        return implicit_equations(shown) + tuple(
            Eq(*(named(side, ridge_names(shown)) for side in eq.args), evaluate=False) for eq in rest
        )

    def latex(self) -> str:
        r"""Return the statement :math:`E\simeq g(\Sigma)` and the equations of its scalars."""
        printed: str = through("DeterministicEquivalent.latex")(self)
        return printed

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def trace(self) -> Expr:
        r"""Return :math:`\operatorname{tr}g(\Sigma)` as a SymPy expression."""
        return trace_over(self.expression.rows, self.expr)

    def quadratic_form(self) -> Expr:
        r"""Return :math:`w_0^\top g(\Sigma)w_0` as a SymPy expression."""
        return QuadraticForm(self.expr)

    def evaluate(
        self, spectrum: Spectrum | Mapping[str, Spectrum] | None = None, *, digits: int | None = None, **values: Any
    ) -> np.ndarray:
        """Return the values ``g(s_j)``.

        Args:
            spectrum: Eigenvalues of the covariance; a mapping by name where there are several, listed in their common
                eigenbasis. Omitted if the expression has no covariance.
            digits: Return mpmath numbers with so many significant digits; scalar arguments only, a float argument means its
                exact binary value.
            **values: A value for every symbol of the expression, by name; arrays broadcast. The dimension of a
                covariance comes from its spectrum.

        Returns:
            float64 array of the broadcast shape of the values followed by the dimension (no last axis on a space without
            covariance); with ``digits`` one of mpmath numbers.

        Raises:
            DomainError: If a value is missing, unknown or out of range, or the expression is singular there.
            ConvergenceError: If a nonlinear component is not solved.
        """
        found: np.ndarray = through("DeterministicEquivalent.evaluate")(self, spectrum, digits=digits, **values)
        return found

    def solve(self, spectrum: Spectrum | Mapping[str, Spectrum] | None = None, **values: float) -> EquivalentValues:
        """Return the values at one point together with the residual; arguments as in :meth:`evaluate`."""
        found: EquivalentValues = through("DeterministicEquivalent.solve")(self, spectrum, **values)
        return found

    @cached_property
    def symbols(self) -> Mapping[str, Symbol]:
        """The scalar symbols of the expression by name."""
        return {
            x.name: x
            for x in sorted((x for x in subexpressions(self.expression) if isinstance(x, Symbol)), key=lambda x: x.name)
        }


def deterministic_equivalent(expression: MatrixExpr) -> DeterministicEquivalent:
    r"""Derive the deterministic equivalent of a rational expression in Gaussian matrices.

    Args:
        expression: A square SymPy matrix expression: sums, products, transposes, inverses and integer powers of
            :class:`.GaussianMatrix`, :class:`.Covariance` and the identity, with scalar coefficients.

    Raises:
        DomainError: If the expression is outside that language, or singular where the Gaussian matrices vanish.
        NonCommutingError: If covariances of one space are not declared commuting.

    >>> from sympy import Identity
    >>> from collapse_theory.symbols import T, d, lam
    >>> from collapse_theory.engine.letters import Covariance, GaussianMatrix, sqrt
    >>> X = GaussianMatrix("Z", T, d) * sqrt(Covariance("Sigma", d))
    >>> deterministic_equivalent((X.T * X / T + lam * Identity(d)).inv()).expr
    EffectiveRidge(T, lam)/(lam*(Sigma + EffectiveRidge(T, lam)))
    """
    pencil = linearise(expression)
    try:
        structure = structure_of(pencil)
    except DomainError as error:
        raise DomainError(
            f"deterministic_equivalent needs inverses that exist where the Gaussian matrices vanish, got {_culprit(expression)}; "
            "add a ridge, and take the limit at evaluation"
        ) from error
    return DeterministicEquivalent(expression, structure)


def _culprit(expression: MatrixExpr) -> MatrixExpr:
    """Return the smallest inverse whose own pencil is singular, else the whole expression."""
    inverses = {e for e in subexpressions(expression) if isinstance(e, Inverse) or (e.is_Pow and e.exp.is_negative)}
    for e in sorted(inverses, key=lambda e: (e.count_ops(), str(e))):
        try:
            structure_of(linearise(e))
        except DomainError:
            return e
    return expression
