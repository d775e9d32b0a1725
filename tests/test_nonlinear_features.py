"""Features of networks: theory against a spectrum with a tail, against simulated networks, and in every form of a formula."""

import pickle
from dataclasses import replace
from functools import cache

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

import collapse_theory as ct
from collapse_theory.symbols import lam
from tests import naive

D = 24
S = np.arange(1, D + 1) ** -0.5
W2 = np.arange(1, D + 1) ** -0.4
AT = {"spectrum": ct.Eigenvalues(S), "target": ct.Energies(W2)}
RELU = ct.Activation("relu")


# ---------------------------------------------------------------------- pipelines of networks, or of linear features
def chain(see, ridge):
    pipe, last = ct.Pipeline(), ct.TRUTH
    for T, m, penalty in ((40, 20, 0.05), (28, 36, 0.02), (48, 16, 0.1)):
        last = pipe.fit(pipe.sample(T=T, noise=0.3, source=last), ridge=ridge(penalty), features=see(pipe, m))
    return pipe


def shared(see, ridge):
    """Four fits on the same features, on rows of their own, on the same rows and on both."""
    pipe = ct.Pipeline()
    phi, real = see(pipe, 24), pipe.sample(T=40, noise=0.3)
    first = pipe.fit(real, ridge=ridge(0.05), features=phi)
    mixed = pipe.sample(design=real, source=0.5 * first + 0.5 * ct.TRUTH, noise=0.2)
    second = pipe.fit(mixed, ridge=ridge(0.02), features=phi)
    other = pipe.fit(pipe.sample(T=20, source=second, noise=0.1), ridge=ridge(0.1), features=see(pipe, 30))
    last = pipe.sample(T=36, source=0.7 * second + 0.3 * other, noise=0.1)
    pipe.fit([real, last], ridge=ridge(0.05), features=phi)
    return pipe


def ridgeless(see, ridge):
    pipe = ct.Pipeline()
    phi, real = see(pipe, 24), pipe.sample(T=40, noise=0.3)
    first = pipe.fit(real, features=phi)
    pipe.fit(pipe.sample(design=real, source=first, noise=0.2), features=see(pipe, 60))
    return pipe


PIPELINES = {f.__name__: f for f in (chain, shared, ridgeless)}


def network(name, activation="relu"):
    return PIPELINES[name](lambda pipe, m: pipe.features(m, activation=activation), lambda x: x)


def linear(name):
    """Return linear features in units of the activation's linear coefficient."""
    return PIPELINES[name](lambda pipe, m: pipe.features(m), lambda x: x / RELU.linear**2)


@cache
def with_tail(name, ask, K, noise=1.0):
    """Return the terms of linear features on K further directions, which have the trace of the noise of ReLU features."""
    tail = noise * (RELU.residual / RELU.linear) ** 2 * S.sum() / K
    spectrum, target = np.append(S, np.full(K, tail)), np.append(W2, np.zeros(K))
    found = ask(linear(name)).evaluate(spectrum=ct.Eigenvalues(spectrum), target=ct.Energies(target), terms=True)
    return np.array(list(found.values()))


def by_free_probability(pipe):
    return ct.test_error(pipe, method="free-probability")


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        *((name, by_free_probability) for name in PIPELINES),
        ("shared", ct.training_error),
        pytest.param("chain", ct.gcv, marks=pytest.mark.heavy),
    ],
)
def test_noise_of_features_is_a_tail_of_the_spectrum(name, ask):
    got = np.array(list(ask(network(name)).evaluate(**AT, terms=True).values()))
    few, many = (with_tail(name, ask, K) for K in (1000, 2000))
    gap = np.abs(many - few)
    assert np.all(np.abs(2 * many - few - got) < 0.05 * gap + 1e-9)
    assert np.any(np.abs(many - got) > 0.5 * gap)
    without = with_tail(name, ask, 1000, noise=1e-9)
    assert np.abs(without / got - 1).max() > 0.05  # it is no small effect


