r"""The exact law of one token's frequency in any pipeline, by elimination along the DAG.

A token's count in a sample is binomial given the frequencies of its labellers, hypergeometric for a subsample.
Walking the nodes in order, the state is what later nodes still need: samples that nobody needs any more are summed out,
and samples that all later fits use in one fixed proportion are kept as one sum. Replace needs one count, accumulate one
running sum, keep_real the real and the newest count. Many tokens are carried along as columns.

Source: elimination of the variables of a graphical model one by one (bucket elimination; Dechter 1999).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import hypergeom

from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Truth, rows_behind
from collapse_theory.families.binomial import probabilities

__all__ = ["MAX_WORK", "TokenLaw", "token_law"]

MAX_WORK = 1e7
"""Transition probabilities and products beyond which the law is not computed (about a second)."""


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
    samples = _samples(pipeline, model)
    last_use = _last_uses(samples, model)
    registers: list[_Register] = []
    law = np.ones((1, len(p)))
    work = 0.0
    for time, s in enumerate(samples):
        T = int(s.T)
        mixed = not s.pool and len(s.labellers) > 1 and any(isinstance(labeller, Truth) for labeller in s.labellers)
        work += len(law) * (T + 1) * (len(p) if mixed else 1 + len(p) / 10)
        if work > max_work:
            return None
        transition = _transition(s, registers, len(law), p)
        uses = {u: c for u, c in _uses(s, samples, model).items() if last_use[u] > time}
        kept = [r for r in registers if any(last_use[u] > time for u in r.uses)]
        group, members = _groups(kept, len(law))
        law = _draw(transition, law, group, len(members), len(p))
        registers = [_Register(np.repeat(r.value[members], T + 1), r.uses) for r in kept]
        registers.append(_Register(np.tile(np.arange(T + 1.0), len(members)), uses))
        registers, law = _merged(registers, law, {u for u, t in last_use.items() if t > time})
    return TokenLaw(_frequency(model, registers, len(law)), law)


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


def _transition(s: Sample, registers: list[_Register], states: int, p: np.ndarray) -> np.ndarray:
    """Return probabilities of the new count: (states, T+1), or (states, T+1, tokens) where tokens differ."""
    T = int(s.T)
    count = np.arange(T + 1)
    if s.pool:
        N = sum(int(x.T) for x in s.pool)
        pooled = np.zeros(states)
        for r in registers:
            if s in r.uses:
                pooled += r.uses[s] * r.value
        return np.asarray(hypergeom.pmf(count[None, :], N, pooled.round().astype(int)[:, None], T))
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
        q = np.clip(synthetic, 0.0, 1.0)
        return probabilities(T, *np.broadcast_arrays(count[None, :], q[:, None]))
    q = np.clip(synthetic[:, None] + real * p[None, :], 0.0, 1.0)
    return probabilities(T, *np.broadcast_arrays(count[None, :, None], q[:, None, :]))


def _groups(kept: list[_Register], states: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each state by the values of the kept registers, and one member of each group."""
    if not kept:
        return np.zeros(states, dtype=int), np.zeros(1, dtype=int)
    key = np.column_stack([r.value for r in kept]).round(9)
    _, members, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return group.ravel(), members


def _draw(transition: np.ndarray, law: np.ndarray, group: np.ndarray, groups: int, tokens: int) -> np.ndarray:
    """Return the law over (group, new count), flattened."""
    out = np.empty((groups, transition.shape[1], tokens))
    order = np.argsort(group, kind="stable")
    for g, at in enumerate(np.split(order, np.flatnonzero(np.diff(group[order])) + 1)):
        if transition.ndim == 2:
            out[g] = transition[at].T @ law[at]
        else:
            out[g] = np.einsum("ict,it->ct", transition[at], law[at])
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
