"""Calibrate ``ct.diagnose``: the verdict on each data set beside the measured gap between real rows and Gaussian theory.

``python benchmarks/diagnose.py --write`` writes the table of docs/diagnose.md (some minutes on two cores). Every data set
and every simulation is seeded.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import collapse_theory as ct

N, P = 1500, 60
Data = tuple[np.ndarray, np.ndarray | None]


def _normal(seed: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(seed.encode())).standard_normal(shape)


def _elliptic(name: str, tau: Callable[[np.random.Generator], np.ndarray]) -> Data:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    scale = tau(rng)
    return np.sqrt(scale / scale.mean())[:, None] * rng.standard_normal((N, P)) * np.arange(1, P + 1) ** -0.5, None


def power_law() -> Data:
    return _normal("power law", N, P) * np.arange(1, P + 1) ** -0.5, None


def isotropic() -> Data:
    return _normal("isotropic", N, P), None


def rademacher() -> Data:
    return np.sign(_normal("rademacher", N, P)), None


def uniform() -> Data:
    return np.random.default_rng(1).uniform(-1, 1, (N, P)) * np.arange(1, P + 1) ** -0.5, None


def t_rows() -> Data:
    return _elliptic("t", lambda rng: 1 / rng.chisquare(10, N))


def lognormal_rows() -> Data:
    return _elliptic("lognormal", lambda rng: np.exp(rng.standard_normal(N)))


def two_scales() -> Data:
    return _elliptic("two scales", lambda rng: rng.choice([0.1, 1.9], N))


def slightly_spread() -> Data:
    return _elliptic("slight", lambda rng: rng.uniform(0.7, 1.3, N))


def pair_products() -> Data:
    g = _normal("pairs", N, 12)
    i, j = np.triu_indices(12, 1)
    return (g[:, i] * g[:, j])[:, :P], None


def lognormal_entries() -> Data:
    return np.exp(_normal("entries", N, P)), None


def near_duplicates() -> Data:
    centres = _normal("centres", N // 15, P)
    return np.repeat(centres, 15, axis=0) + 0.1 * _normal("jitter", N // 15 * 15, P), None


def twins() -> Data:
    return np.repeat(_normal("twins", N // 2, P), 2, axis=0), None


def clusters() -> Data:
    rng = np.random.default_rng(2)
    return 3 * _normal("ten centres", 10, P)[rng.integers(10, size=N)] + _normal("within", N, P), None


def one_hot() -> Data:
    return np.eye(P)[np.random.default_rng(3).integers(P, size=N)], None


def zipf_words() -> Data:
    p = np.arange(1, P + 1) ** -1.0
    return np.random.default_rng(4).poisson(6 * p / p.sum(), (N, P)).astype(float), None


def sparse() -> Data:
    return (np.random.default_rng(5).random((N, P)) < 0.05).astype(float), None


def relu_features() -> Data:
    return np.maximum(_normal("inputs", N, 20) @ _normal("weights", 20, P), 0) / np.sqrt(20), None


def fourier_features() -> Data:
    rng = np.random.default_rng(6)
    return np.cos(_normal("points", N, 5) @ _normal("frequencies", 5, P) + rng.uniform(0, 2 * np.pi, P)), None


def kernel_features(width: float) -> Data:
    x = _normal("kernel", 300, 8)
    K = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * width**2))
    s, U = np.linalg.eigh(K)
    return U * np.sqrt(s.clip(0)), None


def bundled(name: str, *, standardised: bool) -> Data:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    y = np.asarray(data.target, float)
    X = np.asarray(data.data, float)
    return (X - X.mean(0)) / (X.std(0) + (X.std(0) == 0)) if standardised else X, y if y.ndim == 1 else y[:, 0]


def digits() -> Data:
    X, y = bundled("digits", standardised=False)
    return X / 4, y


DATA: dict[str, Callable[[], Data]] = {
    "Gaussian, isotropic": isotropic,
    "Gaussian, power law": power_law,
    "Rademacher": rademacher,
    "uniform": uniform,
    "rows of little spread": slightly_spread,
    "t rows, 10 degrees": t_rows,
    "lognormal rows": lognormal_rows,
    "two-scale rows": two_scales,
    "pair products": pair_products,
    "lognormal entries": lognormal_entries,
    "near-duplicates": near_duplicates,
    "twins": twins,
    "ten clusters": clusters,
    "one-hot": one_hot,
    "word counts": zipf_words,
    "sparse bits": sparse,
    "ReLU features": relu_features,
    "Fourier features": fourier_features,
    "RBF kernel, narrow": lambda: kernel_features(0.7),
    "RBF kernel, wide": lambda: kernel_features(6.0),
    "breast_cancer": lambda: bundled("breast_cancer", standardised=False),
    "breast_cancer, standardised": lambda: bundled("breast_cancer", standardised=True),
    "digits": digits,
    "iris": lambda: bundled("iris", standardised=False),
    "wine": lambda: bundled("wine", standardised=False),
    "wine, standardised": lambda: bundled("wine", standardised=True),
    "diabetes": lambda: bundled("diabetes", standardised=False),
    "linnerud": lambda: bundled("linnerud", standardised=False),
}

# (rows over rank, ridge over the mean eigenvalue): least squares with many and with few rows, ridges from large to tiny.
SETTINGS = ((5.0, 0.0), (1.5, 0.0), (8.0, 0.05), (2.0, 0.1), (2.0, 0.005), (0.5, 0.1), (1.0, 1.0))
BEGIN, END = "<!-- begin table -->", "<!-- end table -->"
PAGE = Path(__file__).parents[1] / "docs" / "diagnose.md"


@dataclass(frozen=True)
class Row:
    """One data set at one setting: what ``diagnose`` says, and the measured gaps of two kinds of labels."""

    name: str
    shape: tuple[int, int]
    T: int
    lam: float
    found: ct.Diagnosis
    measured: tuple[float, float]
    error: tuple[float, float]
    corrected: tuple[float, float]

    @property
    def gap(self) -> float:
        return max(abs(g) for g in self.measured)


def problems(name: str) -> Iterator[tuple[np.ndarray, np.ndarray, int, float]]:
    """Yield inputs, labels, rows and ridge of every setting of a data set."""
    X, y = DATA[name]()
    if y is None:
        y = X @ _normal("target", X.shape[1])
    spectrum, _ = ct.from_data(X, y)
    mean = float(spectrum.eigenvalues.sum()) / spectrum.rank
    for rows, ridge in SETTINGS:
        # Least squares has no finite mean error at d + 1 rows: keep away from it.
        T = max(round(rows * spectrum.rank), 4 if ridge else spectrum.rank + 4)
        yield X, y, T, float(f"{ridge * mean:.3g}")


def measure(name: str) -> list[Row]:
    """Return the rows of a data set: labels of pure noise, and labels of the target with a tenth of its deviation of noise."""
    out = []
    for X, y, T, lam in problems(name):
        spectrum, target = ct.from_data(X, y)
        signal = float(np.sqrt(spectrum.eigenvalues @ target.energies(spectrum)))
        found = ct.diagnose(X, T=T, lam=lam)
        gaps, errors, corrected = [], [], []
        for labels, energies, noise in ((0 * y, ct.RandomTarget(norm2=0), 1.0), (y, target, 0.1 * signal)):
            pipe = ct.Pipeline()
            pipe.fit(pipe.sample(T=T, noise=noise), ridge=lam)
            theory = ct.test_error(pipe).evaluate(spectrum=spectrum, target=energies)
            accuracy, most = (0.012, 4000) if found.verdict == "trust" else (0.03, 500)
            sim = ct.simulate(pipe, inputs=X, targets=labels, trials=60, seed=0)
            trials = min(most, int(60 * (sim.sem / (accuracy * sim.mean)) ** 2))
            if trials > 60:
                sim = ct.simulate(pipe, inputs=X, targets=labels, trials=trials, seed=0)
            gaps.append(sim.mean / theory - 1)
            errors.append(sim.sem / theory)
            p = found.predict(energies, noise=noise)
            corrected.append(p.resampled / p.gaussian - 1)
        shape = (len(X), spectrum.rank)
        out.append(Row(name, shape, T, lam, found, tuple(gaps), tuple(errors), tuple(corrected)))
    return out


def table(rows: list[Row]) -> str:
    """Return the rows in Markdown."""
    lines = [
        "| data set (N × rank) | T | ridge | verdict | largest score | noise, % | corrected | signal, % | corrected |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        pairs = " | ".join(
            f"{_percent(g)} ± {100 * e:.1f} | {_percent(c)}"
            for g, e, c in zip(r.measured, r.error, r.corrected, strict=True)
        )
        name = r.found.worst_score
        head = f"{r.name} ({r.shape[0]} × {r.shape[1]})"
        lines.append(
            f"| {head} | {r.T} | {r.lam:g} | {r.found.verdict} | {name} {r.found.scores[name]:.2g} | {pairs} |"
        )
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """Return how often each verdict is given for small, middle and large gaps."""
    lines = ["| measured gap | trust | caution | distrust |", "|---|---|---|---|"]
    for label, low, high in (("below 3 %", 0, 0.03), ("3 to 10 %", 0.03, 0.1), ("beyond 10 %", 0.1, np.inf)):
        inside = [r.found.verdict for r in rows if low <= r.gap < high]
        lines.append(
            f"| {label} | " + " | ".join(str(inside.count(v)) for v in ("trust", "caution", "distrust")) + " |"
        )
    return "\n".join(lines)


def _percent(x: float) -> str:
    return f"{100 * x:+.1f}" if abs(x) < 10 else f"{100 * x:+.2g}"


def main() -> None:
    """Print the table; ``--write`` puts it into docs/diagnose.md. Names of data sets restrict it."""
    names = [a for a in sys.argv[1:] if not a.startswith("--")] or list(DATA)
    rows = [row for name in names for row in measure(name)]
    text = f"{BEGIN}\n\n{summary(rows)}\n\n{table(rows)}\n\n{END}"
    print(text)
    if "--write" in sys.argv:
        page = PAGE.read_text(encoding="utf-8")
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(head + text + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
