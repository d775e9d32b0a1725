r"""A chain with its first finite-size correction: the formula behind ``err.corrected()``.

A chain is read off the pipeline that a formula describes, as blocks of equal fits. Its corrected bias and variance are opaque
scalars like those of :mod:`.labeller_scalars`, made of the moments of :mod:`.log_determinant` in place of the generation
operator: evaluated by the recursion on the eigenvalues, written out by ``doit``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sympy import Add, Expr, S, sqrt

from collapse_theory.algebra.effective import ResidualDegrees
from collapse_theory.algebra.integrals import QuadraticForm, SpectralIntegral, SpectralTrace
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.labeller_scalars import BlockScalar, blocks
from collapse_theory.derive.log_determinant import Behind, FitMoments, P, Q, moments, preceded, r
from collapse_theory.derive.operator import Generation, shrinkage
from collapse_theory.describe.literals import without_literals
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.describe.recognise import one_labeller_each
from collapse_theory.symbols import K, eigenvalue
from collapse_theory.symbols import n as generations

if TYPE_CHECKING:
    from collapse_theory.derive.formula import ErrorFormula

__all__ = ["CorrectedBias", "CorrectedScalar", "CorrectedVariance", "at_fit", "corrected", "on_common_covariance"]

Block = tuple[Expr, Expr, Expr, Expr]


class CorrectedScalar(BlockScalar):
    """Base: a scalar of a chain of blocks with its first finite-size correction."""

    @property
    def both(self) -> tuple[Expr, Expr]:
        """The bias and the variance of the chain."""
        return CorrectedBias(*self.args), CorrectedVariance(*self.args)

    def doit(self, **_hints: Any) -> Expr:
        """Return the explicit expression of a single fit.

        Raises:
            DomainError: For a longer chain, which would be pages of traces.
        """
        if self.counts != (1,):
            raise DomainError(
                f"a corrected formula is written out for one fit, got {self}; latex() prints the operators of a chain, and "
                "evaluate runs them"
            )
        (fit,) = self.fits
        values, start = at_fit(moments(corrected=True), fit), Behind(S.One, S.Zero, S.Zero, S.Zero)
        behind = preceded(start, values, fit.sigma**2, eigenvalue, SpectralTrace)
        if self.part == 1:
            return behind.variance
        return QuadraticForm(eigenvalue * behind.lost**2) + Add(*map(QuadraticForm, Add.make_args(behind.excess)))


class CorrectedBias(CorrectedScalar):
    r"""The bias :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` of the last fit of a chain, corrected.

    Args:
        stages: Blocks ``(T, lam, sigma, count)`` in order; noise does not enter.
    """

    part = 0

    def _tex(self, printer: Any) -> tuple[str, str]:
        return self._bias(printer), ""


class CorrectedVariance(CorrectedScalar):
    r"""The variance :math:`\sum_l\sigma_l^2a'_l` of the last fit of a chain, corrected.

    Args:
        stages: Blocks ``(T, lam, sigma, count)`` in order.

    >>> from collapse_theory.algebra.effective import EffectiveRidge
    >>> from collapse_theory.symbols import T, d, sigma
    >>> written = CorrectedVariance((T, S.Zero, sigma, 1)).doit()
    >>> written.xreplace({EffectiveRidge(T, S.Zero): S.Zero, ResidualDegrees(T, S.Zero): T - d}).factor()
    -d*sigma**2/(-T + d + 1)
    """

    part = 1

    def _tex(self, printer: Any) -> tuple[str, str]:
        return self._variance(printer), ""


def at_fit(m: FitMoments, fit: Generation) -> FitMoments:
    """Return moments as functions of the eigenvalue, at the effective ridge of a fit."""
    kept = shrinkage(fit.kappa)
    own = {P: kept, Q: fit.kappa / (eigenvalue + fit.kappa), r: ResidualDegrees(fit.T, fit.lam)}

    def at(e: Expr) -> Expr:
        traces = {t: SpectralTrace(t.integrand.xreplace(own)) for t in e.atoms(SpectralTrace)}
        return e.xreplace(traces).xreplace(own)

    pairs = tuple((at(out), at(seen)) for out, seen in m.spread)
    return FitMoments(at(m.mean), at(m.lost), at(m.kept), at(m.drift), pairs, at(m.noise))


# ---------------------------------------------------------------------- formulas
def corrected(formula: ErrorFormula) -> ErrorFormula:
    """Return the formula of a chain with its first finite-size correction, see :meth:`.ErrorFormula.corrected`."""
    if formula.regime == "exact" or any(e.has(CorrectedScalar) for e in formula.parts.values()):
        return formula
    if formula.regime != "proportional":
        raise DomainError(
            f"{formula.name}: a finite-size correction needs a proportional formula, got the regime {formula.regime!r}; "
            "validate it as it is"
        )
    if formula.pipeline is None:
        raise DomainError(
            f"{formula.name}: a finite-size correction needs the test error of a pipeline, got a limit or a derivative; correct "
            "the error first, then differentiate"
        )
    found = _chain_of(formula)
    if found is None:
        raise DomainError(
            f"{formula.name}: no finite-size correction is known beyond chains, in which each fit has inputs of its own, all "
            "labelled by the fit before, got another pipeline; use validate(..., extrapolate=True), which measures what "
            "finite size does"
        )
    chain, numbers = found
    change = dict(formula.bindings)
    parts = {name: e.xreplace(change) for name, e in _parts(chain, formula).items()}
    return replace(
        formula,
        parts=parts,
        numbers={**formula.numbers, **numbers},
        method="corrected",
        references=tuple(dict.fromkeys((*formula.references, "bai2004clt"))),
    )


def _parts(chain: tuple[Block, ...], formula: ErrorFormula) -> dict[str, Expr]:
    """Return the corrected terms under the names that the formula has."""
    *before, (T, lam, sigma, count) = chain
    if not any(name.startswith("synthetic_") for name in formula.parts):
        return {"bias": CorrectedBias(*chain), "variance": CorrectedVariance(*chain)}
    tested = (T, lam, sigma, count)
    terms = {
        "bias": CorrectedBias(tested),
        "synthetic_bias": CorrectedBias(*chain) - CorrectedBias(tested),
        "variance": CorrectedVariance(tested),
        "synthetic_variance": CorrectedVariance(*before, (T, lam, S.Zero, count)),
    }
    return {name: terms[name] for name in formula.parts}


def _chain_of(formula: ErrorFormula) -> tuple[tuple[Block, ...], dict[Any, Expr]] | None:
    """Return the blocks of a formula's pipeline in the symbols it was derived with, and what stands for numbers."""
    if not on_common_covariance(formula) or formula.pipeline is None or formula.measured != "test error":
        return None
    if formula.model is not None:
        pipe, model, numbers = without_literals(formula.pipeline(), formula.model)
        fits = one_labeller_each(pipe, model)
        return None if fits is None else (blocks(_stages(fits)), dict(numbers))
    if K in formula.free_symbols:  # a number of fits that no pipeline is built of before it is one
        return None
    count = next((e for x, e in formula.bindings.items() if x == generations), generations)
    symbolic = generations in formula.free_symbols or count != generations
    if not symbolic or count.is_Integer:
        fits = _fits(formula.pipeline, **({"n": int(count)} if symbolic else {}))
        return None if fits is None else (blocks(_stages(fits)), {})
    return _repeated(formula.pipeline)


