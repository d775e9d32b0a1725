r"""Bias and variance of a linear pipeline as opaque scalars, for pipelines whose fits share inputs.

They are evaluated by the recursion over the fits (:mod:`.cavity`), at a cost that does not grow with the size of the expression;
:meth:`.PipelineBias.doit` writes it out in effective ridges, traces and quadratic forms.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sympy import Eq, Expr, Symbol
from sympy.printing.precedence import PRECEDENCE

from collapse_theory.algebra.integrals import offset_tex
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.algebra.printing import matrix_name
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.derive.slopes import slope
from collapse_theory.derive.written_out import WrittenOut, own_ridges, write_out
from collapse_theory.symbols import eigenvalue_of

__all__ = ["PipelineBias", "PipelineScalar", "PipelineVariance", "pipeline_scalars"]


class PipelineScalar(Opaque):
    """Base: a scalar that the recursion over the fits gives, of the system of fits in ``args``."""

    is_nonnegative = True
    precedence = PRECEDENCE["Add"]  # as it prints

    @property
    def system(self) -> PooledSystem:
        """The pooled fits."""
        return PooledSystem.of(*self.args)

    def _derivative(self, x: Symbol) -> Expr:
        return slope(self, x)

    def _sympystr(self, printer: Any) -> str:
        del printer
        return f"{type(self).__name__}({len(self.system.fits)} fits)"

    @property
    def ridges(self) -> tuple[Expr, ...]:
        """The effective ridges of the fits, each once, in the order of the fits."""
        return _implicit(self.args)[0]

    @property
    def equations(self) -> tuple[Eq, ...]:
        """The equation of every implicit scalar that is not an effective ridge."""
        return _implicit(self.args)[1]

    @property
    def definitions(self) -> dict[Symbol, Expr]:
        """What the names in :attr:`named` stand for, each by names before it."""
        return dict(_in_scalars(self.args).definitions)

    @property
    def named(self) -> Expr:
        """The scalar in names of :attr:`definitions`."""
        raise NotImplementedError

    def _linear_map(self, system: PooledSystem) -> str:
        raise NotImplementedError

    def _tex(self, printer: Any) -> tuple[str, str]:
        """Print one fit in closed form, several by the linear map ``P`` from coefficients and noise to the tested error."""
        return printer.doprint(self.doit()) if len(self.system.fits) == 1 else self._linear_map(self.system), ""


class PipelineBias(PipelineScalar):
    r"""The quadratic form of the true coefficients in the test error, :math:`w_0^\top P^\top\Sigma_{\rm test}P\,w_0`."""

    def _linear_map(self, system: PooledSystem) -> str:
        if system.others:
            offsets = "+".join(rf"P_{{{i}}}{offset_tex(x)}" for i, x in enumerate(system.others, start=1))
            test = matrix_name(eigenvalue_of(system.test_covariance))
            return rf"\left\|P_0w_0+{offsets}\right\|_{{{test}}}^2"
        return rf"w_0^\top P_0^\top {matrix_name(eigenvalue_of(system.test_covariance))} P_0 w_0"

    @property
    def named(self) -> Expr:
        """The scalar in names of :attr:`definitions`."""
        return _in_scalars(self.args).results[0]

    def doit(self, **hints: Any) -> Expr:
        """Return the explicit expression; its size grows quickly with the number of fits."""
        del hints
        return _explicit(self.args)[0]


class PipelineVariance(PipelineScalar):
    r"""The label noises in the test error, :math:`\sum_i\sigma_i^2\operatorname{tr}[P_i^\top\Sigma_{\rm test}P_i]`."""

    def _linear_map(self, system: PooledSystem) -> str:
        test = matrix_name(eigenvalue_of(system.test_covariance))
        return rf"\sum_i \sigma_i^2 \operatorname{{tr}}\left[P_i^\top {test} P_i\right]"

    @property
    def named(self) -> Expr:
        """The scalar in names of :attr:`definitions`."""
        return _in_scalars(self.args).results[1]

    def doit(self, **hints: Any) -> Expr:
        """Return the explicit expression; its size grows quickly with the number of fits."""
        del hints
        return _explicit(self.args)[1]


def pipeline_scalars(system: PooledSystem) -> tuple[Expr, Expr]:
    """Return bias and variance of a pipeline."""
    return PipelineBias(*system.args()), PipelineVariance(*system.args())


@lru_cache(maxsize=32)
def _implicit(args: tuple[Any, ...]) -> tuple[tuple[Expr, ...], tuple[Eq, ...]]:
    return own_ridges(PooledSystem.of(*args))


@lru_cache(maxsize=32)
def _in_scalars(args: tuple[Any, ...]) -> WrittenOut:
    return write_out(PooledSystem.of(*args), terms=True).in_scalars()


@lru_cache(maxsize=32)
def _explicit(args: tuple[Any, ...]) -> tuple[Expr, ...]:
    return write_out(PooledSystem.of(*args), terms=True).explicit()
