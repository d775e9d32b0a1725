"""How accurate are the float64 values of pipelines? Random ones against more than 30 digits.

    python benchmarks/accuracy.py [points] [seed]

Draws pipelines with shared samples, reused inputs, weights, mixed labels and covariances of their own; ridges from 0 and
1e-30 to 1e6, rows below, at and above the rank, spectra in units of 1e-12 to 1e12. Prints the quantiles of the relative
error, the worst cases, how often the extended precision was needed, and what was refused.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

import collapse_theory as ct
from collapse_theory.derive.pooled import pooled_system
from collapse_theory.numerics.digits import Digits
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import PipelineEquivalent
from collapse_theory.numerics.pooled_float64 import pooled_values

RIDGES = (0.0, 1e-30, 1e-20, 1e-12, 1e-8, 1e-4, 1e-2, 1.0, 1e2, 1e6)


@dataclass(frozen=True)
class Point:
    """A pipeline, its spectra and target energies."""

    pipeline: ct.Pipeline
    measure: Measure
    test: str
    about: str


def draw(rng: np.random.Generator, directions: int = 24) -> Point:
    """Return a random point; ridges and rows come in units of the spectrum and of the ranks."""
    unit = float(rng.choice([1e-12, 1.0, 1e12]))
    names = ["Sigma", "A", "B"][: rng.integers(1, 4)]
    spectra = {name: unit * _spectrum(rng, directions) for name in names}
    pipe, samples, fits = ct.Pipeline(), [], []
    about = [f"unit {unit:g}", f"ranks {[int((s > 0).sum()) for s in spectra.values()]}"]
    for _ in range(rng.integers(1, 4)):
        for _ in range(rng.integers(1, 3)):
            labellers = [ct.TRUTH, *fits]
            w = float(rng.choice([1.0, 0.5, rng.uniform()]))
            source = w * labellers[rng.integers(len(labellers))]
            if w < 1:
                source = source + (1 - w) * labellers[rng.integers(len(labellers))]
            noise = float(rng.choice([0.0, 0.3, 1.0]))
            if samples and rng.uniform() < 0.4:
                samples.append(pipe.sample(design=samples[rng.integers(len(samples))], noise=noise, source=source))
            else:
                name = names[rng.integers(len(names))]
                rank = int((spectra[name] > 0).sum())
                rows = int(rng.choice([rank, max(1, rank // 2), 2 * rank, rank + 1, max(1, rank - 1), 5]))
                own = None if name == "Sigma" else name
                samples.append(pipe.sample(T=rows, noise=noise, source=source, covariance=own))
                about.append(f"{name}: T={rows}")
        chosen = [samples[i] for i in rng.permutation(len(samples))[: rng.integers(1, 3)]]
        if samples[-1] not in chosen:
            chosen.append(samples[-1])
        weights = [float(rng.choice([1.0, rng.uniform(0.1, 3)])) for _ in chosen]
        ridge = float(rng.choice(RIDGES)) * unit
        fits.append(pipe.fit(chosen, weights=weights, ridge=ridge))
        about.append(f"ridge {ridge:g}")
    energies = rng.exponential(size=directions) / unit
    return Point(
        pipe,
        Measure(spectra, np.ones(directions, dtype=int), energies),
        names[rng.integers(len(names))],
        ", ".join(about),
    )


def _spectrum(rng: np.random.Generator, directions: int) -> np.ndarray:
    s = np.arange(1, directions + 1) ** -float(rng.choice([0.0, 1.0, 3.0])) * rng.uniform(0.5, 2)
    if rng.uniform() < 0.4:
        rank = rng.integers(directions // 4, directions)
        s = np.where(np.isin(np.arange(directions), rng.permutation(directions)[:rank]), s, 0.0)
    return np.asarray(s)


def reference(equivalent: PipelineEquivalent, point: Point, digits: int) -> tuple[Any, Any]:
    """Return bias and variance in multiple precision, confirmed by more digits."""
    before = None
    while True:
        context = mpmath.MPContext()
        context.dps = digits
        numbers = Digits(context)
        try:
            found = equivalent.solve(numbers, point.measure.mapped(numbers.array), {})
        except ct.ConvergenceError:
            found = None
        if found is not None:
            now = found.bias, found.noise
            if before is not None and all(
                abs(a - b) <= mpmath.mpf(10) ** -30 * abs(a) for a, b in zip(now, before, strict=True)
            ):
                return now
            before = now
        digits *= 2


def main(points: int = 1000, seed: int = 0) -> None:
    """Print the measurement."""
    errors, extended, refused, seconds = [], 0, Counter[str](), []
    for i in range(points):
        point = draw(np.random.default_rng([seed, i]))
        equivalent = PipelineEquivalent(pooled_system(point.pipeline, test_covariance=point.test))
        begin = time.perf_counter()
        try:
            got = pooled_values(equivalent.system, point.measure, {})
        except ct.CollapseTheoryError as e:
            refused[f"{type(e).__name__}: {str(e)[:60]}"] += 1
            continue
        seconds.append(time.perf_counter() - begin)
        extended += got.extended
        for term, want in zip((got.bias, got.variance), reference(equivalent, point, 60), strict=True):
            error = abs(term - want) / want if want else abs(term)
            errors.append((float(error), i, f"{term:.17g} for {mpmath.nstr(want, 20)}: {point.about}"))
    sizes = np.array([e for e, _, _ in errors])
    print(f"{points} points, {len(sizes)} values (bias and variance), {extended} points needed more than float64")
    print(f"median {np.median(sizes):.1e}, 99 % {np.quantile(sizes, 0.99):.1e}, worst {sizes.max():.1e}")
    print(f"seconds: median {np.median(seconds):.3f}, worst {max(seconds):.2f}")
    for error, i, text in sorted(errors, reverse=True)[:5]:
        print(f"  {error:.1e} at point {i}: {text}")
    for why, count in refused.most_common():
        print(f"  refused {count} times: {why}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
