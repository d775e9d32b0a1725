r"""Theory against simulation: is the gap more than chance, and more than what finite size leaves unexplained?

Exact theory is compared as it is. To proportional theory the first finite-size correction is added where it is known, and
otherwise the simulation is extrapolated to infinite size (:mod:`collapse_theory.check.finite_size`); what is left of finite size is
the *allowance*. Where theory is to leading order in the rows, the allowance is :math:`c\sum_l1/T_l` with a constant of the
model that is measured on one clean fit.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from collapse_theory.check.finite_size import (
    correction_of,
    doubled,
    doubled_measure,
    largest_inverse_residual,
    number,
    rows_of,
)
from collapse_theory.check.verdict import Validation
from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError, ValidationWarning
from collapse_theory.core.numbers import flag, integer, real, real_values
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.data import KernelEnergies, from_data, from_kernel
from collapse_theory.describe.pipeline import Fit, Pipeline, Source
from collapse_theory.describe.targets import RandomTarget
from collapse_theory.describe.truths import given_target
from collapse_theory.simulate.trials import Simulation, simulate

__all__ = ["Validation", "judge", "validate"]


def validate(
    formula: ErrorFormula,
    *,
    spectrum: Any = None,
    target: Any = None,
    overlaps: Any = None,
    inputs: Any = None,
    targets: Any = None,
    kernel: Any = None,
    extrapolate: bool = False,
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
        spectrum: Eigenvalues of the input covariance; by default those of the data.
        target: Energies of the true coefficients; where the formula has no bias it may be omitted, and 0 is simulated. Of several
            truths a mapping by name.
        overlaps: Overlaps of several truths, as in :meth:`~collapse_theory.derive.formula.ErrorFormula.evaluate`.
        inputs: Real inputs, shape (N, p): their rows are drawn with replacement instead of Gaussian ones. Finite size is
            still taken into account as for Gaussian rows: a gap that remains is what the rows' law adds.
        targets: Real targets, shape (N,), with ``inputs`` or ``kernel``.
        kernel: Kernel matrix of N points, shape (N, N), for kernel ridge regression.
        extrapolate: Simulate the system and its double, and extrapolate to infinite size, also where the first
            finite-size correction is known. Without it, that is done where it is not known.
        trials: Number of runs, >= 2: one run has no standard error. At each size, if there are two.
        seed: Seed, >= 0; the other simulations of one comparison take the next ones.
        jobs: Number of workers.
        progress: Whether to show a progress bar.
        checkpoint: File that keeps finished trials; further simulations keep theirs beside it.
        threshold: Standard errors that chance alone may explain, positive. Beyond the default 4, correct theory
            falls with probability 6e-5.
        **values: One value per free symbol, scalars.

    Raises:
        DomainError: If a value is missing or out of range, or the formula describes no pipeline.

    Warns:
        ValidationWarning: If a formula off by more than 10 % could have passed.

    >>> import collapse_theory as ct
    >>> err = ct.catalog["ols-replace"].error
    >>> check = ct.validate(err, spectrum=ct.Isotropic(8), T=20, T0=30, n=2, sigma=0.3, sigma0=0.2, trials=1200)
    >>> check.passed, check.detectable < 0.08
    (True, True)
    """
    check = judge(
        formula,
        spectrum=spectrum,
        target=target,
        overlaps=overlaps,
        inputs=inputs,
        targets=targets,
        kernel=kernel,
        extrapolate=extrapolate,
        trials=trials,
        seed=seed,
        jobs=jobs,
        progress=progress,
        checkpoint=checkpoint,
        threshold=threshold,
        **values,
    )
    if check.coarse:
        warnings.warn(
            f"{formula.name}: this comparison could not have caught a relative error of the formula below "
            f"{check.detectable:.0%}, a useful one catches 10%; {check.remedy}",
            ValidationWarning,
            stacklevel=2,
        )
    return check


