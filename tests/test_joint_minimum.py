"""Several arguments at once, and pipelines of one's own, against independent minimisations of independent formulas."""

import numpy as np
import pytest
from scipy.optimize import minimize

import collapse_theory as ct
from collapse_theory import symbols as S
from collapse_theory.numerics.joint_minimum import minimise_jointly
from collapse_theory.numerics.minimise import Curves, Interval

ISO = {"spectrum": ct.Isotropic(30), "target": ct.RandomTarget(norm2=1.0)}
LAW = {"spectrum": ct.PowerLaw(30, beta=1.2), "target": ct.SourceTarget(r=0.4)}


class Bowl:
    """A quadratic form around a point, on half-lines or unit intervals."""

    def __init__(self, point, matrix, *, bounded):
        self.point, self.matrix = np.array(point, dtype=float), np.array(matrix, dtype=float)
        self.bounded, self.size, self.count = bounded, 1, len(point)

    def error_at(self, x):
        y = x - self.point[:, None]
        return np.einsum("ip,ij,jp->p", y, self.matrix, y) / 2

    def gradient(self, x, *, rough):
        del rough
        return self.matrix @ (x - self.point[:, None])

    def interval(self, k, x):
        del k, x
        high = np.full(1, 1.0 if self.bounded else np.inf)
        return Interval(np.zeros(1), high, np.ones(1, bool), np.isfinite(high), np.ones(1))

    def along(self, k, x):
        def whole(y):
            out = np.repeat(x, y.size, axis=1)
            out[k] = y
            return out

        curves = Curves(
            lambda y, _: self.error_at(whole(y)), lambda y, _, *, rough: self.gradient(whole(y), rough=rough)[k], 1
        )
        return curves, self.interval(k, x)


@pytest.mark.parametrize("coupling", [0.0, 0.9, 0.9999, -0.9999])
def test_a_narrow_valley_is_followed_to_its_end(coupling):
    found = minimise_jointly(Bowl([0.3, 0.02], [[1.0, coupling * 5], [coupling * 5, 25.0]], bounded=False))
    assert found.value[:, 0] == pytest.approx([0.3, 0.02], rel=1e-8)
    assert (found.end == 0).all()


def test_a_minimum_at_an_end_where_the_slope_vanishes():
    found = minimise_jointly(Bowl([0.3, 1.0], [[1.0, 0.5], [0.5, 1.0]], bounded=True))
    assert found.value[:, 0] == pytest.approx([0.3, 1.0], rel=1e-8)


def test_a_minimum_outside_the_range_is_at_the_end():
    found = minimise_jointly(Bowl([0.5, 2.0], [[1.0, 0.5], [0.5, 1.0]], bounded=True))
    assert found.value[:, 0] == pytest.approx([1.0, 1.0]) or found.value[1, 0] == 1.0
    x = np.linspace(0, 1, 201)
    y = np.stack([a.ravel() for a in np.meshgrid(x, x)]) - np.array([[0.5], [2.0]])
    errors = (y[0] ** 2 + y[0] * y[1] + y[1] ** 2) / 2
    assert found.error[0] <= errors.min() + 1e-12


# ------------------------------------------------------------------ a schedule of ridges
def operator_error(s, w2, T, lams, sigmas):
    """The test error of a chain, from the generation operator written down in NumPy; its effective ridges by bisection."""
    M, u, noise = s.copy(), s.copy(), 0.0
    for rows, lam, sigma in zip(T[::-1], lams[::-1], sigmas[::-1], strict=True):
        low, high = lam, lam + s.sum() / rows
        for _ in range(60):
            k = (low + high) / 2
            low, high = (k, high) if k - lam - k * (s / (s + k)).sum() / rows < 0 else (low, k)
        h, left = s / (s + k) ** 2, rows - ((s / (s + k)) ** 2).sum()
        trace = (M * h).sum()
        noise += sigma**2 * trace / left
        M, u = (s / (s + k)) ** 2 * M + k**2 * trace / left * h, s / (s + k) * u
    return (w2 * (s - 2 * u + M)).sum() + noise


