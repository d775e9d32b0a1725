r"""The law of one token's frequency in any pipeline, by elimination along the DAG.

A token's count in a sample is binomial given the frequencies of its labellers, hypergeometric for a subsample.
Walking the nodes in order, the state is what later nodes still need: samples that nobody needs any more are summed out,
and samples that all later fits use in one fixed proportion are kept as one sum. Replace needs one count, accumulate one
running sum, keep_real the real and the newest count. Many tokens are carried along as columns.

Counts that have no weight are left out, and where a sum over counts is smooth it is taken on every h-th count
(:mod:`~collapse_theory.families.token_lattice`). The mean deviation ``E |f - p|`` has a kink, which no such sum may meet: the
last sample is not summed over, its mean deviation from any point is a closed form
(:func:`~collapse_theory.families.binomial.mean_absolute_distance`).

Source: elimination of the variables of a graphical model one by one (bucket elimination; Dechter 1999).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import hypergeom

from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Truth, rows_behind
from collapse_theory.families.binomial import mean_absolute_distance, probabilities
from collapse_theory.families.calculus import RowLaw, moments
from collapse_theory.families.token_lattice import Lattice, bands, every_count, thinned

__all__ = ["MAX_WORK", "TokenLaw", "mean_deviation", "survival", "token_law"]

MAX_WORK = 3e8
"""Transition probabilities and products beyond which the law is not computed (some seconds)."""

_LOST = 1e-9  # of the probability, outside the counts that are kept
_WIDER = (1.0, 2.0, 4.0)


@dataclass(frozen=True, eq=False)
class TokenLaw:
    """Law of the tested model's frequency of each token.

    Attributes:
        frequency: The possible values, shape (n,).
        probability: Their probabilities, shape (n, tokens); columns sum to one.
    """

    frequency: np.ndarray
    probability: np.ndarray


@dataclass
class _Register:
    """A sum of sample counts that later nodes need, with the coefficient each of them gives it."""

    value: np.ndarray
    uses: dict[Sample | Fit, float] = field(default_factory=dict)


def token_law(pipeline: Pipeline, model: Fit, p: np.ndarray, max_work: float = MAX_WORK) -> TokenLaw | None:
    """Return the exact law of the frequency of tokens with true probabilities ``p``, or None if it costs too much.

    Args:
        pipeline: Numeric, already checked by the family.
        model: The tested fit.
        p: Token probabilities, shape (tokens,).
        max_work: Transition probabilities and products allowed, over all nodes.

    >>> pipe = Pipeline(); m = pipe.fit(pipe.sample(T=2))
    >>> token_law(pipe, m, np.array([0.5])).probability.ravel().round(12).tolist()
    [0.25, 0.5, 0.25]
    """
    walk = _Walk(pipeline, model, p, max_work)
    *_, end = walk.through(every_count(walk.samples))
    return None if end is not None else TokenLaw(_frequency(model, walk.registers, len(walk.law)), walk.law)


def mean_deviation(
    pipeline: Pipeline, models: Sequence[Fit], p: np.ndarray, max_work: float = MAX_WORK
) -> list[np.ndarray | None]:
    """Return ``E |f - p|`` of the frequency of each token in each model, None for those that cost too much.

    What is left out of sums is below 1e-9 of the value.

    Args:
        pipeline: Numeric, already checked by the family.
        models: Fits in their order. Those that the last one descends from are answered on the way to it.
        p: Token probabilities, shape (tokens,).
        max_work: Transition probabilities and products allowed, over all nodes.

    >>> pipe = Pipeline(); m = pipe.fit(pipe.sample(T=2))
    >>> mean_deviation(pipe, [m], np.array([0.5]))[0].round(12).tolist()
    [0.25]
    """
    samples = _samples(pipeline, models[-1])
    lasts = {m: _samples(pipeline, m)[-1] for m in models}
    if any(s.pool or s not in samples or _uses(s, samples, m).get(m, 0.0) == 0 for m, s in lasts.items()):
        return [_summed_deviation(pipeline, m, p, max_work) for m in models]

    def answers(walk: _Walk, s: Sample | None) -> Iterator[tuple[int, np.ndarray]]:
        for i, (m, last) in enumerate(lasts.items()):
            if last is s:
                yield i, _deviation(walk, m, last)

    return _banded(pipeline, models[-1], p, max_work, answers, len(models))


def _deviation(walk: _Walk, model: Fit, last: Sample) -> np.ndarray:
    """Return ``E |f - p|`` of a model of which all samples but the last are drawn."""
    a = _uses(last, walk.samples, model)[model]
    total = sum(float(b) * float(s.T) for b, s in zip(model.weights, model.samples, strict=True))
    others = np.zeros(len(walk.law))
    for r in walk.registers:
        others += r.uses.get(model, 0.0) * r.value
    point = (total * walk.p - others[:, None]) / a
    q = _success(last, walk.registers, len(walk.law), walk.p)
    q = np.broadcast_to(q if q.ndim == 2 else q[:, None], point.shape)
    return np.asarray(a / total * (mean_absolute_distance(int(last.T), q, point) * walk.law).sum(axis=0))


def _summed_deviation(pipeline: Pipeline, model: Fit, p: np.ndarray, max_work: float) -> np.ndarray | None:
    """Return ``E |f - p|`` where the last sample has no closed form: on every count, and the kink is summed over."""
    law = token_law(pipeline, model, p, max_work)
    return None if law is None else (np.abs(law.frequency[:, None] - p) * law.probability).sum(axis=0)


def survival(pipeline: Pipeline, model: Fit, p: np.ndarray, max_work: float = MAX_WORK) -> np.ndarray | None:
    """Return the probability that the model still gives each token, or None if it costs too much.

    >>> pipe = Pipeline(); m = pipe.fit(pipe.sample(T=2))
    >>> survival(pipe, m, np.array([0.5])).round(12).tolist()
    [0.75]
    """

    def positive(walk: _Walk, s: Sample | None) -> Iterator[tuple[int, np.ndarray]]:
        if s is None:
            yield 0, walk.law[_frequency(model, walk.registers, len(walk.law)) > 0].sum(axis=0)

    return _banded(pipeline, model, p, max_work, positive, 1)[0]


def _banded(
    pipeline: Pipeline,
    model: Fit,
    p: np.ndarray,
    max_work: float,
    answers: Callable[[_Walk, Sample | None], Iterable[tuple[int, np.ndarray]]],
    questions: int,
) -> list[np.ndarray | None]:
    """Return the answers for every token, those of similar probability together, on the counts that they need.

    ``answers`` is asked before each sample is drawn, and after the last with None; it gives questions by number, and answers.
    """
    samples = _samples(pipeline, model)
    variance = _sample_variances(pipeline, samples)
    smooth = not any(s.pool for s in samples)
    out = np.full((questions, len(p)), np.nan)
    for band in bands(samples, variance, p):
        for wider in _WIDER:
            walk = _Walk(pipeline, model, p[band], max_work)
            counts = thinned(samples, variance, p[band], wider, smooth=smooth)
            lost = 0.0
            for s in walk.through(counts):
                for i, answer in answers(walk, s):
                    lost = float(np.abs(walk.law.sum(axis=0) - 1).max())
                    out[i, band] = answer if lost < _LOST else np.nan
                if not np.isnan(out[:, band]).any():
                    break
            max_work -= walk.work
            if lost < _LOST:
                break
    return [None if np.isnan(values).any() else values for values in out]


def _sample_variances(pipeline: Pipeline, samples: list[Sample]) -> dict[Sample, float]:
    """Return the variance of each sample's frequency in units of ``p (1 - p)``."""
    scratch = pipeline.replaced({})
    first = len(scratch.fits)
    for s in samples:
        scratch.fit(scratch.samples[s.index])
    c = np.asarray(moments(scratch, RowLaw.TOKENS, exact=False).covariances)
    return {s: float(c[first + i, first + i]) for i, s in enumerate(samples)}


