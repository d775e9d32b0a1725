"""What the numeric core costs, each time beside its value's error: against root finders, published algorithms and one pass.

    python benchmarks/numerics.py [--quick] [--figure PATH]

Times are processor times: what else the machine does is not counted. Errors are against digits of mpmath, at a few of the points.
The limit for anything that has to look at a spectrum is one pass over it that computes df1 and df2.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from scipy.optimize import bisect, brentq, newton

import collapse_theory as ct

BLOCK = 1 << 15


def seconds(f: Callable[[], Any], runs: int = 5) -> tuple[float, Any]:
    """Return the median processor time of a task, and its value."""
    times, value = [], None
    for _ in range(runs):
        start = time.process_time()
        value = f()
        times.append(time.process_time() - start)
    return statistics.median(times), value


def digits_of_kappa(s: np.ndarray, T: float, lam: float, start: float) -> mpmath.mpf:
    """Return the effective ridge to 40 digits, by Newton's iteration from a value near it."""
    with mpmath.workdps(40):
        k, eigenvalues = mpmath.mpf(float(start)), [mpmath.mpf(float(x)) for x in s]
        for _ in range(3):
            shares = [x / (x + k) for x in eigenvalues]
            f = k * (T - mpmath.fsum(shares)) - mpmath.mpf(float(T)) * mpmath.mpf(float(lam))
            k -= f / (T - mpmath.fsum(q * q for q in shares))
        return k


# ---------------------------------------------------------------- other ways
def equation(s: np.ndarray, T: float, lam: float) -> Callable[[float], float]:
    return lambda k: k * (1 - (s / (s + k)).sum() / T) - lam