@pytest.mark.heavy
def test_a_schedule_of_ridges_against_scipy_on_the_operator():
    d, T, T0 = 15, 30, [20, 12, 40]
    s, w2 = np.arange(1, d + 1.0) ** -1.1, np.full(d, 1 / d)
    names = ["lam_1", "lam_2", "lam_3", "lam"]
    err = ct.catalog["ridge-chain"].at(3, lam0=[S.indexed(S.lam, i) for i in (1, 2, 3)], T0=T0)
    rest = {"T": T, "sigma": 0.4, "sigma0": 0.6}
    about = {"spectrum": ct.Eigenvalues(s), "target": ct.Energies(w2)}
    best = err.optimum(names, **about, **rest)

    def naive(t):
        return operator_error(s, w2, [*T0, T], np.exp(t), [0.6, 0.6, 0.6, 0.4])

    values = [best.value[x] for x in names]
    assert best.error == pytest.approx(naive(np.log(values)), rel=1e-10)
    options = {"xatol": 1e-7, "fatol": 1e-15, "maxiter": 2000}
    found = minimize(naive, np.full(4, -1.5), method="Nelder-Mead", options=options)
    assert best.error <= found.fun * (1 + 1e-12)
    assert values == pytest.approx(np.exp(found.x), rel=1e-4)
    assert max(abs(err.diff(x).evaluate(**about, **rest, **best.value)) for x in names) < 1e-10
    # the check can fail: one ridge for all generators is worse
    same = ct.catalog["ridge-chain"].at(3, T0=T0).optimum(["lam", "lam0"], **about, **rest)
    assert same.error > best.error * (1 + 1e-4)


# ------------------------------------------------------------------ pipelines of one's own
def accumulate():
    return ct.workflows.accumulate(2, ct.Stage(T=50, noise=0.4, ridge=S.lam))


def keep_real():
    return ct.workflows.keep_real(1, ct.Stage(T=50, noise=0.4, ridge=S.lam0), ct.Stage(T=70, noise=0.4, ridge=S.lam))


def fresh_real():
    return ct.workflows.fresh_real(
        1, ct.Stage(T=50, noise=0.4, ridge=S.lam0), ct.Stage(T=70, noise=0.4, ridge=S.lam), weight=S.w
    )


def label_mix():
    return ct.workflows.label_mix(2, ct.Stage(T=50, noise=0.4, ridge=S.lam), weight=S.w)


def chain():
    return ct.workflows.replace(2, ct.Stage(T=25, noise=0.4, ridge=S.lam0), ct.Stage(T=60, noise=0.4, ridge=S.lam))


def relabelled():
    pipe = ct.Pipeline()
    real = pipe.sample(T=50, noise=0.4)
    again = pipe.sample(design=real, noise=0.3, source=pipe.fit(real, ridge=S.lam0))
    pipe.fit(again, ridge=S.lam)
    return pipe


def weighted():
    pipe = ct.Pipeline()
    real = pipe.sample(T=40, noise=0.8)
    fake = pipe.sample(T=90, noise=0.1, source=pipe.fit(pipe.sample(T=60, noise=0.5), ridge=0.05))
    pipe.fit([real, fake], weights=[S.w, 1 - S.w], ridge=S.lam)
    return pipe


def two_covariances():
    pipe = ct.Pipeline()
    real = pipe.sample(T=50, noise=0.4)
    fake = pipe.sample(T=60, noise=0.4, covariance="Other", source=pipe.fit(real, ridge=S.lam0))
    pipe.fit([real, fake], ridge=S.lam)
    return pipe


def subset_last():
    return ct.workflows.last_k(3, ct.Stage(T=40, noise=0.4, ridge=S.lam), 2)


def distilled():
    pipe = ct.Pipeline()
    real = pipe.sample(T=50, noise=0.4)
    teacher = pipe.fit(real, ridge=S.lam0)
    pipe.fit(pipe.sample(T=50, noise=0.2, source=0.5 * ct.TRUTH + 0.5 * teacher), ridge=S.lam)
    return pipe