class _Walk:
    """The law of the state while the samples are drawn one by one."""

    def __init__(self, pipeline: Pipeline, model: Fit, p: np.ndarray, max_work: float) -> None:
        self.samples = _samples(pipeline, model)
        self.model, self.p, self.max_work = model, p, max_work
        self.registers: list[_Register] = []
        self.law = np.ones((1, len(p)))
        self.work = 0.0

    def through(self, counts: Mapping[Sample, Lattice]) -> Iterator[Sample | None]:
        """Yield each sample before it is drawn on its counts, None after the last; stop where that costs too much."""
        last_use = _last_uses(self.samples, self.model)
        p = self.p
        for time, s in enumerate(self.samples):
            yield s
            on = counts[s]
            mixed = not s.pool and len(s.labellers) > 1 and any(isinstance(x, Truth) for x in s.labellers)
            self.work += len(self.law) * on.size * (len(p) if mixed else 1 + len(p) / 10)
            if self.work > self.max_work:
                return
            transition, row = _transition(s, self.registers, len(self.law), p, on)
            uses = {u: c for u, c in _uses(s, self.samples, self.model).items() if last_use[u] > time}
            kept = [r for r in self.registers if any(last_use[u] > time for u in r.uses)]
            group, members = _groups(kept, len(self.law))
            law = _draw(transition, row, self.law, group, len(members), len(p))
            registers = [_Register(np.repeat(r.value[members], on.size), r.uses) for r in kept]
            registers.append(_Register(np.tile(on.counts.astype(float), len(members)), uses))
            self.registers, self.law = _merged(registers, law, {u for u, t in last_use.items() if t > time})
        yield None


def _samples(pipeline: Pipeline, model: Fit) -> list[Sample]:
    found = {s.index: s for f in pipeline.ancestors(model) for s in rows_behind(f.samples)}
    return [found[i] for i in sorted(found)]


