"""Measure the families beyond regression. Each line has the time, the peak memory so far and the value computed."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import collapse_theory as ct


def line(what: str, f: Callable[[], Any]) -> None:
    start = time.perf_counter()
    value = f()
    seconds = time.perf_counter() - start
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:<66} {seconds:7.2f} s  {gib:5.2f} GiB   {value}")


def main() -> None:
    four = ct.Categorical([0.5, 0.3, 0.15, 0.05])
    line(
        "total-collapse curve, 4 tokens, T=2000, 1,000 generations",
        lambda: four.total_collapse_probability(T=2000, generations=np.arange(1001))[-1],
    )
    p = 1 / np.arange(1.0, 10**6 + 1)
    p /= p.sum()
    zipf = ct.Categorical(p)

    def diversity() -> float:
        pipe = ct.workflows.replace(99, ct.Stage(T=10**6), ct.Stage(T=10**6))
        return zipf.diversity(pipe)

    line("diversity, Zipf vocabulary of 10^6, T=10^6, 100 generations", diversity)
    line(
        "expected survivors, the same, every generation",
        lambda: zipf.expected_survivors(T=10**6, generations=np.arange(101))[[1, 10, 100]],
    )
    stage = ct.Stage(T=100)
    for name, pipe in (
        ("accumulate", ct.workflows.accumulate(1000, stage)),
        ("replace", ct.workflows.replace(999, stage, stage)),
        ("random_past", ct.workflows.random_past(1000, stage)),
        ("accumulate_subsample", ct.workflows.accumulate_subsample(1000, stage)),
    ):
        line(f"calculus of 1,000 fits, {name}", lambda pipe=pipe: ct.covariances(pipe, family=ct.Gaussian())[-1, -1])


if __name__ == "__main__":
    main()
