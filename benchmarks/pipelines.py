"""What do the test errors of pipelines cost? Processor time, and the first and last value.

    python benchmarks/pipelines.py

Fits that share inputs, at many points and at one; slopes; fits of several weights; many rounds and many generations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import collapse_theory as ct
from collapse_theory.symbols import T, lam, w

HOW: dict[str, Any] = {"spectrum": ct.PowerLaw(300, beta=1.5), "target": ct.SourceTarget(r=0.5)}
RIDGES = np.logspace(-4, 1, 1000)


def shared(weight: Any = None) -> ct.Pipeline:
    """Return three fits on two common samples, the last with labels of the two before."""
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=T, noise=0.3), pipe.sample(T=200, noise=0.2)
    weights = None if weight is None else [1, weight]
    first = pipe.fit([a, b], ridge=lam, weights=weights)
    second = pipe.fit([pipe.sample(T=300, noise=0.3, source=first), b], ridge=lam)
    pipe.fit([pipe.sample(design=a, noise=0.1, source=0.5 * first + 0.5 * second), b], ridge=lam)
    return pipe


def least(f: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """Return the least processor time of a call, and its value."""
    f()
    times, value = [], None
    for _ in range(runs):
        start = time.process_time()
        value = f()
        times.append(time.process_time() - start)
    return min(times), value


def line(what: str, f: Callable[[], Any], runs: int = 5) -> None:
    """Print one measurement."""
    seconds, value = least(f, runs)
    ends = np.ravel(value)[[0, -1]]
    print(f"{what:<62} {1000 * seconds:10.2f} ms   {ends[0]:.15g} ... {ends[1]:.15g}")


def main() -> None:
    """Print the measurements."""
    error = ct.test_error(shared(), method="free-probability")
    predict, slope = error.compile(**HOW), error.diff("lam").compile(**HOW)
    line("three fits on shared inputs, d=300: one point", lambda: predict(T=400, lam=0.1), 20)
    line("... 1,000 ridges", lambda: predict(T=400, lam=RIDGES))
    line("... 1,000 numbers of rows, from 2 to 1,000", lambda: predict(T=np.linspace(2, 1000, 1000), lam=0.1))
    line("... 1,000 slopes", lambda: slope(T=400, lam=RIDGES))
    predict = ct.test_error(shared(w), method="free-probability").compile(**HOW)
    line("... one of them with weights, 1,000 ridges", lambda: predict(T=400, lam=RIDGES, w=0.3), 3)
    stage = ct.Stage(T=T, noise=0.4, ridge=lam)
    for rounds in (16, 32):
        predict = ct.test_error(ct.workflows.accumulate(rounds, stage)).compile(**HOW)
        line(f"accumulate {rounds} rounds, one point", lambda: predict(T=400, lam=0.1), 3)  # noqa: B023 - called at once
    chain = ct.test_error(ct.workflows.replace(50, stage, stage), method="free-probability").compile(**HOW)
    line("50 independent generations, one point", lambda: chain(T=400, lam=0.1), 3)


if __name__ == "__main__":
    main()
