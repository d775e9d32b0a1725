"""Measure the engine: expressions and pipelines, derivation and evaluation apart. Run: ``python benchmarks/engine.py``.

Each line has the time, the value computed and, where there is one, the bound it is to stay under.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sympy import Identity, Symbol, sqrt

import collapse_theory as ct
from collapse_theory.symbols import T, d, lam, sigma

SPECTRUM = ct.PowerLaw(1000, beta=1.2)
Z, SIGMA = ct.GaussianMatrix("Z", T, d), ct.Covariance("Sigma", d)
X = Z * ct.sqrt(SIGMA)
S = X.T * X / T
R = (S + lam * Identity(d)).inv()
AT = {"spectrum": SPECTRUM, "T": 300, "lam": 0.01}


def line(what: str, f: Callable[[], Any], bound: float | None = None) -> float:
    start = time.perf_counter()
    value = f()
    seconds = time.perf_counter() - start
    print(f"{what:<58} {seconds:8.3f} s{'' if bound is None else f'  (<= {bound:g} s)':<14} {value:.12g}")
    return seconds


def engine() -> float:
    import scipy.sparse.csgraph

    return float(bool(ct.deterministic_equivalent and ct.test_error and scipy.sparse.csgraph))


def traced(expression: Any, **values: Any) -> float:
    equivalent = ct.deterministic_equivalent(expression)
    assert equivalent.expr is not None  # the closed form is part of the derivation
    return float(np.sum(equivalent.evaluate(**values)))


def ridge() -> float:
    bias = traced((R * S - Identity(d)) * SIGMA * (S * R - Identity(d)), **AT)
    variance = ct.deterministic_equivalent(sigma**2 * X * R * SIGMA * R * X.T / T**2)
    assert variance.expr is not None
    return bias + 300 * float(variance.evaluate(sigma=0.5, **AT))


def random_features() -> float:
    m = Symbol("m", integer=True, positive=True)
    a, b, gamma = (Symbol(n, positive=True) for n in ("a", "b", "gamma"))
    F = a / sqrt(d) * Z * ct.GaussianMatrix("W", d, m) + b * ct.GaussianMatrix("Theta", T, m)
    K = (F * F.T / m + gamma * Identity(T)).inv()
    return traced(K, T=300, d=200, m=400, a=0.8, b=0.5, gamma=0.1)


def accumulate(rounds: int, spectrum: ct.PowerLaw = SPECTRUM, rows: int = 300) -> float:
    pipe = ct.workflows.accumulate(rounds, ct.Stage(T=rows, noise=0.3, ridge=0.01))
    target = ct.SourceTarget(r=0.5)
    return float(ct.test_error(pipe, method="free-probability").evaluate(spectrum=spectrum, target=target))


EXPRESSIONS = {
    "R Sigma R": (lambda: traced(R * SIGMA * R, **AT), 0.25),
    "ridge bias and variance": (ridge, 0.5),
    "random features": (random_features, 1.0),
}


def main() -> None:
    if len(sys.argv) == 2:  # one expression in a process of its own: nothing is cached
        engine()
        run, bound = EXPRESSIONS[sys.argv[1]]
        line(f"{sys.argv[1]}: derive, solve, evaluate", run, bound)
        return
    line("import of the engine", engine)
    for name in EXPRESSIONS:
        print(
            subprocess.run([sys.executable, __file__, name], check=True, capture_output=True, text=True).stdout, end=""
        )
    rounds = (2, 3, 4, 6, 8, 12, 16)
    bounds = {3: 3.0, 8: 60.0}
    seconds = [
        line(f"accumulate, {n} rounds, d=1000: derive and evaluate", lambda n=n: accumulate(n), bounds.get(n))
        for n in rounds
    ]
    slope = np.polyfit(np.log(rounds[2:]), np.log(seconds[2:]), 1)[0]
    print(f"cost ~ rounds^{slope:.2f} (log-log fit, {rounds[2]} to {rounds[-1]} rounds)")
    line(
        "accumulate, 3 rounds, d=100,000: derive and evaluate",
        lambda: accumulate(3, ct.PowerLaw(10**5, beta=1.2), 3000),
    )


if __name__ == "__main__":
    main()