def brentq_loop(s: np.ndarray, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return the effective ridges one by one, by Brent's method with SciPy's default tolerances in the obvious bracket."""
    return np.array([brentq(equation(s, t, x), x, x + s.sum() / t) for t, x in zip(T, lam, strict=True)])


def published_bisection(s: np.ndarray, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return them by bisection on [1e-15, 1e10] with SciPy's default tolerance, as published code does."""
    return np.array([bisect(equation(s, t, x), 1e-15, 1e10) for t, x in zip(T, lam, strict=True)])


def published_newton(s: np.ndarray, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return them by SciPy's scalar Newton with default tolerance from lam + tr/T, as published code does."""
    out = []
    for t, x in zip(T, lam, strict=True):
        start = x + s.sum() / t
        out.append(newton(equation(s, t, x), start, fprime=lambda k, t=t: 1 - ((s / (s + k)) ** 2).sum() / t))
    return np.array(out)


def vectorised_newton(s: np.ndarray, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return them by Newton's iteration on all eigenvalues, for blocks of points at once."""
    out = np.empty(T.size)
    step = max(1, (1 << 18) // s.size)
    for i in range(0, T.size, step):
        t, x = T[i : i + step], lam[i : i + step]
        k = x + s.sum() / t
        for _ in range(100):
            share = s / (s + k[:, None])
            df1, df2 = share.sum(axis=1), np.einsum("ij,ij->i", share, share)
            move = (k * (1 - df1 / t) - x) / (1 - df2 / t)
            k = k - move
            if np.all(np.abs(move) <= 1e-14 * k):
                break
        out[i : i + step] = k
    return out


def nested_bisections(s: np.ndarray, T: float, m: float, lam: float) -> float:
    """Return the inputs' ridge of a fit on random features by two nested bisections of 200 steps, as published code does."""

    def inner(nu: float) -> float:
        low, high = 0.0, nu + s.sum() / m
        for _ in range(200):
            k = (low + high) / 2
            low, high = (k, high) if k * (1 - (s / (s + k)).sum() / m) < nu else (low, k)
        return (low + high) / 2

    low, high = lam, lam + s.sum() / T
    for _ in range(200):
        nu = (low + high) / 2
        k = inner(nu)
        low, high = (nu, high) if nu * (1 - (s / (s + k)).sum() / T) < lam else (low, nu)
    return (low + high) / 2


def one_pass(s: np.ndarray, kappa: float) -> tuple[float, float]:
    """Return df1 and df2 in one pass over the eigenvalues, block by block."""
    df1 = df2 = 0.0
    for i in range(0, s.size, BLOCK):
        share = s[i : i + BLOCK]
        share = share / (share + kappa)
        df1, df2 = df1 + float(share.sum()), df2 + float(share @ share)
    return df1, df2


# ---------------------------------------------------------------- the table
class Table:
    """Lines of a table in Markdown, printed as they come."""

    def __init__(self) -> None:
        print("| work | by | time | value | relative error |\n|---|---|---|---|---|")

    def line(self, work: str, by: str, took: float, value: str, error: float | str) -> None:
        shown = f"{took:.3g} s" if took >= 1 else f"{1e3 * took:.3g} ms" if took >= 1e-3 else f"{1e6 * took:.3g} µs"
        print(
            f"| {work} | {by} | {shown} | {value} | {error if isinstance(error, str) else f'{error:.1e}'} |", flush=True
        )


def effective_ridges(table: Table) -> None:
    s = np.arange(1, 10_001) ** -1.5
    T, lam = (x.ravel() for x in np.meshgrid(np.geomspace(100, 1e5, 25), np.geomspace(1e-6, 1, 40)))
    work = "1,000 effective ridges, d = 10⁴"
    places = [3, 500, 777]

    def report(by: str, took: float, kappa: np.ndarray, scale: float = 1.0) -> None:
        errors = [float(abs(kappa[i] / (scale * reference[i]) - 1)) for i in places]
        table.line(work, by, took, f"κ₅₀₀ = {kappa[500]:.15g}", max(errors))

    ours = ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam)
    reference = {i: digits_of_kappa(s, T[i], lam[i], ours[i]) for i in places}
    base, kappa = seconds(lambda: brentq_loop(s, T, lam), 3)
    report("loop of `brentq`", base, kappa)
    for name, f in (
        ("vectorised Newton", vectorised_newton),
        ("published: bisection on [1e-15, 1e10]", published_bisection),
        ("published: SciPy's scalar Newton", published_newton),
    ):
        took, kappa = seconds(lambda f=f: f(s, T, lam), 1)
        report(name, took, kappa)
    tiny, kappa = seconds(lambda: published_bisection(1e-9 * s, T[:1], 1e-9 * lam[:1]), 1)
    with mpmath.workdps(40):
        want = 1e-9 * digits_of_kappa(s, T[0], lam[0], ours[0])
    table.line(
        "the same, spectrum and ridge times 1e-9",
        "published: bisection",
        tiny,
        f"{kappa[0]:.3g}",
        float(abs(kappa[0] / want - 1)),
    )
    cold, kappa = seconds(lambda: ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam))
    report(f"this package, cold ({base / cold:.0f} times `brentq`)", cold, kappa)
    spectrum = ct.Eigenvalues(s)
    ct.effective_ridge(spectrum, T=T, lam=lam)
    warm, kappa = seconds(lambda: ct.effective_ridge(spectrum, T=T, lam=lam), 25)
    report(f"this package, warm ({base / warm:.0f} times `brentq`)", warm, kappa)


VALUES = {"T0": 20_000, "n": 3, "sigma": 0.4, "sigma0": 0.2}


def phase_diagram(table: Table, side: int) -> None:
    err = ct.catalog["ridge-replace"].error
    measure = {"spectrum": ct.PowerLaw(10_000, beta=1.5), "target": ct.SourceTarget(r=0.5)}
    predict = err.compile(**measure)
    T, lam = np.geomspace(100, 1e5, side)[:, None], np.geomspace(1e-6, 1, side)
    predict(T=T[:2], lam=lam, **VALUES)
    took, value = seconds(lambda: predict(T=T, lam=lam, **VALUES), 3)
    i, j = side // 3, side // 2
    want = err.evaluate(digits=20, **measure, T=float(T[i, 0]), lam=float(lam[j]), **VALUES)
    table.line(
        f"`ridge-replace` at {side * side:,} points, d = 10⁴",
        "this package",
        took,
        f"{value[i, j]:.15g}",
        float(abs(value[i, j] / want - 1)),
    )


def on_jax(table: Table, side: int) -> None:
    """The same points and their gradient on arrays of JAX, compiled; nothing where JAX is not installed."""
    if find_spec("jax") is None:
        return
    import jax

    err = ct.catalog["ridge-replace"].error
    measure = {"spectrum": ct.PowerLaw(10_000, beta=1.5), "target": ct.SourceTarget(r=0.5)}
    predict = err.compile(**measure, backend="jax")
    T, lam = (x.ravel() for x in np.meshgrid(np.geomspace(100, 1e5, side), np.geomspace(1e-6, 1, side), indexing="ij"))
    i = T.size // 3 + side // 2
    at = {"T": float(T[i]), "lam": float(lam[i]), **VALUES}
    work = f"`ridge-replace` at {T.size:,} points, d = 10⁴"
    with jax.enable_x64(True):  # noqa: FBT003
        value = jax.jit(lambda T, lam: predict(T=T, lam=lam, **VALUES))
        slope = jax.jit(jax.grad(lambda T, lam: predict(T=T, lam=lam, **VALUES).sum(), (0, 1)))
        for by, f, formula in (("JAX", value, err), ("JAX, gradient by T and lam", slope, err.diff("lam"))):
            jax.block_until_ready(f(T, lam))
            took, found = seconds(lambda f=f: jax.block_until_ready(f(T, lam)), 3)
            got = float((found if formula is err else found[1])[i])
            want = formula.evaluate(digits=20, **measure, **at)
            table.line(work, f"this package, {by}", took, f"{got:.15g}", float(abs(got / want - 1)))


def one_point(table: Table) -> None:
    err = ct.catalog["ridge-replace"].error
    measure = {"spectrum": ct.PowerLaw(300, beta=1.5), "target": ct.SourceTarget(r=0.5)}
    predict, at = err.compile(**measure), {"T": 600, "T0": 900, "n": 5, "sigma": 0.5, "sigma0": 0.5, "lam": 0.01}
    predict(**at)
    took, _ = seconds(lambda: [predict(**at) for _ in range(1000)])
    want = err.evaluate(digits=20, **measure, **at)
    table.line(
        "`ridge-replace` at one point, d = 300",
        "this package, compiled",
        took / 1000,
        f"{predict(**at):.15g}",
        float(abs(predict(**at) / want - 1)),
    )


def random_features(table: Table) -> None:
    s = np.arange(1, 10_001) ** -1.5
    err = ct.catalog["random-features-ridge"].error
    measure = {"spectrum": ct.PowerLaw(10_000, beta=1.5), "target": ct.SourceTarget(r=0.5)}
    predict = err.compile(**measure)
    m, lam = np.round(np.linspace(50, 1500, 110))[:, None], np.geomspace(1e-6, 1, 31)
    predict(T=800, m=m, lam=lam, sigma=0.3)
    took, value = seconds(lambda: predict(T=800, m=m, lam=lam, sigma=0.3), 15)
    want = err.evaluate(digits=20, **measure, T=800, m=int(m[50, 0]), lam=float(lam[15]), sigma=0.3)
    table.line(
        "random features, 110 × 31 points, d = 10⁴",
        "this package",
        took,
        f"{value[50, 15]:.15g}",
        float(abs(value[50, 15] / want - 1)),
    )
    few = s[:300]
    took, nu = seconds(lambda: nested_bisections(few, 800.0, float(m[50, 0]), float(lam[15])), 1)
    exact = _feature_ridge(few, 800.0, float(m[50, 0]), float(lam[15]))
    table.line(
        "their ridge at one point, d = 300",
        "published: nested bisections",
        took,
        f"{nu:.15g}",
        float(abs(nu / exact - 1)),
    )


def _feature_ridge(s: np.ndarray, T: float, m: float, lam: float) -> float:
    from collapse_theory.numerics.feature_ridge import exact_features
    from collapse_theory.numerics.measure import Measure

    context = mpmath.mp.clone()
    context.dps = 30
    measure = Measure.exact(ct.Eigenvalues(s), None, context)
    return float(exact_features(context, measure, T, m, lam)[0])


def scaling(table: Table, decades: list[int]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Return sizes, and the times of a cold evaluation, of a warm one and of one pass."""
    from collapse_theory.numerics.measure import Measure

    err = ct.catalog["ridge-replace"].error
    cold, warm, limit = [], [], []
    for d in decades:
        s = np.arange(1, d + 1) ** -1.5
        at = {"T": 0.2 * d, "T0": 3 * d, "n": 5, "sigma": 0.5, "sigma0": 0.5, "lam": 1e-7}
        runs = 5 if d < 10**7 else 3
        limit.append(seconds(lambda s=s: one_pass(s, 1e-6), runs)[0])
        fresh = [(ct.Eigenvalues(s), ct.Energies(s)) for _ in range(runs)]
        each = iter(fresh)

        def evaluate(at: dict[str, float] = at, each: Any = each) -> float:
            spectrum, target = next(each)
            return float(err.evaluate(spectrum=spectrum, target=target, **at))

        took, value = seconds(evaluate, runs)
        cold.append(took)
        table.line(
            f"cold `ridge-replace`, d = {d:,}",
            f"this package ({took / limit[-1]:.1f} passes)",
            took,
            f"{value:.15g}",
            "",
        )
        spectrum, target = fresh[0]
        predict = err.compile(spectrum=spectrum, target=target)
        warm.append(seconds(lambda at=at, predict=predict: predict(**at))[0])
        again = iter([Measure({"Sigma": s}, np.broadcast_to(np.int64(1), d), s) for _ in range(runs)])
        took, few = seconds(lambda again=again: next(again).compressed, runs)
        table.line(
            f"compress counts and energies, d = {d:,}",
            f"this package ({took / limit[-1]:.1f} passes)",
            took,
            f"{few.size} nodes",
            "",
        )
    for name, times in (("cold", cold), ("one pass", limit)):
        slope = np.polyfit(np.log(decades[-3:]), np.log(times[-3:]), 1)[0]
        print(f"\n{name}: time ~ d^{slope:.2f} over the last three sizes")
    return decades, cold, warm, limit


def cost_of_points() -> tuple[list[int], list[float]]:
    predict = ct.catalog["ridge-replace"].error.compile(
        spectrum=ct.PowerLaw(10_000, beta=1.5), target=ct.SourceTarget(r=0.5)
    )
    rng, sizes, times = np.random.default_rng(0), [10, 100, 1000, 10_000, 100_000], []
    for n in sizes:
        T, lam = 10 ** rng.uniform(2, 5, n), 10 ** rng.uniform(-6, 0, n)
        predict(T=T, lam=lam, **VALUES)
        times.append(seconds(lambda T=T, lam=lam: predict(T=T, lam=lam, **VALUES))[0])
    print(f"points: time ~ n^{np.polyfit(np.log(sizes[-2:]), np.log(times[-2:]), 1)[0]:.2f} over the last two sizes")
    return sizes, times


def draw(path: Path, by_size: tuple[list[int], ...], by_points: tuple[list[int], list[float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes, cold, warm, limit = by_size
    for times, label in ((cold, "cold evaluation"), (limit, "one pass: df1 and df2"), (warm, "warm evaluation")):
        left.loglog(sizes, times, "o-", label=label)
    left.set(xlabel="d", ylabel="seconds", title="one point of ridge-replace")
    right.loglog(*by_points, "o-", label="ridge-replace, d = 10⁴")
    right.set(xlabel="points", ylabel="seconds", title="many points")
    for axes in (left, right):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller spectra and batches")
    parser.add_argument("--figure", type=Path, help="where to draw the cost against d and points")
    options = parser.parse_args()
    table = Table()
    effective_ridges(table)
    phase_diagram(table, 300 if options.quick else 1000)
    on_jax(table, 300 if options.quick else 1000)
    one_point(table)
    random_features(table)
    by_size = scaling(table, [10**k for k in range(3, 6 if options.quick else 8)])
    by_points = cost_of_points()
    if options.figure is not None:
        draw(options.figure, by_size, by_points)


if __name__ == "__main__":
    main()