def test_digits_and_slopes_are_those_of_the_recursion():
    pipe = ct.Pipeline()
    first = pipe.fit(pipe.sample(T=30, noise=0.3), ridge=lam, features=pipe.features(20, activation="tanh"))
    pipe.fit(pipe.sample(T=25, source=first, noise=0.1), ridge=2 * lam, features=pipe.features(40, activation="relu"))
    err = ct.test_error(pipe)
    at = {"spectrum": ct.Eigenvalues(S[::4]), "target": ct.Energies(W2[::4])}
    step = mpf(10) ** -12
    with mpmath.workdps(30):
        high, low = (err.evaluate(digits=28, **at, lam=mpf("0.05") + x) for x in (step, -step))
        slope = float((high - low) / (2 * step))
        assert float((high + low) / 2) == pytest.approx(err.evaluate(**at, lam=0.05), rel=1e-12)
    assert err.diff("lam").evaluate(**at, lam=0.05) == pytest.approx(slope, rel=1e-9)


def test_features_without_noise_are_linear_ones():
    plain = shared(lambda pipe, m: pipe.features(m), lambda x: x / 4)
    want = by_free_probability(plain).evaluate(**AT, terms=True)
    assert ct.test_error(network("shared", [0, 2])).evaluate(**AT, terms=True) == pytest.approx(want, rel=1e-12)


def test_a_wide_network_is_a_fit_with_a_ridge():
    """With more and more features the noise of an activation is a ridge that rows share."""
    pipe, wide = ct.Pipeline(), ct.Pipeline()
    ridge = 0.05 / RELU.linear**2 + (RELU.residual / RELU.linear) ** 2 * S.sum() / 30
    pipe.fit(pipe.sample(T=30, noise=0.3), ridge=ridge)
    wide.fit(wide.sample(T=30, noise=0.3), ridge=0.05, features=wide.features(10**9, activation="relu"))
    assert ct.test_error(wide).evaluate(**AT) == pytest.approx(ct.test_error(pipe).evaluate(**AT), rel=1e-7)


# ---------------------------------------------------------------------- simulated networks
GRID, ENERGY = np.linspace(0.4, 1.6, 60), np.linspace(1.6, 0.4, 60) / 30
WHERE = {"spectrum": ct.Eigenvalues(GRID), "target": ct.Energies(ENERGY)}


def teacher_and_student(activation):
    """Two generations of networks: the teacher's features, then other ones, and a last fit on both data sets."""
    pipe = ct.Pipeline()
    phi, real = pipe.features(50, activation=activation), pipe.sample(T=90, noise=0.4)
    first = pipe.fit(real, ridge=0.05, features=phi)
    second = pipe.sample(T=80, noise=0.2, source=first)
    pipe.fit([real, second], ridge=0.03, features=pipe.features(80, activation=activation))
    return pipe


def mixed(one, other):
    """Networks of two activations, linear features and a fit on the inputs, on each other's rows."""
    pipe = ct.Pipeline()
    phi, real = pipe.features(54, activation=one), pipe.sample(T=90, noise=0.3)
    first = pipe.fit(real, ridge=0.05, features=phi)
    plain = pipe.fit(pipe.sample(design=real, source=0.5 * first + 0.5 * ct.TRUTH, noise=0.2), ridge=0.05)
    rows = pipe.sample(T=84, source=plain, noise=0.1)
    linear = pipe.fit(rows, ridge=0.05, features=42)
    small = pipe.fit(rows, ridge=0.05, features=pipe.features(30, activation=other))
    again = pipe.sample(design=rows, source=0.3 * first + 0.3 * linear + 0.4 * small, noise=0.1)
    pipe.fit([real, again], ridge=0.05, features=phi)
    return pipe


def simulated(trials, seed):
    """Return errors of the same by NumPy alone: hidden layers ``max(F x, 0)`` less a constant, last layers by ridge regression."""
    rng, w0, mean = np.random.default_rng(seed), np.sqrt(ENERGY), np.sqrt(GRID.sum() / (2 * np.pi))
    out = []
    for _ in range(trials):
        layers = [rng.standard_normal((60, m)) / np.sqrt(m) for m in (50, 80)]
        X, X2, test = (rng.standard_normal((n, 60)) * np.sqrt(GRID) for n in (90, 80, 1000))
        seen = [[np.maximum(x @ F, 0) - mean / np.sqrt(F.shape[1]) for x in (X, X2, test)] for F in layers]
        y = X @ w0 + 0.4 * rng.standard_normal(90)
        Z = seen[0][0]
        v = np.linalg.solve(Z.T @ Z / 90 + 0.05 * np.eye(50), Z.T @ y / 90)
        y = np.append(y, seen[0][1] @ v + 0.2 * rng.standard_normal(80))
        Z = np.vstack(seen[1][:2])
        v = np.linalg.solve(Z.T @ Z / 170 + 0.03 * np.eye(80), Z.T @ y / 170)
        out.append(np.mean((seen[1][2] @ v - test @ w0) ** 2))
    return np.array(out)