def judge(
    formula: ErrorFormula,
    *,
    spectrum: Any = None,
    target: Any = None,
    overlaps: Any = None,
    inputs: Any = None,
    targets: Any = None,
    kernel: Any = None,
    extrapolate: bool = False,
    trials: int = 200,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
    checkpoint: Any = None,
    threshold: float = 4.0,
    **values: Any,
) -> Validation:
    """Return what :func:`validate` returns, without its warning: for callers who show ``detectable`` themselves."""
    instance(formula, ErrorFormula, "formula", "pass a theorem's error or a result of ct.test_error", DomainError)
    threshold = float(real(threshold, "threshold", positive=True, number=True))
    trials = integer(trials, "trials", least=2, remedy="one run has no standard error to compare with")
    _check(formula, values, extrapolate=flag(extrapolate, "extrapolate"))
    rows = {"inputs": inputs, "targets": targets} if kernel is None else {"kernel": kernel, "targets": targets}
    if inputs is not None and kernel is not None:
        raise DomainError(
            "validate needs one of inputs and kernel, got both; inputs= is rows, kernel= their kernel matrix"
        )
    is_real = inputs is not None or kernel is not None
    target = given_target(target, overlaps)
    spectrum, target, floor = _measure(spectrum, target, rows) if is_real else (spectrum, target, 0.0)
    lost = _lost(formula, values)
    theory = float(
        formula.evaluate(spectrum=spectrum, target=target, **{k: v for k, v in values.items() if k not in lost})
    )
    pipe, settings = formula.described(values)
    settings |= lost
    if target is None and spectrum is not None:
        target = RandomTarget(norm2=0)
    case = _Case(formula, pipe, pipe.tested(formula.model), spectrum, target, settings, {**values, **settings})
    run = _Runs(case, trials, integer(seed, "seed", least=0), jobs, progress, checkpoint)
    first = run(0, pipe, case.model, **(rows if is_real else {"spectrum": spectrum, "target": target}))
    check = Validation(theory, first, 0.0, threshold, floor)
    if formula.regime == "exact":
        return check
    if formula.regime == "leading order" and not extrapolate:
        return replace(check, allowance=_leading_order_allowance(case, run))
    known = correction_of(formula, pipe, case.model, spectrum, target, case.values) if case.proportional else None
    if known is None or extrapolate:
        included = 0.0 if known is None else known.included
        return _extrapolated(replace(check, correction=floor - included), case, run, is_real=is_real)
    corrected = replace(check, correction=floor + known.value)
    return replace(corrected, allowance=_share(known.remainder, corrected.expected))


@dataclass(frozen=True, eq=False)
class _Case:
    """What is compared, at numbers."""

    formula: ErrorFormula
    pipe: Pipeline
    model: Fit | Source
    spectrum: Any
    target: Any
    settings: dict[str, Any]
    values: dict[str, Any]

    @property
    def proportional(self) -> bool:
        return self.formula.regime == "proportional"


@dataclass(frozen=True, eq=False)
class _Runs:
    """The simulations of one comparison, each with a seed and a checkpoint of its own."""

    case: _Case
    trials: int
    seed: int
    jobs: int
    progress: bool
    checkpoint: Any

    def __call__(self, index: int, pipe: Pipeline, model: Fit | Source, **where: Any) -> Simulation:
        formula, store = self.case.formula, self.checkpoint
        if store is not None and index:
            path = Path(store)
            store = path.with_name(f"{path.stem}-{index}{path.suffix}")
        test = {} if formula.test_covariance is None else {"test_covariance": formula.test_covariance}
        if formula.family is None:
            test["measured"] = formula.measured
        return simulate(
            pipe,
            model=model,
            family=formula.family,
            trials=self.trials,
            seed=self.seed + index,
            jobs=self.jobs,
            progress=self.progress,
            checkpoint=store,
            **test,
            **where,
            **self.case.settings,
        )


