"""The training procedures of the literature as pipelines. A *round* is one sample and one fit."""

from __future__ import annotations

from typing import Any, Literal

from sympy import Integer, Rational, sqrt

from collapse_theory.core.arguments import choice
from collapse_theory.core.attributes import unknown_attribute
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.core.numbers import Scalar, real
from collapse_theory.describe.pipeline import TRUTH, Fit, Pipeline, Sample, Stage, Truth, one_of

__all__ = [
    "accumulate",
    "accumulate_subsample",
    "fresh_real",
    "keep_real",
    "label_mix",
    "last_k",
    "random_past",
    "replace",
]

_ROUNDS = 10_000  # built one by one


def _count(value: Any, name: str, least: int) -> int:
    count = real(value, name, integer=True, most=_ROUNDS, error=PipelineError)
    if not count.is_Integer or count < least:
        raise PipelineError(
            f"{name} needs to be an integer >= {least}, got {shown(value)}; rounds are built one by one"
        )
    return int(count)


def _stage(value: Any, name: str) -> Stage:
    if not isinstance(value, Stage):
        raise PipelineError(
            f"{name} needs to be a Stage, got {shown(value)}; write ct.Stage(T=..., noise=..., ridge=...)"
        )
    return value


def _sample(pipe: Pipeline, stage: Stage, **how: Any) -> Sample:
    if "design" not in how:
        how["T"] = stage.T
    return pipe.sample(noise=stage.noise, **how)


def replace(generations: int, generator: Stage | None = None, downstream: Stage | None = None) -> Pipeline:
    """Return ``generations`` generator fits in a chain, then the tested fit; each has its own fresh sample.

    The first generator is labelled by the truth, the next by the previous fit, the tested fit by the last generator
    (by the truth if ``generations`` is 0).

    Args:
        generations: Number of generator fits ``n`` >= 0.
        generator: Rows, noise and ridge of each generator fit; may be omitted if ``generations`` is 0.
        downstream: Rows, noise and ridge of the tested fit.

    Raises:
        PipelineError: If an argument is out of range or missing.

    >>> replace(2, Stage(T=50, noise=0.1), Stage(T=40, noise=0.1))
    Pipeline(3 samples, 3 fits)
    """
    n = _count(generations, "generations", 0)
    stages = [_stage(generator, "generator")] * n if n else []
    pipe = Pipeline()
    last: Truth | Fit = TRUTH
    for stage in [*stages, _stage(downstream, "downstream")]:
        last = pipe.fit(_sample(pipe, stage, source=last), ridge=stage.ridge)
    return pipe


def accumulate(
    generations: int,
    stage: Stage,
    ridge_scaling: Literal["normalised", "constant"] = "normalised",
    design: Literal["fresh", "fixed"] = "fresh",
) -> Pipeline:
    """Return ``generations`` rounds that keep all data: round k fits on samples 1...k, sample k labelled by fit k-1.

    Args:
        generations: Number of rounds ``n`` >= 1; 1 is clean.
        stage: Rows and noise of each sample, ridge of each fit.
        ridge_scaling: "normalised": the ridge of every round is ``stage.ridge`` on the mean loss over ``kT`` rows;
            "constant": it is ``stage.ridge/k``, so that the unnormalised penalty is constant.
        design: "fresh" inputs in every round, or "fixed": every sample reuses the inputs of the first.

    Raises:
        PipelineError: If an argument is out of range.

    >>> accumulate(3, Stage(T=15, noise=1.0)).fits[-1].N
    45
    """
    n = _count(generations, "generations", 1)
    choice(ridge_scaling, "ridge_scaling", ("normalised", "constant"))
    choice(design, "design", ("fresh", "fixed"))
    _stage(stage, "stage")
    pipe = Pipeline()
    last: Truth | Fit = TRUTH
    for k in range(1, n + 1):
        how: dict[str, Any] = {"design": pipe.samples[0]} if design == "fixed" and k > 1 else {}
        _sample(pipe, stage, source=last, **how)
        ridge = stage.ridge
        if ridge is not None and ridge_scaling == "constant":
            ridge *= Rational(1, k)
        last = pipe.fit(pipe.samples, ridge=ridge)
    return pipe


def keep_real(generations: int, real: Stage, synthetic: Stage) -> Pipeline:
    """Return a clean fit, then rounds that pool a fresh synthetic sample with the same real sample.

    Args:
        generations: Number of rounds ``n`` >= 0 after the clean fit.
        real: The real sample and the ridge of the clean fit.
        synthetic: Each synthetic sample and the ridge of its round.

    Raises:
        PipelineError: If an argument is out of range.

    >>> keep_real(2, real=Stage(T=40), synthetic=Stage(T=60)).fits[-1].N
    100
    """
    n = _count(generations, "generations", 0)
    pipe = Pipeline()
    truth = _sample(pipe, _stage(real, "real"))
    last = pipe.fit(truth, ridge=real.ridge)
    for _ in range(n):
        fake = _sample(pipe, _stage(synthetic, "synthetic"), source=last)
        last = pipe.fit([truth, fake], ridge=synthetic.ridge)
    return pipe