@cache
def networks():
    return simulated(160, seed=4)


def test_networks_follow_the_theory_and_reject_linear_features():
    want = ct.test_error(teacher_and_student("relu")).evaluate(**WHERE)
    without = ct.test_error(teacher_and_student([0, RELU.linear])).evaluate(**WHERE)
    assert naive.agrees(networks(), want, 0.03)
    for mutant in (without, 1.12 * want, 0.88 * want):
        assert not naive.agrees(networks(), mutant, 0.03)


def test_the_simulator_draws_networks_and_their_equivalents():
    want = ct.test_error(teacher_and_student("relu")).evaluate(**WHERE)
    sim = ct.simulate(teacher_and_student("relu"), **WHERE, trials=40, seed=2)
    assert abs(sim.mean - networks().mean()) < 4 * np.hypot(sim.sem, networks().std() / np.sqrt(160))
    assert not naive.agrees(sim.errors, 1.25 * want, 0.03)
    want = ct.test_error(mixed("relu", "tanh")).evaluate(**WHERE)
    sim = ct.simulate(mixed(RELU.equivalent, ct.Activation("tanh").equivalent), **WHERE, trials=300, seed=2)
    assert naive.agrees(sim.errors, want, 0.02)
    assert not naive.agrees(sim.errors, 1.1 * want, 0.02)


def test_what_is_seen_from_inside_a_network():
    pipe = teacher_and_student(RELU.equivalent)
    for ask, what in ((ct.training_error, "training error"), (ct.gcv, "cross-validation")):
        want = ask(pipe).evaluate(**WHERE)
        sim = ct.simulate(pipe, **WHERE, measured=what, trials=60, seed=3)
        assert naive.agrees(sim.errors, want, 0.02)
        assert not naive.agrees(sim.errors, 1.15 * want, 0.02)


