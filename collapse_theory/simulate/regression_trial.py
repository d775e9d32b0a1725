r"""Linear regression, exact at finite size: Gaussian inputs, real inputs, or a kernel.

A trial runs a compiled program. Gaussian inputs live in the eigenbasis of the covariance, :math:`x=\sqrt s\odot z`, and
a model is its coefficients there, followed by those on the features of each network (:mod:`.layer`); with real inputs a model
is its values on all N points, and a design is the list of the rows drawn. The test error is the excess risk (the label noise of
a test point is not included).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from collapse_theory.core.errors import DomainError, PipelineError, nearest, shown
from collapse_theory.describe.pipeline import Fit, Pipeline, Source
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target
from collapse_theory.describe.truths import Truths, given_target
from collapse_theory.simulate.layer import Layer
from collapse_theory.simulate.program import (
    COMMON,
    MOST_ENTRIES,
    TRUTH,
    Draw,
    Feature,
    Label,
    PooledRows,
    Procedure,
    Solve,
    compile_linear,
)
from collapse_theory.simulate.real_data import Points, points_from_inputs, points_from_kernel
from collapse_theory.simulate.solve import cross_validated, fitted
from collapse_theory.simulate.trial import Setting, Trial, digest

__all__ = ["GaussianTrial", "RealTrial", "linear_trial"]

_TEST_ROWS = 2000
"""Fresh rows that the test error of a network is the mean over: a few percent of noise in a run, and no bias."""


@dataclass(frozen=True, eq=False)
class GaussianTrial:
    r"""One run with Gaussian inputs; the error is :math:`\sum_jt_j(\hat w_j-w_{0,j})^2`.

    Attributes:
        program: The compiled pipeline.
        deviation: For each covariance, :math:`\sqrt{s_j}` of the directions in which some input varies.
        test: :math:`t_j`, the variances of the test inputs in these directions.
        truth: :math:`w_{0,j}` in these directions.
        floor: The error of the directions that no fit can see.
        tasks: With other truths, the coefficients of all of them in parts, shape (parts, truths, directions), :math:`w_0` first.
            Several parts have independent random signs in each run and direction.
    """

    program: Procedure
    deviation: Mapping[str, np.ndarray]
    test: np.ndarray
    truth: np.ndarray
    floor: float = 0.0
    tasks: np.ndarray | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the program and its numbers."""
        deviations = (part for name in sorted(self.deviation) for part in (name, self.deviation[name]))
        tasks = () if self.tasks is None else (self.tasks,)
        return digest("linear, Gaussian inputs", self.program, self.test, self.truth, self.floor, *deviations, *tasks)

    def _truths(self, rng: np.random.Generator) -> dict[int, np.ndarray]:
        """Return the true coefficients by their numbers."""
        if self.tasks is None:
            return {TRUTH: self.truth}
        signs: np.ndarray = np.ones((1, self.truth.size))
        if len(self.tasks) > 1:
            signs = 2.0 * rng.integers(2, size=(len(self.tasks), self.truth.size)) - 1
        return {TRUTH - i: w for i, w in enumerate((signs[:, None] * self.tasks).sum(axis=0))}

    def __call__(self, rng: np.random.Generator) -> float:
        """Return the excess risk of the tested model in one run."""
        X: dict[int, np.ndarray] = {}
        y: dict[int, np.ndarray] = {}
        F: dict[int, np.ndarray | Layer] = {}
        size = self.truth.size
        w = {k: np.append(x, np.zeros(self._further)) for k, x in self._truths(rng).items()}
        for step in self.program.steps:
            match step:
                case Draw():
                    X[step.design] = rng.standard_normal((step.rows, size)) * self.deviation[step.covariance]
                case Feature():
                    F[step.features] = self._drawn(step, rng)
                case Label():
                    labeller = _combination(step, w, size + self._further)
                    y[step.sample] = _noisy(
                        _again(_predicted(labeller, X[step.design], F, step.design), step, y), step.noise, rng
                    )
                case Solve():
                    features = None if step.features is None else F[step.features]
                    w[step.fit] = self._fit(step, X, y, features)
                    if step is self.program.steps[-1] and self.program.measured != "test error":
                        predicted = {b.design: _predicted(w[step.fit], X[b.design], F, b.design) for b in step.blocks}
                        return self._residuals(step, X, y, predicted, features)
                    for design in step.release:
                        del X[design]
                        for layer in F.values():
                            if isinstance(layer, Layer):
                                layer.forget(design)
        return self._missed(self.program.model(w) - w[TRUTH], F, rng) + self.floor

    @cached_property
    def _further(self) -> int:
        """The number of coefficients of a model on features of networks."""
        return sum(step.m for step in self.program.layers)

    def _drawn(self, step: Feature, rng: np.random.Generator) -> np.ndarray | Layer:
        weights = _features(self.truth.size, step, rng)
        if step.activation is None:
            return weights
        before = sum(x.m for x in self.program.layers if x.features < step.features)
        place = slice(self.truth.size + before, self.truth.size + before + step.m)
        return Layer(weights, step.activation, float(np.square(self.deviation[COMMON]).sum()), rng, place)

    def _missed(self, miss: np.ndarray, F: Mapping[int, np.ndarray | Layer], rng: np.random.Generator) -> float:
        """Return the mean square of a model: of a network's over fresh rows, of every other in closed form."""
        layers = [layer for layer in F.values() if isinstance(layer, Layer) and miss[layer.place].any()]
        if any(not layer.activation.gaussian for layer in layers):
            rows = rng.standard_normal((_TEST_ROWS, self.truth.size)) * np.sqrt(self.test)
            return float(np.mean(np.square(_predicted(miss, rows, F, None))))
        noise = 0.0
        linear = miss[: self.truth.size]
        for layer in layers:
            linear = linear + layer.activation.linear * (layer.F @ miss[layer.place])
            noise += float(layer.noise**2 * np.square(miss[layer.place]).sum())
        return float(self.test @ np.square(linear)) + noise

    def _residuals(
        self,
        step: Solve,
        X: Mapping[int, np.ndarray],
        y: Mapping[int, np.ndarray],
        predicted: Mapping[int, np.ndarray],
        F: np.ndarray | Layer | None,
    ) -> float:
        """Return the mean square of the residuals of a fit, as they are or cross-validated."""
        found = _mean_square(step, y, predicted)
        if self.program.measured == "training error":
            return found
        rows = np.vstack([_seen(X[b.design], F, b.design) * np.sqrt(b.weight / step.N) for b in step.blocks])
        dual = np.concatenate([_pooled_labels(b, y) * np.sqrt(b.weight / step.N) for b in step.blocks])
        return cross_validated(rows @ rows.T, found, dual, step.N, step)

    def _fit(
        self, step: Solve, X: Mapping[int, np.ndarray], y: Mapping[int, np.ndarray], F: np.ndarray | Layer | None
    ) -> np.ndarray:
        varies = np.array([self.deviation[b.covariance] > 0 for b in step.blocks])
        live = varies.any(axis=0)
        labels = np.concatenate([_pooled_labels(b, y) for b in step.blocks])
        weight = np.concatenate([np.full(len(X[b.design]), b.weight / step.N) for b in step.blocks])
        out = np.zeros(self.truth.size + self._further)
        if isinstance(F, Layer):
            seen = np.vstack([F.rows(X[b.design], b.design) for b in step.blocks])
            out[F.place] = fitted(seen, labels, weight, step, None, general_position=False)
            return out
        rows = np.vstack([X[b.design] for b in step.blocks])
        # Gaussian rows are in general position, unless the pooled covariances have different null spaces.
        general = bool((varies == live).all())
        if (
            F is not None
        ):  # features mix all directions, and rows of more of them than live directions are in special position
            few = general and F.shape[1] <= live.sum()
            out[: self.truth.size] = fitted(rows, labels, weight, step, F, general_position=few)
            return out
        out[: self.truth.size][live] = fitted(rows[:, live], labels, weight, step, None, general_position=general)
        return out


