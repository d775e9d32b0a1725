"""Measure the optimal ridge: build, 1,000 points of one or of many numbers of rows, the clean optimum; joint optima; with values.

Processor time on one core of a busy AMD EPYC: 1,000 points of d = 300 at one T 0.35 s, at as many T 0.8 s; a weight and a ridge of
pooled fits that share rows 3 to 4 s, where there was no result in 70 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import collapse_theory as ct

POINTS = 1000


def line(what: str, f: Callable[[], Any], show: Callable[[Any], Any]) -> Any:
    """Print wall and processor time of a call, and what it computed."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = f()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:<58} {wall:7.3f} s  (processor {cpu:7.3f} s)   {show(found)}")
    return found


def pooled() -> ct.ErrorFormula:
    """Return the error of weighted real and synthetic rows whose generator saw the same real rows."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    fake = pipe.sample(T=80, noise=0.3, source=pipe.fit(real, ridge=ct.symbols.lam0))
    w = ct.symbols.w
    pipe.fit([real, fake], weights=[w, 1 - w], ridge=ct.symbols.lam)
    return ct.test_error(pipe)


def main() -> None:
    err = ct.catalog["ridge-replace"].error
    about = {"spectrum": ct.PowerLaw(300, beta=1.2), "target": ct.RandomTarget(norm2=1.0)}
    rng = np.random.default_rng(0)
    rest = {"n": rng.integers(0, 10, POINTS), "T0": rng.uniform(400, 2000, POINTS), "sigma": rng.uniform(0.1, 1, POINTS),
            "sigma0": rng.uniform(0.1, 1, POINTS)}  # fmt: skip
    one = {"n": 5, "T": 600, "T0": 900, "sigma": 0.5, "sigma0": 0.5}
    line("one point, derivatives compiled on the way", lambda: err.optimum(**about, **one), lambda b: b.value)
    line("one point", lambda: err.optimum(**about, **one), lambda b: b.value)
    for what, T in (("T = 600", 600.0), ("as many T", rng.uniform(100, 2000, POINTS))):
        best = line(
            f"{POINTS} points, d = 300, {what}", lambda T=T: err.optimum(**about, **rest, T=T), lambda b: b.value[:2]
        )
        line("  their clean optima", lambda best=best: best.clean_value, lambda x: x[:2])
    law = {"spectrum": ct.PowerLaw(40, beta=1.2), "target": ct.SourceTarget(r=0.4)}
    shared = pooled()
    line("shared rows, one argument", lambda: shared.optimum("lam", **law, lam0=0.1, w=0.6), lambda b: b.value)
    for over, rest in ((["lam", "w"], {"lam0": 0.1}), (["lam", "lam0"], {"w": 0.6})):
        line(f"shared rows, {over}", lambda o=over, r=rest: shared.optimum(o, **law, **r), lambda b: b.value)
    chain = ct.catalog["ridge-chain"].at(2, lam0=[ct.symbols.indexed(ct.symbols.lam, i) for i in (1, 2)])
    names, fixed = ["lam_1", "lam_2", "lam"], {"T": 60, "T0": 50, "sigma": 0.5, "sigma0": 0.4}
    line("a schedule of three ridges", lambda: chain.optimum(names, **law, **fixed), lambda b: b.value)


if __name__ == "__main__":
    main()