def _extrapolated(check: Validation, case: _Case, run: _Runs, *, is_real: bool) -> Validation:
    """Return the comparison with the finite-size shift taken out by the doubling protocol, of Gaussian rows."""
    spectrum, target = doubled_measure(case.spectrum, case.target)
    big, model = doubled(case.pipe, case.model)
    two = run(1, big, model, spectrum=spectrum, target=target)
    one = check.simulation
    if is_real:
        one = run(2, case.pipe, case.model, spectrum=case.spectrum, target=case.target)
    out = replace(check, sizes=(one, two))
    if case.proportional:
        small = largest_inverse_residual(case.pipe, case.model, case.spectrum, case.values)
    else:
        small = float((1 / rows_of(case.pipe, case.model, case.values)).max())
    shift = _share(2 * (one.mean - two.mean), out.expected)
    return replace(out, allowance=max(abs(shift), small) ** 2)


def _leading_order_allowance(case: _Case, run: _Runs) -> float:
    r"""Return :math:`c\sum_l1/T_l`: one clean fit of T rows is off its leading order by c/T, at most two standard errors more.

    The order of what comes after the leading one is known, its constant belongs to the model: it is measured, at least 1.
    """
    rows = int(number(case.pipe.samples[0].T, case.values))
    clean = Pipeline()
    fit = clean.fit(clean.sample(T=rows))
    one = case.formula.family.theory(clean).evaluate()
    simulation = replace(run, case=replace(case, settings={}))(1, clean, fit)
    constant = max(1.0, rows * (abs(simulation.mean - one) + 2 * simulation.sem) / one)
    return constant * float((1 / rows_of(case.pipe, case.model, case.values)).sum())


def _lost(formula: ErrorFormula, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of symbols that only the pipeline has: their term was dropped from the formula."""
    parameters = {x.name for x in formula.free_symbols}
    unknown = {k: v for k, v in values.items() if k not in parameters}
    if not unknown:
        return {}
    needed = {x.name for x in formula.described(values)[0].free_symbols}
    return {k: v for k, v in unknown.items() if k in needed}


def _share(part: float, whole: float) -> float:
    return 0.0 if part == 0 else abs(part / whole) if whole else math.inf


def _measure(spectrum: Any, target: Any, real: dict[str, Any]) -> tuple[Any, Any, float]:
    """Return spectrum and target, by default those of the data, and the error of what no fit can represent."""
    (name, rows), (_, y) = real.items()
    if y is None:
        raise DomainError(f"validate with {name}= needs targets=, got none; pass one value per row")
    if name == "kernel" and spectrum is not None and isinstance(target, KernelEnergies):
        # What from_kernel gave is not computed again: it takes minutes on many points.
        return spectrum, target, target.lost * float(np.mean(np.square(np.asarray(y, dtype=float))))
    found, energies = from_data(rows, y) if name == "inputs" else from_kernel(rows, y)
    lost = energies.lost if isinstance(energies, KernelEnergies) else 0.0
    floor = lost * float(np.mean(np.square(np.asarray(y, dtype=float))))
    return found if spectrum is None else spectrum, energies if target is None else target, floor


def _check(formula: ErrorFormula, values: dict[str, Any], *, extrapolate: bool) -> None:
    if formula.pipeline is None:
        raise DomainError(
            f"{formula.name} is not the test error of a pipeline of finitely many rounds (a limit or a derivative); "
            "validate the formula it came from"
        )
    if formula.regime not in {"exact", "proportional", "leading order"}:
        raise DomainError(
            f"validate needs a formula that a simulation can meet, got the regime {formula.regime!r}; "
            "validate exact, proportional or leading order"
        )
    if extrapolate and formula.regime == "exact":
        raise DomainError(
            "extrapolate needs theory of infinite size, got an exact formula; it holds as it is, leave it out"
        )
    if "test_noise" in values:
        raise DomainError("validate compares excess risks, got test_noise; leave it out of both sides")
    for name, value in values.items():
        shape = real_values(value, name).shape
        if shape:
            raise DomainError(f"{name} needs to be a scalar, got shape {shape}; validate one point at a time")
