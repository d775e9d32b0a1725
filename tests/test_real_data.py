"""Simulations on real inputs and kernels, against the definition row by row."""

import math

import numpy as np
import pytest

import collapse_theory as ct
from tests.helpers import THREE_ROWS, three_rounds
from tests.naive import streams


def digits(rows=300):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X[:rows] / 4, (y[:rows] - 4.5) / 3


def naive_real(pipe, X, y, trials, *, kernel=False):
    """Rows drawn with replacement and kept apart, the definition in the data's own coordinates or by the kernel."""
    if not kernel:
        X = X - X.mean(axis=0)
        y = X @ np.linalg.pinv(X) @ (y - y.mean())
    out = []
    for rng in streams(trials):
        f = y
        for s, fit in zip(pipe.samples, pipe.fits, strict=True):
            T, ridge = int(s.T), float(fit.ridge or 0)
            rows = rng.integers(len(X), size=T)
            labels = f[rows] + float(s.noise) * rng.standard_normal(T)
            if kernel:
                f = X[:, rows] @ np.linalg.solve(X[np.ix_(rows, rows)] + T * ridge * np.eye(T), labels)
            else:
                tall = np.vstack([X[rows], math.sqrt(T * ridge) * np.eye(X.shape[1])])
                f = X @ np.linalg.lstsq(tall, np.concatenate([labels, np.zeros(X.shape[1])]), rcond=1e-12)[0]
        out.append(np.mean((f - y) ** 2))
    return np.array(out)


@pytest.mark.parametrize("ridge", [0.02, None])
@pytest.mark.parametrize("T", [40, 150, 800])
def test_real_inputs_against_the_definition(ridge, T):
    """Trial by trial on the same rows; pixels that are dark in every drawn image leave least squares deficient."""
    X, y = digits()

    def pipeline(noise):
        return ct.workflows.replace(1, ct.Stage(T=T, noise=0.5, ridge=0.1), ct.Stage(T=T, noise=noise, ridge=ridge))

    want = naive_real(pipeline(0.5), X, y, 8)
    np.testing.assert_allclose(ct.simulate(pipeline(0.5), inputs=X, targets=y, trials=8).errors, want, rtol=1e-7)
    mutant = ct.simulate(pipeline(0.501), inputs=X, targets=y, trials=8)
    assert not np.allclose(mutant.errors, want, rtol=1e-6)


def test_kernel_ridge_regression_against_the_definition():
    X, y = digits(120)
    K = np.exp(-0.02 * ((X[:, None] - X) ** 2).sum(axis=-1))
    pipe = ct.workflows.replace(2, ct.Stage(T=80, noise=0.3, ridge=1e-3), ct.Stage(T=150, noise=0.1, ridge=1e-2))
    want = naive_real(pipe, K, y, 8, kernel=True)
    np.testing.assert_allclose(ct.simulate(pipe, kernel=K, targets=y, trials=8).errors, want, rtol=1e-9)
    assert not np.allclose(naive_real(pipe, 1.001 * K, y, 8, kernel=True), want, rtol=1e-6)


def test_linear_kernel_is_linear_regression():
    """With K = X X^T, centred columns and a target in their span, both are the same problem draw by draw."""
    X, y = digits()
    Xc = X - X.mean(axis=0)
    y = Xc @ np.linalg.pinv(Xc) @ (y - y.mean())
    pipe = ct.workflows.accumulate(2, ct.Stage(T=50, noise=0.3, ridge=0.05))
    a = ct.simulate(pipe, inputs=X, targets=y, trials=5)
    b = ct.simulate(pipe, kernel=Xc @ Xc.T, targets=y, trials=5)
    np.testing.assert_allclose(b.errors, a.errors, rtol=1e-8)


def test_ridgeless_kernel_interpolates():
    """Without a ridge and noise, an error is left only at the points that were not drawn."""
    X, y = digits(60)
    K = np.exp(-0.05 * ((X[:, None] - X) ** 2).sum(axis=-1))
    sim = ct.simulate(ct.workflows.replace(0, downstream=ct.Stage(T=2000)), kernel=K, targets=y, trials=2)
    assert sim.errors.max() < 1e-16


X3, Y3 = THREE_ROWS.values()


REAL = [
    ({"inputs": np.where(X3 == 4, np.nan, X3)}, r"finite, got nan at \[1, 0\]"),
    ({"inputs": X3[:2]}, "one value per row of inputs"),
    ({"inputs": Y3}, "two-dimensional"),
    ({"inputs": np.ones((3, 2))}, "column that varies"),
    ({"inputs": X3, "targets": None}, "needs targets="),
    ({"inputs": X3, "targets": [1.0, math.inf, 0.0]}, "targets needs every value finite"),
    ({"kernel": X3}, "square"),
    ({"kernel": np.array([[1.0, 2, 0], [0, 1, 0], [0, 0, 1]])}, "symmetric"),
    ({"kernel": -np.eye(3)}, "positive semi-definite"),
    ({"kernel": np.eye(3), "inputs": X3}, "got inputs and kernel"),
]


@pytest.mark.parametrize(("change", "text"), REAL, ids=[text for _, text in REAL])
def test_bad_real_data(change, text):
    with pytest.raises(ct.DomainError, match=text):
        ct.simulate(three_rounds(), **{"targets": Y3, **change})