def test_networks_on_real_rows():
    """Many rows drawn from a Gaussian population are Gaussian rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 30)) * np.sqrt(GRID[::2])
    y = X @ np.sqrt(ENERGY[::2])
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=60, noise=0.3), ridge=0.05, features=pipe.features(40, activation="tanh"))
    sim = ct.simulate(pipe, inputs=X, targets=y, trials=60, seed=1)
    data = ct.from_data(X, y)
    want = ct.test_error(pipe).evaluate(spectrum=data.spectrum, target=data.target)
    assert naive.agrees(sim.errors, want, 0.06)
    assert not naive.agrees(sim.errors, 1.4 * want, 0.06)


# ---------------------------------------------------------------------- formulas, files, errors
def test_a_formula_written_out_is_its_value():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=30, noise=0.3), ridge=0.05, features=pipe.features(20, activation="relu"))
    err = ct.test_error(pipe)
    (line,) = err.implicit
    noise, lam = (RELU.residual / RELU.linear) ** 2 * S.sum(), 0.05 / RELU.linear**2

    def left(x):
        df = (S / (S + x)).sum() + noise / x
        return (x * (1 - df / 30) * (1 - df / 20) - lam) if df < 20 else -1

    kappa = mpmath.findroot(left, (0.1, 20), solver="anderson", tol=1e-26)
    written = replace(err, parts={name: e.doit() for name, e in err.parts.items()})
    got = written.evaluate(**AT, **{str(line.lhs): float(kappa)}, terms=True)
    assert got == pytest.approx(err.evaluate(**AT, terms=True), rel=1e-10)
    assert r"\operatorname{tr}\left[\Sigma\right]" in err.latex()
    assert "goldt2022gaussian" in err.references


def test_files_keep_the_activation(tmp_path):
    pipe = teacher_and_student("relu")
    want = ct.test_error(pipe).evaluate(**AT)
    file = tmp_path / "network.toml"
    file.write_text(pipe.to_toml())
    again, _ = ct.load(file)
    assert 'activation = "relu"' in pipe.to_toml()
    assert ct.test_error(again).evaluate(**AT) == want
    assert ct.from_json(ct.test_error(pipe).to_json()).evaluate(**AT) == want
    cubic = teacher_and_student([0, 1, 0, 0.25])
    want = ct.test_error(cubic).evaluate(**AT)
    file.write_text(cubic.to_toml())
    for again in (ct.load(file)[0], pickle.loads(pickle.dumps(cubic))):
        assert ct.test_error(again).evaluate(**AT) == want


@pytest.mark.heavy
def test_the_best_ridge_of_a_network_and_of_the_same_with_real_labels():
    def student(source, pipe):
        phi = pipe.features(20, activation="relu")
        return pipe.fit(pipe.sample(T=30, noise=0.3, source=source(pipe)), ridge=lam, features=phi)

    def teacher(pipe):
        return pipe.fit(pipe.sample(T=30, noise=0.3), ridge=0.1, features=pipe.features(20, activation="relu"))

    pipe, clean = ct.Pipeline(), ct.Pipeline()
    student(teacher, pipe)
    student(lambda _: ct.TRUTH, clean)
    best = ct.optimal_ridge(ct.test_error(pipe), **AT)
    assert best.clean_value == pytest.approx(ct.optimal_ridge(ct.test_error(clean), **AT).value, rel=1e-6)
    assert abs(best.value / best.clean_value - 1) > 0.05


def test_bad_input():
    pipe = ct.Pipeline()
    with pytest.raises(ct.PipelineError, match="activation"):
        pipe.features(9, activation="sin")
    pipe.fit(pipe.sample(T=20), ridge=0.1, features=pipe.features(9, activation=np.sin))
    err = ct.test_error(pipe)
    for ask, what in ((pipe.to_toml, "to_toml"), (err.to_json, "JSON")):
        with pytest.raises(ct.PipelineError, match=f"{what} needs activations"):
            ask()
    with pytest.raises(ct.DomainError, match="code needs"):
        err.code("numpy")
    with pytest.raises(ct.DomainError, match="certified"):
        err.evaluate(**AT, certified=True)
    with pytest.raises(ct.PipelineError, match="common covariance"):
        ct.test_error(pipe, test_covariance="Other")
    with pytest.raises(ct.PipelineError, match="ridge regression"):
        ct.test_error(pipe, method="operator")
    moved = ct.Pipeline()
    first = moved.fit(moved.sample(T=20), ridge=0.1, features=moved.features(9, activation="relu"))
    moved.fit(moved.sample(T=20, covariance="A", source=first), ridge=0.1)
    spectra = {"Sigma": ct.Isotropic(5), "A": ct.Isotropic(5)}
    for ask in (ct.test_error, lambda p: ct.simulate(p, spectrum=spectra, target=ct.RandomTarget(), trials=2)):
        with pytest.raises(ct.PipelineError, match="activation need"):
            ask(moved)


@st.composite
def pipelines(draw):
    """Return a pipeline of one to three fits on inputs, linear features, networks of their own or shared ones."""
    pipe = ct.Pipeline()
    phi, fits, samples = pipe.features(draw(st.sampled_from([6, 40])), activation="erf"), [], []
    for _ in range(draw(st.integers(1, 3))):
        source = draw(st.sampled_from([ct.TRUTH, *fits]))
        T, noise = draw(st.sampled_from([5, 13, 30, 70])), draw(st.sampled_from([0, 0.4]))
        samples.append(pipe.sample(T=T, noise=noise, source=source))
        pooled = draw(st.lists(st.sampled_from(samples), min_size=1, unique=True))
        own = pipe.features(17, activation="relu")
        ridge, seen = draw(st.sampled_from([1e-6, 1e-2, 1.0])), draw(st.sampled_from([None, 17, own, phi]))
        fits.append(pipe.fit(pooled, ridge=ridge, features=seen))
    return pipe


@given(pipelines())
@settings(max_examples=5, deadline=None)
def test_every_error_is_positive_and_finite(pipe):
    terms = ct.test_error(pipe).evaluate(**AT, terms=True)
    assert all(np.isfinite(x) and x >= 0 for x in terms.values())
    assert sum(terms.values()) > 0
