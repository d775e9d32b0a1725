"""Measure what a user waits for. One command: ``make bench``. Each line has the time and the value computed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def median_seconds(f: Callable[[], Any], runs: int = 7) -> tuple[float, Any]:
    """Return the median wall time of ``f`` and its last value."""
    times, value = [], None
    for _ in range(runs):
        start = time.perf_counter()
        value = f()
        times.append(time.perf_counter() - start)
    return statistics.median(times), value


def in_fresh_process(code: str, runs: int = 7) -> float:
    """Return the median seconds that ``code`` reports from a fresh interpreter."""
    wrapped = f"import time; t = time.perf_counter()\n{code}\nprint(time.perf_counter() - t)"

    def once() -> float:
        run = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, check=True)
        return float(run.stdout)

    return statistics.median(once() for _ in range(runs))


def line(what: str, seconds: float, value: Any) -> None:
    print(f"{what:<62} {1000 * seconds:10.2f} ms   {value}")


def main() -> None:
    ours, sympy = in_fresh_process("import collapse_theory"), in_fresh_process("import sympy")
    line("import sympy", sympy, "")
    line("import collapse_theory", ours, f"{ours / sympy:.2f} times sympy")
    used = in_fresh_process("import collapse_theory as ct; ct.catalog; ct.Pipeline; ct.PowerLaw; ct.test_error")
    line("import collapse_theory and touch the public face", used, f"{used / sympy:.2f} times sympy")
    derive = in_fresh_process("import collapse_theory as ct; ct.catalog['ridge-replace'].error.expr")
    line("import and derive ridge-replace", derive, "")

    import collapse_theory as ct
    from collapse_theory.theorems.ridge import ridge_replace

    seconds, formula = median_seconds(ridge_replace)
    line("derive ridge-replace, warm", seconds, ", ".join(formula.parts))

    values = {"T": 600, "T0": 900, "n": 5, "sigma": 0.5, "sigma0": 0.3}
    lam = np.logspace(-4, 1, 1000)
    err = ct.catalog["ridge-replace"].error
    for d in (300, 10_000):
        start = time.perf_counter()
        predict = err.compile(spectrum=ct.PowerLaw(d, beta=1.5), target=ct.SourceTarget(r=0.5))
        T0 = max(900, 2 * d)
        predict(lam=0.1, **{**values, "T0": T0})
        line(f"compile ridge-replace, d={d}", time.perf_counter() - start, "")
        seconds, out = median_seconds(lambda: predict(lam=lam, **{**values, "T0": T0}))  # noqa: B023 - called at once
        line(
            f"ridge-replace at 1,000 ridges, d={d}", seconds, f"minimum {out.min():.12g} at lam={lam[out.argmin()]:.4g}"
        )
    for T in (600, 300, 100):
        spectrum = ct.PowerLaw(300, beta=1.5)
        seconds, kappa = median_seconds(lambda: ct.effective_ridge(spectrum, T=T, lam=lam))  # noqa: B023
        line(
            f"effective ridge at 1,000 ridges, d=300, T={T}",
            seconds,
            f"kappa in [{kappa.min():.6g}, {kappa.max():.6g}]",
        )

    chain = ct.catalog["ridge-chain"].error
    at = {"T": 300, "T0": 200, "lam": 0.01, "lam0": 0.05, "sigma": 0.3, "sigma0": 0.3, "n": 100}
    predict = chain.compile(spectrum=ct.PowerLaw(300, beta=1.5), target=ct.SourceTarget(r=0.5))
    seconds, value = median_seconds(lambda: predict(**at))
    line("ridge-chain of 100 over-parametrized generators, d=300", seconds, f"{value:.12g}")
    kw = {"spectrum": ct.PowerLaw(100, beta=1.5), "target": ct.SourceTarget(r=0.5), "lam": 0.03, **values}
    seconds, value = median_seconds(lambda: err.evaluate(digits=40, **kw), runs=3)
    line("ridge-replace to 40 digits, d=100", seconds, value)


if __name__ == "__main__":
    main()
