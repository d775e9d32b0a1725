"""The risk of ``CollapseAwareRidge`` against RidgeCV on the mixture, RidgeCV on the real rows, and leave-one-out on these.

Each line is one setting: real and synthetic rows, the labeller's kind and rows, the law of the inputs. The risk is the excess
risk of the truth (simulated) or the mean squared distance to the least-squares fit on all rows (real data), a mean over
repetitions, in units of RidgeCV on the mixture; standard errors are those of the ratio. "leave-one-out" chooses one weight
of the synthetic rows and a ridge by the error on real rows left out.

``python benchmarks/collapse_aware_ridge.py [REPEATS]``
"""

import sys
import time

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, RidgeCV

from collapse_theory.sklearn import CollapseAwareRidge

RIDGES = np.geomspace(1e-3, 1e3, 25)
WEIGHTS = (0.0, *np.geomspace(1e-3, 1, 10))
NAMES = ("real rows", "leave-one-out", "ours", "ours, real rows")


def leave_one_out(X, y, generation):
    """Return coefficients and intercept of the weight and ridge with the least error on real rows left out."""
    best, real = (np.inf,), generation == 0
    for weight in WEIGHTS:
        a = np.where(real, 1.0, weight)
        centre, level = a @ X / a.sum(), a @ y / a.sum()
        root = np.sqrt(a)
        U, S, Vt = np.linalg.svd((X - centre) * root[:, None], full_matrices=False)
        z = root * (y - level)
        along = U.T @ z
        keep = S**2 / (S**2 + RIDGES[:, None])
        leverage = keep @ (U[real] ** 2).T + 1 / a.sum()
        errors = np.mean(((z[real] - (keep * along) @ U[real].T) / (1 - leverage)) ** 2, axis=1)
        k = int(errors.argmin())
        if errors[k] < best[0]:
            w = Vt.T @ (S / (S**2 + RIDGES[k]) * along)
            best = (errors[k], w, level - centre @ w)
    return best[1:]


def fits(X, y, generation):
    """Return coefficients and intercepts of RidgeCV on the mixture and of those it is compared with, in the order of NAMES."""
    real = generation == 0
    models = [
        RidgeCV(RIDGES).fit(X, y),
        RidgeCV(RIDGES).fit(X[real], y[real]),
        None,
        CollapseAwareRidge().fit(X, y, generation),
        CollapseAwareRidge().fit(X[real], y[real]),
    ]
    return [leave_one_out(X, y, generation) if m is None else (m.coef_, m.intercept_) for m in models]


def labelled(rng, X, labeller, noise):
    return labeller.predict(X) + noise * rng.standard_normal(len(X))


def simulated(rng, *, kind, power, rows, noise, d=40, real=60, synthetic=400):
    """Return the excess risks of one repetition on Gaussian inputs with eigenvalues j**-power; the signal has variance one."""
    s = np.arange(1, d + 1.0) ** -power
    w = rng.standard_normal(d)
    w /= np.sqrt(s @ w**2)
    X, seen, fresh = (rng.standard_normal((n, d)) * np.sqrt(s) for n in (real, rows, synthetic))
    y = X @ w + noise * rng.standard_normal(real)
    taught = (X, y) if kind == "the same rows" else (seen, seen @ w + noise * rng.standard_normal(rows))
    labeller = (LinearRegression() if kind == "least squares" else RidgeCV(RIDGES)).fit(*taught)
    mixed = np.vstack([X, fresh]), np.r_[y, labelled(rng, fresh, labeller, noise)], np.repeat([0, 1], [real, synthetic])
    return [s @ (b - w) ** 2 + c**2 for b, c in fits(*mixed)]


def from_rows(rng, X, y, *, kind, rows, real=60, synthetic=400):
    """Return the mean squared distances, in one repetition on parts of a data set, to the least-squares fit on all of it."""
    order = rng.permutation(len(X))
    own, seen, rest = np.split(order, [real, real + rows])
    fresh = rng.choice(rest, synthetic)
    labeller = (LinearRegression() if kind == "least squares" else RidgeCV(RIDGES)).fit(X[seen], y[seen])
    noise = np.std(y[seen] - RidgeCV(RIDGES).fit(X[seen], y[seen]).predict(X[seen]))
    mixed = np.vstack([X[own], X[fresh]]), np.r_[y[own], labelled(rng, X[fresh], labeller, noise)]
    best = LinearRegression().fit(X, y).predict(X)
    return [np.mean((X @ b + c - best) ** 2) for b, c in fits(*mixed, np.repeat([0, 1], [real, synthetic]))]


def main(repeats):
    X, y = load_diabetes(return_X_y=True)
    pixels, digit = load_digits(return_X_y=True)
    diabetes, digits = (X / X.std(axis=0), y / y.std()), (pixels / 4, digit / digit.std())
    settings = {
        "least squares, 100 rows, isotropic": (simulated, {"kind": "least squares", "rows": 100, "power": 0, "noise": 0.5}),
        "least squares, 60 rows, power law": (simulated, {"kind": "least squares", "rows": 60, "power": 1, "noise": 1.0}),
        "ridge, 60 rows, isotropic": (simulated, {"kind": "ridge", "rows": 60, "power": 0, "noise": 1.0}),
        "ridge, 60 rows, power law": (simulated, {"kind": "ridge", "rows": 60, "power": 1, "noise": 0.5}),
        "ridge, 200 rows, isotropic": (simulated, {"kind": "ridge", "rows": 200, "power": 0, "noise": 1.0}),
        "ridge on the same 60 real rows": (simulated, {"kind": "the same rows", "rows": 60, "power": 0, "noise": 1.0}),
        "diabetes, OLS, 60 rows": (lambda rng, **o: from_rows(rng, *diabetes, **o), {"kind": "least squares", "rows": 60}),
        "digits, ridge, 60 rows": (lambda rng, **o: from_rows(rng, *digits, **o), {"kind": "ridge", "rows": 60}),
    }  # fmt: skip
    print(f"risk in units of RidgeCV on the mixture, {repeats} repetitions")
    print(f"{'setting':36s}" + "".join(f"{name:>20s}" for name in NAMES))
    for name, (trial, options) in settings.items():
        start = time.perf_counter()
        risks = np.array([trial(np.random.default_rng([5, i]), **options) for i in range(repeats)])
        mean = risks.mean(axis=0)
        ratio = mean[1:] / mean[0]
        sem = np.std(risks[:, 1:] - ratio * risks[:, :1], axis=0) / np.sqrt(repeats) / mean[0]
        cells = "".join(f"{f'{r:.3f} ± {e:.3f}':>20s}" for r, e in zip(ratio, sem, strict=True))
        print(f"{name:36s}{cells}   {time.perf_counter() - start:5.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
