r"""What finite size explains of the gap between a proportional formula and a simulation, and how far that is known.

Two ways. For a **chain** (each fit on Gaussian inputs of its own, labelled by the fit before) the first correction is a
formula (:mod:`collapse_theory.numerics.chain_correction`). For every other pipeline the **doubling protocol**: repeat every
eigenvalue k times with its energy divided by k and multiply all rows by k. All spectral integrals and rows grow in
proportion, so the theory does not move, and the simulated mean is :math:`E+A/k+B/k^2+\dots`. Hence
:math:`2\,\mathrm{sim}(2)-\mathrm{sim}(1)=E-B/2+\dots`. One pipeline of independent fits has :math:`A/E\approx\sum_l1/r_l` and
:math:`B\approx A^2/E` with :math:`r_l=T_l-\mathrm{df}_2(\kappa_l)`, so what is left is allowed the square of the larger of
:math:`|A|/E`, as measured, and :math:`\max_l1/(r_l-1)`.

Source: the first correction is that of :mod:`collapse_theory.numerics.chain_correction`; doubling is Richardson's
extrapolation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.derive.corrected import on_common_covariance
from collapse_theory.derive.exact import mean_inverse_gram
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.pipeline import Fit, Pipeline, Source
from collapse_theory.describe.recognise import is_least_squares, one_labeller_each
from collapse_theory.describe.spectra import Eigenvalues, Spectrum
from collapse_theory.describe.targets import Energies, Target
from collapse_theory.describe.truths import Truths
from collapse_theory.numerics.chain_correction import ChainCorrection, Link, chain_correction
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.measure import COMMON, Measure, Spectra
from collapse_theory.symbols import ordered

__all__ = ["correction_of", "doubled", "doubled_measure", "largest_inverse_residual", "rows_of"]


def correction_of(
    formula: ErrorFormula,
    pipe: Pipeline,
    model: Fit | Source,
    spectrum: Spectra,
    target: Target,
    values: Mapping[str, Any],
) -> ChainCorrection | None:
    """Return the first finite-size correction of a proportional formula; None where only doubling tells.

    Args:
        formula: The formula.
        pipe: Its pipeline.
        model: The tested fit.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients.
        values: Values of the pipeline's symbols by name.
    """
    if isinstance(model, Source) or formula.measured != "test error":
        return None
    fits = one_labeller_each(pipe, model)
    if fits is None or not on_common_covariance(formula):
        return None
    if isinstance(spectrum, Mapping):
        spectrum = spectrum.get(COMMON, next(iter(spectrum.values())))
    exact = _taken_exactly(formula, len(fits), values)
    return chain_correction(
        Measure.of(spectrum, target), [_link(f, x, values) for f, x in zip(fits, exact, strict=True)]
    )


def _link(fit: Fit, exact: bool, values: Mapping[str, Any]) -> Link:
    N = number(fit.N, values)
    lam = 0.0 if fit.ridge is None else number(fit.ridge, values) / number(fit.weights[0], values)
    noise = sum(number(s.T * (s.noise or 0) ** 2, values) for s in fit.samples) / N
    return Link(N, lam, math.sqrt(noise), exact)


def _taken_exactly(formula: ErrorFormula, fits: int, values: Mapping[str, Any]) -> list[bool]:
    """Return which fits enter a theorem with their exact mean inverse Gram matrix.

    That mean and the condition under which it is finite are derived together, so the theorem's conditions tell.
    """
    if formula.pipeline is None or formula.model is not None:
        return [False] * fits  # derived from a pipeline: every fit of a proportional chain is proportional
    free = {x.name: x for x in formula.free_symbols} | {x.name: e for x, e in formula.bindings.items()}
    written = formula.pipeline(**({"n": round(number(free["n"], values))} if "n" in free else {}))
    return [
        is_least_squares((f,)) and mean_inverse_gram(f.N.xreplace(dict(formula.bindings)))[1] in formula.conditions
        for f in written.ancestors(written.model())
    ]


def doubled(pipe: Pipeline, model: Fit | Source) -> tuple[Pipeline, Fit | Source]:
    """Return the pipeline with twice the rows in every sample and twice the features, and its tested model.

    >>> from collapse_theory.describe.workflows import replace
    >>> from collapse_theory.describe.pipeline import Stage
    >>> pipe = replace(0, downstream=Stage(T=9, ridge=0.1))
    >>> big, fit = doubled(pipe, pipe.fits[-1])
    >>> fit.N, fit.ridge == pipe.fits[-1].ridge
    (18, True)
    """
    big = pipe.replaced({}, rows=2)
    if isinstance(model, Fit):
        return big, big.fits[model.index]
    return big, Source(tuple((big.fits[x.index] if isinstance(x, Fit) else x, c) for x, c in model))


def doubled_measure(spectrum: Spectra | None, target: Target | None) -> tuple[Spectra | None, Target | None]:
    """Return every eigenvalue twice, each with half the energy.

    >>> from collapse_theory.describe.targets import Coefficients
    >>> spectrum, target = doubled_measure(Eigenvalues([2.0, 1.0]), Coefficients([2.0, 0.0]))
    >>> spectrum.eigenvalues, target.energies(spectrum)
    (array([2., 2., 1., 1.]), array([2., 2., 0., 0.]))
    """
    if spectrum is None:
        return None, target
    main = spectrum if isinstance(spectrum, Spectrum) else spectrum.get(COMMON, next(iter(spectrum.values())))
    half: Target | None = None
    if target is not None:
        energies = target.energies(main)
        half = target.repeated(main, 2) if isinstance(target, Truths) else Energies(np.repeat(energies / 2, 2))
    if isinstance(spectrum, Spectrum):
        return _twice(spectrum), half
    return {name: _twice(s) for name, s in spectrum.items()}, half


def _twice(spectrum: Spectrum) -> Spectrum:
    return Eigenvalues(np.repeat(spectrum.eigenvalues, 2))


def rows_of(pipe: Pipeline, model: Fit | Source, values: Mapping[str, Any]) -> np.ndarray:
    """Return the distinct rows of each fit behind ``model``, itself included."""
    distinct = [{s.inputs for s in f.samples} for f in pipe.ancestors(model)]
    return np.array([sum(number(s.T, values) for s in inputs) for inputs in distinct])


def largest_inverse_residual(
    pipe: Pipeline, model: Fit | Source, spectrum: Spectra, values: Mapping[str, Any]
) -> float:
    r"""Return :math:`\max_l1/(T_l-\mathrm{df}_2(\kappa_l)-1)` over the fits; infinite below one residual degree of freedom.

    Where a fit pools samples, its distinct rows and their mean weight stand for one sample.

    Args:
        pipe: The pipeline.
        model: The tested fit.
        spectrum: Eigenvalues of the input covariance.
        values: Values of the pipeline's symbols by name.
    """
    measure = Measure.of(spectrum)
    largest = 0.0
    for f, T in zip(pipe.ancestors(model), rows_of(pipe, model, values), strict=True):
        mass = sum(number(a, values) * number(s.T, values) for a, s in zip(f.weights, f.samples, strict=True))
        lam = 0.0 if f.ridge is None else number(f.ridge, values) * number(f.N, values) / mass
        seen = measure.at_covariance(f.samples[0].inputs.covariance)
        problem = (seen, np.array([T]), np.array([lam]))
        residual = float(residual_degrees(*problem, solve_effective_ridge(*problem))[0])
        largest = max(largest, 1 / (residual - 1) if residual > 1 else math.inf)
    return largest


def number(e: Expr, values: Mapping[str, Any]) -> float:
    """Return the value of an expression of a pipeline."""
    found = ordered(e.free_symbols)
    return float(numeric_function(found, e, modules="math")(*(values[x.name] for x in found)))