def on_common_covariance(formula: ErrorFormula) -> bool:
    """Return whether a linear error knows one covariance alone: a theorem may have an offset that its pipeline has not."""
    integrals = {x for e in formula.parts.values() for x in e.atoms(SpectralIntegral)}
    return (
        formula.family is None
        and formula.test_covariance is None
        and all(set(x.bound_symbols) <= {eigenvalue} for x in integrals)
    )


def _repeated(build: Callable[..., Pipeline]) -> tuple[tuple[Block, ...], dict[Any, Expr]] | None:
    """Return the chain of n equal fits and a tested one that a theorem's pipeline is, seen at n = 1, 2, 3."""
    each = [_fits(build, n=n) for n in (1, 2, 3)]
    stages = [_stages(fits) for fits in each if fits is not None]
    if len(stages) < len(each):
        return None
    generator, tested = stages[0][0], stages[0][-1]
    if any(found != [generator] * n + [tested] for n, found in enumerate(stages, start=1)):
        return None
    many, one = (generator.T, generator.lam, generator.sigma, generations), (tested.T, tested.lam, tested.sigma, S.One)
    return (many, one), {}


def _fits(build: Callable[..., Pipeline], **structure: int) -> tuple[Fit, ...] | None:
    pipe = build(**structure)
    return one_labeller_each(pipe, pipe.model())


def _stages(fits: tuple[Fit, ...]) -> list[Generation]:
    """Return the fits as generations; rows of several noises are rows of their mean variance."""
    return [Generation(f.N, (f.ridge or S.Zero) / f.weights[0], _noise(f)) for f in fits]


def _noise(f: Fit) -> Expr:
    noises = {s.noise or S.Zero for s in f.samples}
    if len(noises) == 1:
        return noises.pop()
    return sqrt(sum((s.T * (s.noise or S.Zero) ** 2 for s in f.samples), S.Zero) / f.N)