HEAVY = pytest.mark.heavy
OWN = [
    pytest.param(accumulate, ["lam"]),
    pytest.param(keep_real, ["lam", "lam0"], marks=HEAVY),
    pytest.param(fresh_real, ["w"]),
    pytest.param(label_mix, ["w"]),
    pytest.param(chain, ["lam", "lam0"]),
    pytest.param(relabelled, ["lam"]),
    pytest.param(weighted, ["lam", "w"], marks=HEAVY),
    pytest.param(two_covariances, ["lam"]),
    pytest.param(subset_last, ["lam"]),
    pytest.param(distilled, ["lam", "lam0"]),
]
FIXED = {"lam": 0.2, "lam0": 0.1, "w": 0.6}


@pytest.mark.parametrize(("build", "over"), OWN)
@pytest.mark.heavy
def test_every_pipeline_against_a_grid(build, over):
    err = ct.test_error(build())
    about = dict(LAW)
    if build is two_covariances:
        about = {"spectrum": {"Sigma": LAW["spectrum"], "Other": ct.Eigenvalues(np.linspace(0.2, 1, 30))},
                 "target": ct.RandomTarget(norm2=1.0)}  # fmt: skip
    rest = {x.name: FIXED[x.name] for x in err.free_symbols if x.name in FIXED and x.name not in over}
    best = err.optimum(over if over[1:] else over[0], **about, **rest)
    value = best.value if over[1:] else {over[0]: best.value}
    count = 9 if over[1:] else 41
    axes = [np.linspace(0.02, 1, count) if x == "w" else np.geomspace(1e-4, 10, count) for x in over]
    errors = err.evaluate(**about, **rest, **dict(zip(over, np.meshgrid(*axes, indexing="ij"), strict=True)))
    place = np.unravel_index(errors.argmin(), errors.shape)
    assert best.error <= errors.min() * (1 + 1e-12)
    assert err.evaluate(**about, **rest, **value) == pytest.approx(best.error, rel=1e-12)
    if not over[1:]:  # next to the best point of the grid
        i = place[0]
        assert (
            axes[0][max(i - 1, 0)] * (1 - 1e-9) <= value[over[0]] <= axes[0][min(i + 1, count - 1)]
            or value[over[0]] == 0
        )
    for x in over:
        if value[x] not in (0.0, 1.0):
            assert abs(err.diff(x).evaluate(**about, **rest, **value)) * value[x] < 1e-8 * best.error


@pytest.mark.heavy
def test_weights_may_rest_at_an_end():
    """An isotropic target: rows that a fit of the same rows labelled are worth nothing beside the best ridge."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    fake = pipe.sample(T=80, noise=0.5, source=pipe.fit(real, ridge=0.1))
    pipe.fit([real, fake], weights=[S.w, 1 - S.w], ridge=S.lam)
    best = ct.test_error(pipe).optimum(["lam", "w"], **ISO)
    clean = ct.catalog["ridge-clean"].error.optimum(**ISO, T=60, sigma=0.5)
    assert best.value["w"] == pytest.approx(1, abs=1e-6)
    assert best.error == pytest.approx(clean.error, rel=1e-9)
    assert best.value["lam"] == pytest.approx(clean.value * 60 / 140, rel=1e-5)  # the loss is divided by all 140 rows


def test_the_first_order_correction_of_a_weighted_fit():
    """Two rates of synthetic noise: the distance to the optimum falls as its variance squared."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=40, noise=0.5)
    start = pipe.fit(pipe.sample(T=300, noise=S.sigma0))
    fake = pipe.sample(T=40, noise=0.5, source=start)
    pipe.fit([real, fake], weights=[1.5, 0.5], ridge=S.lam)
    best = ct.test_error(pipe).optimum("lam", **ISO, sigma0=np.array([0.4, 0.2]))
    gap = np.abs(best.value - best.first_order)
    assert gap[0] / gap[1] == pytest.approx(16, rel=0.25)
    assert (gap < 0.2 * np.abs(best.value - best.clean_value)).all()
    assert best.correction is None
