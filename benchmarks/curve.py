"""Measure the theory curve of ridge-replace, n = 0..50 and 200 ridges at d = 300, against a fair simulation to 1 %.

The simulation is as good as one can make it: one chain of 50 generators serves every n; each downstream design is diagonalised
once and serves all n and all ridges; no formula is used. Some chains are timed and their scatter measured; the time for a
standard error of 1 % is the time of a chain times the number of chains that needs, an extrapolation in the number of chains alone:
for the median of the points, and for the worst of them, which is what "all points to 1 %" takes. Processor time and value computed
are printed, and the ratios.
"""

from __future__ import annotations

import math
import time

import numpy as np

import collapse_theory as ct

D, T, T0, SIGMA = 300, 600, 900, 0.5
ROUNDS, RIDGES = 50, np.logspace(-4, 1, 200)
CHAINS, ACCURACY = 24, 0.01
RUNS = 7


def chain(rng: np.random.Generator, s: np.ndarray, w0: np.ndarray) -> np.ndarray:
    """Return the excess risks of one run, shape (n, ridges)."""
    root, teachers = np.sqrt(s), [w0]
    for _ in range(ROUNDS):
        x = rng.standard_normal((T0, D)) * root
        y = x @ teachers[-1] + SIGMA * rng.standard_normal(T0)
        teachers.append(np.linalg.solve(x.T @ x, x.T @ y))
    x = rng.standard_normal((T, D)) * root
    values, vectors = np.linalg.eigh(x.T @ x / T)
    labels = x @ np.stack(teachers, axis=1) + SIGMA * rng.standard_normal((T, 1))  # one noise serves all n
    moments = vectors.T @ (x.T @ labels / T)
    metric = (vectors.T * s) @ vectors
    start = vectors.T @ w0
    # The risk is a quadratic form of the shrunk moments: all ridges and all n in a few products.
    shrunk = moments[None] / (values[None, :, None] + RIDGES[:, None, None]) - start[None, :, None]
    flat = shrunk.transpose(1, 0, 2).reshape(D, -1)
    risks: np.ndarray = ((metric @ flat) * flat).sum(axis=0).reshape(RIDGES.size, -1).T
    return risks


def main() -> None:
    spectrum, target = ct.PowerLaw(D, beta=1.5), ct.SourceTarget(r=0.5)
    err = ct.catalog["ridge-replace"].error
    predict = err.compile(spectrum=spectrum, target=target)
    values = {"T": T, "T0": T0, "sigma": SIGMA, "sigma0": SIGMA, "n": np.arange(ROUNDS + 1)[:, None], "lam": RIDGES}
    theory = predict(**values)
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        theory = predict(**values)
        times.append(time.process_time() - start)
    seconds = float(np.median(times))
    print(
        f"theory, {theory.size} points{'':<30} {1000 * seconds:12.2f} ms   {theory[0].min():.9g} to {theory[-1].max():.9g}"
    )

    s = np.arange(1, D + 1.0) ** -1.5
    w0 = np.sqrt(np.arange(1, D + 1.0) ** -(1 + 1.5) / s)
    rng = np.random.default_rng(0)
    start = time.process_time()
    runs = np.stack([chain(rng, s, w0) for _ in range(CHAINS)])
    per_chain = (time.process_time() - start) / CHAINS
    mean, spread = runs.mean(axis=0), runs.std(axis=0, ddof=1)
    gap, sem = np.median(mean / theory - 1), np.median(spread / theory) / math.sqrt(CHAINS)
    shown = f"median gap {100 * gap:+.2f} %, standard error {100 * sem:.2f} %"
    print(f"simulation, one chain of {ROUNDS} generators{'':<20} {1000 * per_chain:12.2f} ms   {shown}")
    relative = spread / theory
    for what, scatter in (("median", np.median(relative)), ("worst", relative.max())):
        needed = math.ceil((scatter / ACCURACY) ** 2)
        total = needed * per_chain
        print(
            f"simulation to 1 %, {what} point: {needed} chains{'':<10} {1000 * total:12.0f} ms   ratio {total / seconds:.0f}"
        )


if __name__ == "__main__":
    main()
