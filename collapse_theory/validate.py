r"""Theory against simulation: a z-score, a relative gap, and what finite size alone may explain.

The proportional theory replaces random traces by their limits; its error is of relative order
:math:`1/(T-\mathrm{df}_2)` for every fit in the pipeline (not :math:`1/d`), and least squares shows the constant: exactly
:math:`T-d-1` where the proportional form has :math:`T-d`. The allowance is therefore
:math:`\sum_l1/(T_l-\mathrm{df}_2(\kappa_l)-1)`, zero for exact theory. Where theory is to leading order in the rows, it is
:math:`c\sum_l1/T_l` with a constant of the model that is measured on one clean fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.compiled import numeric_function
from collapse_theory.describe.pipeline import Fit, Pipeline, Sample
from collapse_theory.errors import DomainError
from collapse_theory.evaluate.measure import Measure
from collapse_theory.evaluate.ridge import residual_degrees, solve_effective_ridge
from collapse_theory.formula import ErrorFormula
from collapse_theory.simulate.trials import Simulation, simulate
from collapse_theory.symbols import ordered

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """The comparison of a formula with a simulation.

    Attributes:
        theory: Predicted test error.
        simulation: The simulation.
        allowance: Relative gap that finite size alone may explain; 0 for exact theory.
        threshold: Standard errors that chance alone may explain.
    """

    theory: float
    simulation: Simulation
    allowance: float
    threshold: float

    @property
    def gap(self) -> float:
        """Simulated mean minus theory."""
        return self.simulation.mean - self.theory

    @property
    def z(self) -> float:
        """The gap in standard errors; 0 if both vanish."""
        if abs(self.gap) <= 1e-9 * abs(self.theory) or self.gap == 0:
            return 0.0
        return self.gap / self.simulation.sem if self.simulation.sem > 0 else math.copysign(math.inf, self.gap)

    @property
    def relative_gap(self) -> float:
        """The gap over theory; 0 if both vanish."""
        return 0.0 if self.gap == 0 else self.gap / self.theory if self.theory else math.copysign(math.inf, self.gap)

    @property
    def excess_z(self) -> float:
        """The part of the gap beyond the finite-size allowance, in standard errors."""
        return math.copysign(max(0.0, abs(self.z) - self._allowed), self.z)

    @property
    def _allowed(self) -> float:
        if self.allowance == 0:
            return 0.0
        sem = self.simulation.sem
        return self.allowance * abs(self.theory) / sem if sem > 0 else math.inf

    @property
    def passed(self) -> bool:
        """Whether the gap is within ``threshold`` standard errors plus the finite-size allowance."""
        return math.isfinite(self.theory) and abs(self.excess_z) <= self.threshold

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"{verdict}: theory {self.theory:.6g}, simulation {self.simulation.mean:.6g} +- {self.simulation.sem:.2g} "
            f"({self.simulation.trials} trials), z = {self.z:+.2f}, gap {100 * self.relative_gap:+.2f} %, "
            f"finite-size allowance {100 * self.allowance:.2f} %"
        )


def validate(
    formula: ErrorFormula,
    *,
    spectrum: Any = None,
    target: Any = None,
    trials: int = 200,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
    checkpoint: Any = None,
    threshold: float = 4.0,
    **values: Any,
) -> Validation:
    """Return the comparison of a formula with a simulation of the pipeline it describes.

    Args:
        formula: A theorem's ``error`` or a result of ``ct.test_error``.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients; where the formula has no bias it may be omitted, and 0 is simulated.
        trials: Number of runs, >= 2: one run has no standard error.
        seed: Seed, >= 0.
        jobs: Number of workers.
        progress: Whether to show a progress bar.
        checkpoint: File that keeps finished trials.
        threshold: Standard errors that chance alone may explain, positive. Beyond the default 4, correct theory
            falls with probability 6e-5.
        **values: One value per free symbol, scalars.

    Raises:
        DomainError: If a value is missing or out of range, or the formula describes no pipeline.

    >>> import collapse_theory as ct
    >>> err = ct.catalog["ols-replace"].error
    >>> ct.validate(err, spectrum=ct.Isotropic(8), T=20, T0=30, n=2, sigma=0.3, sigma0=0.2, trials=100).passed
    True
    """
    if formula.pipeline is None:
        raise DomainError(
            f"{formula.name} is not the test error of a pipeline of finitely many rounds (a limit or a derivative); "
            "validate the formula it came from"
        )
    if not threshold > 0:
        raise DomainError(f"threshold needs to be > 0, got {threshold!r}; give a number of standard errors, such as 4")
    if trials == 1:
        raise DomainError("trials needs to be >= 2, got 1; one run has no standard error to compare with")
    if "test_noise" in values:
        raise DomainError("validate compares excess risks, got test_noise; leave it out of both sides")
    for name, value in values.items():
        if np.ndim(value):
            raise DomainError(f"{name} needs to be a scalar, got shape {np.shape(value)}; validate one point at a time")
    theory = formula.evaluate(spectrum=spectrum, target=target, **values)
    pipe, settings = formula.described(values)
    if target is None and spectrum is not None:
        from collapse_theory.describe.targets import RandomTarget

        target = RandomTarget(norm2=0)
    simulation = simulate(
        pipe,
        model=formula.model,
        family=formula.family,
        spectrum=spectrum,
        target=target,
        trials=trials,
        seed=seed,
        jobs=jobs,
        progress=progress,
        checkpoint=checkpoint,
        **({} if formula.test_covariance is None else {"test_covariance": formula.test_covariance}),
        **settings,
    )
    tested = pipe.model(formula.model)
    allowance = finite_size_allowance(pipe, tested, formula.regime, spectrum, settings)
    if formula.regime == "leading order":
        allowance *= _model_constant(formula.family, _number(pipe.samples[0].T, settings), trials, seed, jobs)
    return Validation(float(theory), simulation, allowance, threshold)


def _model_constant(family: Any, rows: float, trials: int, seed: int, jobs: int) -> float:
    """Return c such that one clean fit of ``rows`` rows is off its leading order by c/rows, at most two standard errors more.

    The order of what comes after the leading one is known, its constant belongs to the model: it is measured, at least 1.
    """
    clean = Pipeline()
    clean.fit(clean.sample(T=int(rows)))
    one = family.theory(clean).evaluate()
    simulation = simulate(clean, family=family, trials=trials, seed=seed + 1, jobs=jobs)
    return max(1.0, rows * (abs(simulation.mean - one) + 2 * simulation.sem) / one)


def finite_size_allowance(pipe: Pipeline, model: Fit, regime: str, spectrum: Any, values: dict[str, Any]) -> float:
    r"""Return the relative gap that finite size may explain: :math:`\sum_l1/(T_l-\mathrm{df}_2(\kappa_l)-1)` over the fits.

    Where a fit pools samples, its distinct rows and their mean weight stand for one sample; fits on the same inputs share
    their fluctuation and count once, the largest. Infinite where a fit has less than one residual degree of freedom: there
    the proportional theory says nothing about a finite size.

    Args:
        pipe: The pipeline.
        model: The tested fit.
        regime: Of the formula; "exact" needs no allowance, "leading order" one over the rows (times a constant of the model).
        spectrum: Eigenvalues of the input covariance.
        values: Values of the pipeline's symbols by name.
    """
    if regime == "exact":
        return 0.0
    fits = pipe.ancestors(model)
    distinct = [{s.inputs for s in f.samples} for f in fits]
    rows = np.array([sum(_number(s.T, values) for s in inputs) for inputs in distinct])
    if regime == "leading order":
        return float((1 / rows).sum())
    if regime != "proportional":
        raise DomainError(
            f"regime {regime!r} has no finite-size allowance; validate exact, proportional or leading order"
        )
    measure = Measure.of(spectrum)
    share: dict[frozenset[Sample], float] = {}
    for f, inputs, T in zip(fits, distinct, rows, strict=True):
        mass = sum(_number(a, values) * _number(s.T, values) for a, s in zip(f.weights, f.samples, strict=True))
        lam = 0.0 if f.ridge is None else _number(f.ridge, values) * _number(f.N, values) / mass
        seen = measure.at_covariance(f.samples[0].inputs.covariance)
        problem = (seen, np.array([T]), np.array([lam]))
        residual = float(residual_degrees(*problem, solve_effective_ridge(*problem))[0])
        one = 1 / (residual - 1) if residual > 1 else math.inf
        share[frozenset(inputs)] = max(one, share.get(frozenset(inputs), 0.0))
    return sum(share.values())


def _number(e: Expr, values: dict[str, Any]) -> float:
    found = ordered(e.free_symbols)
    return float(numeric_function(found, e, modules="math")(*(values[x.name] for x in found)))