def _uses(s: Sample, samples: list[Sample], model: Fit) -> dict[Sample | Fit, float]:
    """Return who needs the count of ``s``, with its coefficient: fits by row weight, subsamples by one."""
    fits = {labeller for t in samples for labeller in t.labellers if isinstance(labeller, Fit)} | {model}
    uses: dict[Sample | Fit, float] = {t: 1.0 for t in samples if any(x is s for x in t.pool)}
    for f in fits:
        for x, a in zip(f.samples, f.weights, strict=True):
            if x is s and a != 0:
                uses[f] = float(a)
    return uses


def _last_uses(samples: list[Sample], model: Fit) -> dict[Sample | Fit, int]:
    """Return when each consumer is read for the last time: a fit by the samples it labels, a subsample when drawn."""
    last: dict[Sample | Fit, int] = {}
    for time, s in enumerate(samples):
        if s.pool:
            last[s] = time
        for labeller in s.labellers:
            if isinstance(labeller, Fit):
                last[labeller] = time
    last[model] = len(samples)
    return last


def _frequency(fit: Fit, registers: list[_Register], states: int) -> np.ndarray:
    total = sum(float(a) * float(s.T) for a, s in zip(fit.weights, fit.samples, strict=True))
    count = np.zeros(states)
    for r in registers:
        if fit in r.uses:
            count += r.uses[fit] * r.value
    return np.asarray(count / total)


def _success(s: Sample, registers: list[_Register], states: int, p: np.ndarray) -> np.ndarray:
    """Return the probability of the token in a row of ``s``: (states,), or (states, tokens) where tokens differ."""
    if isinstance(s.source, OneOf):
        shares = [(labeller, 1 / len(s.source.labellers)) for labeller in s.source.labellers]
    else:
        shares = [(labeller, float(c)) for labeller, c in s.resolved.signal]
    real = sum(c for labeller, c in shares if isinstance(labeller, Truth))
    synthetic = np.zeros(states)
    for labeller, c in shares:
        if isinstance(labeller, Fit):
            synthetic += c * _frequency(labeller, registers, states)
    if real == 0:
        return np.clip(synthetic, 0.0, 1.0)
    return np.clip(synthetic[:, None] + real * p[None, :], 0.0, 1.0)


def _transition(
    s: Sample, registers: list[_Register], states: int, p: np.ndarray, on: Lattice
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of the new count, (rows, counts) or (rows, counts, tokens) where tokens differ, and each state's row."""
    T = int(s.T)
    count = on.counts
    if s.pool:
        N = sum(int(x.T) for x in s.pool)
        pooled = np.zeros(states)
        for r in registers:
            if s in r.uses:
                pooled += r.uses[s] * r.value
        value, row = np.unique(pooled.round().astype(int), return_inverse=True)
        return on.stride * np.asarray(hypergeom.pmf(count[None, :], N, value[:, None], T)), row
    q = _success(s, registers, states, p)
    if q.ndim == 1:
        value, row = np.unique(q.round(15), return_inverse=True)
        return on.stride * probabilities(T, *np.broadcast_arrays(count[None, :], value[:, None])), row
    return on.stride * probabilities(T, *np.broadcast_arrays(count[None, :, None], q[:, None, :])), np.arange(states)


def _groups(kept: list[_Register], states: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each state by the values of the kept registers, and one member of each group."""
    if not kept:
        return np.zeros(states, dtype=int), np.zeros(1, dtype=int)
    key = np.column_stack([r.value for r in kept]).round(9)
    _, members, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return group.ravel(), members


def _draw(
    transition: np.ndarray, row: np.ndarray, law: np.ndarray, group: np.ndarray, groups: int, tokens: int
) -> np.ndarray:
    """Return the law over (group, new count), flattened."""
    out = np.empty((groups, transition.shape[1], tokens))
    order = np.argsort(group, kind="stable")
    for g, at in enumerate(np.split(order, np.flatnonzero(np.diff(group[order])) + 1)):
        if transition.ndim == 2:
            out[g] = transition[row[at]].T @ law[at]
        else:
            out[g] = np.einsum("ict,it->ct", transition[row[at]], law[at])
    return out.reshape(-1, tokens)


def _merged(registers: list[_Register], law: np.ndarray, live: set[Sample | Fit]) -> tuple[list[_Register], np.ndarray]:
    """Add up registers that all live consumers use in one proportion, then states that became equal."""
    merged: list[_Register] = []
    for r in registers:
        uses = {u: c for u, c in r.uses.items() if u in live}
        if not uses:
            continue
        for other in merged:
            if uses.keys() == other.uses.keys():
                ratios = {round(c / other.uses[u], 12) for u, c in uses.items()}
                if len(ratios) == 1:
                    other.value = other.value + ratios.pop() * r.value
                    break
        else:
            merged.append(_Register(r.value, uses))
    group, members = _groups(merged, len(law))
    if len(members) == len(law):
        return merged, law
    summed = np.zeros((len(members), law.shape[1]))
    np.add.at(summed, group, law)
    return [_Register(r.value[members], r.uses) for r in merged], summed