@dataclass(frozen=True, eq=False)
class RealTrial:
    """One run on rows drawn with replacement from N given points; the error is the mean square over all points.

    Attributes:
        program: The compiled pipeline.
        points: The points, which know how to fit on rows drawn from them.
    """

    program: Procedure
    points: Points

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the program and the data."""
        return digest("linear, real inputs", self.program, self.points.fingerprint)

    def __call__(self, rng: np.random.Generator) -> float:
        """Return the excess risk of the tested model in one run."""
        truth = self.points.truth
        rows: dict[int, np.ndarray] = {}
        y: dict[int, np.ndarray] = {}
        F: dict[int, np.ndarray | Layer] = {}
        f = {TRUTH: truth}
        for step in self.program.steps:
            match step:
                case Draw():
                    rows[step.design] = rng.integers(truth.size, size=step.rows)
                case Feature():
                    weights = _features(self.points.dimension, step, rng)
                    phi = step.activation
                    F[step.features] = weights if phi is None else Layer(weights, phi, self.points.trace, rng)
                case Label():
                    labels = _again(_combination(step, f, truth.size)[rows[step.design]], step, y)
                    y[step.sample] = _noisy(labels, step.noise, rng)
                case Solve():
                    drawn, labels, weight = self._merged(step, rows, y)
                    features = None if step.features is None else F[step.features]
                    f[step.fit] = self.points.fit(drawn, labels, weight, step, features)
                    if step is self.program.steps[-1] and self.program.measured != "test error":
                        found = _mean_square(step, y, {b.design: f[step.fit][rows[b.design]] for b in step.blocks})
                        if self.program.measured == "training error":
                            return found
                        dual = labels * np.sqrt(weight)
                        return cross_validated(self.points.gram(drawn, weight, features), found, dual, step.N, step)
                    for design in step.release:
                        del rows[design]
        return float(np.mean(np.square(self.program.model(f) - truth)))

    def _merged(
        self, step: Solve, rows: Mapping[int, np.ndarray], y: Mapping[int, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the points drawn, each once, with mean label and total weight over ``N``."""
        weight, moment = np.zeros(self.points.truth.size), np.zeros(self.points.truth.size)
        for b in step.blocks:
            weight += b.weight * np.bincount(rows[b.design], minlength=weight.size)
            moment += b.weight * np.bincount(rows[b.design], _pooled_labels(b, y), minlength=weight.size)
        drawn = np.flatnonzero(weight)
        return drawn, moment[drawn] / weight[drawn], weight[drawn] / step.N