def fresh_real(generations: int, real: Stage, synthetic: Stage, weight: Scalar | None = None) -> Pipeline:
    """Return a clean fit, then rounds that pool a fresh synthetic sample with a fresh real one.

    Args:
        generations: Number of rounds ``n`` >= 0 after the clean fit.
        real: Each real sample and the ridge of the clean fit.
        synthetic: Each synthetic sample and the ridge of its round.
        weight: Share ``w`` in [0, 1] of the real part in the total weight ``sum a_i T_i``; None: unweighted rows.

    Raises:
        PipelineError: If an argument is out of range.

    >>> fresh_real(1, Stage(T=40), Stage(T=60), weight=0.5).fits[-1].weights
    (1.25000000000000, 0.833333333333333)
    """
    n = _count(generations, "generations", 0)
    _stage(real, "real")
    _stage(synthetic, "synthetic")
    weights = None
    if weight is not None:
        w, N = _share(weight), real.T + synthetic.T
        weights = [w * N / real.T, (1 - w) * N / synthetic.T]
    pipe = Pipeline()
    last = pipe.fit(_sample(pipe, real), ridge=real.ridge)
    for _ in range(n):
        pair = [_sample(pipe, real), _sample(pipe, synthetic, source=last)]
        last = pipe.fit(pair, weights=weights, ridge=synthetic.ridge)
    return pipe


def last_k(generations: int, stage: Stage, k: int) -> Pipeline:
    """Return rounds that pool the samples of the last ``k`` rounds; sample j is labelled by fit j-1.

    Args:
        generations: Number of rounds ``n`` >= 1; 1 is clean.
        stage: Rows and noise of each sample, ridge of each fit.
        k: Window, >= 1; 1 is replace.

    Raises:
        PipelineError: If an argument is out of range.

    >>> [len(f.samples) for f in last_k(4, Stage(T=10), k=2).fits]
    [1, 2, 2, 2]
    """
    n, window = _count(generations, "generations", 1), _count(k, "k", 1)
    pipe = Pipeline()
    last: Truth | Fit = TRUTH
    for _ in range(n):
        _sample(pipe, _stage(stage, "stage"), source=last)
        last = pipe.fit(pipe.samples[-window:], ridge=stage.ridge)
    return pipe


def random_past(generations: int, stage: Stage) -> Pipeline:
    """Return rounds of one sample whose rows are each labelled by a past fit (or the truth) drawn uniformly.

    Args:
        generations: Number of rounds ``n`` >= 1; the first is labelled by the truth.
        stage: Rows and noise of each sample, ridge of each fit.

    Raises:
        PipelineError: If an argument is out of range.

    >>> random_past(3, Stage(T=10)).samples[-1].source
    one_of(TRUTH, m1, m2)
    """
    n = _count(generations, "generations", 1)
    pipe = Pipeline()
    past: list[Truth | Fit] = [TRUTH]
    for _ in range(n):
        source = one_of(*past) if len(past) > 1 else TRUTH
        past.append(pipe.fit(_sample(pipe, _stage(stage, "stage"), source=source), ridge=stage.ridge))
    return pipe


def accumulate_subsample(generations: int, stage: Stage) -> Pipeline:
    """Return rounds as in :func:`accumulate`, each fit on ``T`` rows drawn without replacement from the pool.

    Args:
        generations: Number of rounds ``n`` >= 1; 1 is clean.
        stage: Rows and noise of each sample, ridge of each fit.

    Raises:
        PipelineError: If an argument is out of range.

    >>> accumulate_subsample(2, Stage(T=10)).fits[-1].N
    10
    """
    n = _count(generations, "generations", 1)
    pipe = Pipeline()
    last: Truth | Fit = TRUTH
    pool: list[Sample] = []
    for _ in range(n):
        pool.append(_sample(pipe, _stage(stage, "stage"), source=last))
        rows = pool if len(pool) == 1 else pipe.subsample(pool, T=stage.T)
        last = pipe.fit(rows, ridge=stage.ridge)
    return pipe


def label_mix(generations: int, stage: Stage, weight: Scalar) -> Pipeline:
    """Return a clean fit, then fits on mixed labels, all on one design.

    Labels of each later fit are ``w`` (fresh real labels) + ``(1-w)`` (fresh labels of the previous fit): source
    ``w*TRUTH + (1-w)*previous``, noise ``sqrt(w^2 + (1-w)^2)*sigma``.

    Args:
        generations: Number of fits ``n`` >= 0 after the clean one.
        stage: Rows and noise of the design, ridge of each fit.
        weight: Share ``w`` in [0, 1] of the real labels.

    Raises:
        PipelineError: If an argument is out of range.

    >>> label_mix(1, Stage(T=10, noise=0.5), weight=0.6).samples[-1].source
    0.6*TRUTH + 0.4*m1
    """
    n, w = _count(generations, "generations", 0), _share(weight)
    pipe = Pipeline()
    first = _sample(pipe, _stage(stage, "stage"))
    last = pipe.fit(first, ridge=stage.ridge)
    noise = None if stage.noise is None else sqrt(w**2 + (1 - w) ** 2) * stage.noise
    for _ in range(n):
        mixed = pipe.sample(design=first, noise=noise, source=w * TRUTH + (1 - w) * last)
        last = pipe.fit(mixed, ridge=stage.ridge)
    return pipe


def _share(weight: Any) -> Any:
    w = real(weight, "weight", nonnegative=True, error=PipelineError)
    if (Integer(1) - w).is_negative:
        raise PipelineError(f"weight needs to be in [0, 1], got {shown(weight)}; it is the share of the real data")
    return w


def __getattr__(name: str) -> Any:
    """Refuse a name of no workflow, with the nearest one."""
    raise AttributeError(unknown_attribute("collapse_theory.workflows", name, __all__), name=name)
