"""Measure the optimal ridge: build, 1,000 points of one or of many numbers of rows, the clean optimum; with values."""

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


if __name__ == "__main__":
    main()