def _seen(X: np.ndarray, F: np.ndarray | Layer | None, design: int) -> np.ndarray:
    """Return what a fit sees of the rows of a design."""
    if isinstance(F, Layer):
        return F.rows(X, design)
    return X if F is None else np.asarray(X @ F)


def _predicted(model: np.ndarray, X: np.ndarray, F: Mapping[int, np.ndarray | Layer], design: int | None) -> np.ndarray:
    """Return the values of a model on rows, which may be those of a design."""
    out = X @ model[: X.shape[1]]
    for layer in F.values():
        if isinstance(layer, Layer) and model[layer.place].any():
            out += layer.rows(X, design) @ model[layer.place]
    return np.asarray(out)


def _combination(step: Label, models: Mapping[int, np.ndarray], size: int) -> np.ndarray:
    total = np.zeros(size)
    for model, c in step.coefficients:
        total += c * models[model]
    return total


def _again(labels: np.ndarray, step: Label, y: Mapping[int, np.ndarray]) -> np.ndarray:
    """Add the labels of earlier samples on the same inputs."""
    for sample, c in step.reused:
        labels = labels + c * y[sample]
    return labels


def _features(dimension: int, step: Feature, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(rng.standard_normal((dimension, step.m)) / np.sqrt(step.m))


def _mean_square(step: Solve, y: Mapping[int, np.ndarray], predicted: Mapping[int, np.ndarray]) -> float:
    """Return the mean square of the residuals on all labels of a fit, with its row weights."""
    total = sum(
        b.weight * share * float(np.square(y[s] - predicted[b.design]).sum())
        for b in step.blocks
        for s, share in b.shares
    )
    return total / step.N


def _noisy(labels: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    # Drawn even at noise 0, so that runs that differ in the noise alone share their inputs.
    return np.asarray(labels + noise * rng.standard_normal(labels.size))


def _pooled_labels(block: PooledRows, y: Mapping[int, np.ndarray]) -> np.ndarray:
    (first, share), *others = block.shares
    total = share * y[first]
    for sample, share in others:
        total += share * y[sample]
    return total


def linear_trial(pipeline: Pipeline, model: Fit | Source, setting: Setting) -> Trial:
    """Return the trial of linear regression: what :class:`.Linear` simulates.

    Args:
        pipeline: The pipeline, without ``one_of`` and subsamples in what ``model`` depends on.
        model: The tested fit.
        setting: ``spectrum`` and ``target``, or ``inputs`` and ``targets``, or ``kernel`` and ``targets``.

    Raises:
        DomainError: If not exactly one source of inputs is given, or the data do not fit together.
        PipelineError: If the pipeline is not one of linear regressions, or names covariances with real inputs.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> from collapse_theory.describe.targets import RandomTarget
    >>> pipe = Pipeline()
    >>> m = pipe.fit(pipe.sample(T=20))
    >>> trial = linear_trial(pipe, m, Setting(spectrum=Isotropic(5), target=RandomTarget()))
    >>> trial(np.random.default_rng(0)) < 1e-25
    True
    """
    program = compile_linear(pipeline, model, setting.values, setting.measured)
    given = [name for name in ("spectrum", "inputs", "kernel") if getattr(setting, name) is not None]
    if len(given) != 1:
        raise DomainError(
            f"simulate needs exactly one of spectrum, inputs and kernel, got {' and '.join(given) or 'none'}; "
            "spectrum= draws Gaussian inputs, inputs= and kernel= draw rows of real data"
        )
    needs, excludes = ("target", "targets") if given == ["spectrum"] else ("targets", "target")
    if getattr(setting, needs) is None or getattr(setting, excludes) is not None:
        has = "none" if getattr(setting, needs) is None else f"{needs} and {excludes}"
        raise DomainError(
            f"simulate with {given[0]}= needs {needs}= and no {excludes}=, got {has}; "
            "target= goes with a spectrum, targets= with the rows of real data"
        )
    if given == ["spectrum"]:
        return _gaussian(program, setting)
    if program.others:
        raise DomainError(
            f"simulate on real rows needs one truth, got {', '.join(program.others)} beside it; draw Gaussian inputs with spectrum="
        )
    points = points_from_inputs if given == ["inputs"] else points_from_kernel
    return RealTrial(program, points(getattr(setting, given[0]), setting.targets, program, setting.test_covariance))


def _gaussian(program: Procedure, setting: Setting) -> GaussianTrial:
    spectra = setting.spectrum if isinstance(setting.spectrum, Mapping) else {COMMON: setting.spectrum}
    test = COMMON if setting.test_covariance is None else setting.test_covariance
    for name, spectrum in spectra.items():
        if not isinstance(spectrum, Spectrum):
            raise DomainError(
                f"spectrum needs to be a Spectrum ({shown(name)}), got {shown(spectrum)}; for an array use ct.Eigenvalues"
            )
    for name, what in (*((c, "of a sample") for c in program.covariances), (test, "of the test inputs")):
        if name not in spectra:
            raise DomainError(
                f"spectrum needs the covariance {shown(name)} {what}, got {', '.join(map(repr, spectra)) or 'none'}"
                f"{nearest(name, spectra)}; give spectrum={{{shown(name)}: ...}}"
            )
    target = cast("Target", given_target(setting.target, setting.overlaps))
    sizes = {name: spectra[name].dimension for name in (*program.covariances, test)}
    if len(set(sizes.values())) > 1:
        raise DomainError(
            f"spectrum needs one length for all covariances, got {sizes}; list them in one common eigenbasis"
        )
    reference = spectra[COMMON if COMMON in spectra else test]
    target.check(reference)
    truth = np.sqrt(target.energies(reference))
    deviation = {name: np.sqrt(spectra[name].eigenvalues) for name in program.covariances}
    if program.layers and {*program.covariances, test} != {COMMON}:
        other = next(x for x in (*program.covariances, test) if x != COMMON)
        raise PipelineError(
            f"features with an activation need all inputs to be of the common covariance, got {shown(other)}; omit covariance= and "
            "test_covariance="
        )
    risk = spectra[test].eigenvalues
    seen = np.any([x > 0 for x in deviation.values()], axis=0)
    if any(isinstance(step, Feature) for step in program.steps):
        seen[:] = True  # features give a model coefficients where no input varies
    floor = float(risk[~seen] @ np.square(truth[~seen]))
    rows = max(step.N for step in program.steps if isinstance(step, Solve))
    if rows * int(seen.sum()) > MOST_ENTRIES:
        raise DomainError(
            f"simulate needs fits of at most {MOST_ENTRIES} entries (rows times directions), got {rows} x {int(seen.sum())}; "
            "take fewer rows or directions"
        )
    tasks = _tasks(program, target, reference)
    return GaussianTrial(
        program,
        {k: x[seen] for k, x in deviation.items()},
        risk[seen],
        truth[seen],
        floor,
        None if tasks is None else np.ascontiguousarray(tasks[..., seen]),
    )


def _tasks(program: Procedure, target: Target, spectrum: Spectrum) -> np.ndarray | None:
    """Return the coefficients of all truths of a program in parts; None where there is one."""
    if not program.others:
        return None
    names = list(target.targets) if isinstance(target, Truths) else []
    for name in program.others:
        if name not in names:
            raise DomainError(
                f"target needs the coefficients of the truth {shown(name)}, which labels rows, got "
                f"{', '.join(names) or shown(target)}; pass target={{'w0': ..., {name!r}: ...}}"
            )
    parts = cast("Truths", target).components(spectrum)
    return parts[:, [0, *map(names.index, program.others)]]
