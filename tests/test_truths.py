"""Rows labelled by several truths: theory, targets, forms of offsets, and simulation."""

import inspect
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.algebra.integrals import OffsetForm
from collapse_theory.describe.truths import Truths

D = 40
SPECTRUM = ct.PowerLaw(D, 1.2)
RNG = np.random.default_rng(3)
W0, W1, W2 = RNG.standard_normal((3, D))
TASKS = {"w0": ct.Coefficients(W0), "w1": ct.Coefficients(W1), "w2": ct.Coefficients(W2)}
lam, w = ct.symbols.lam, ct.symbols.w


def procedure(other, third=None, features=None):
    """Two fits: the second reuses rows of the first, and is labelled by it and by the other truths."""
    pipe = ct.Pipeline()
    one = pipe.truth("w1") if other else ct.TRUTH
    two = pipe.truth("w2") if third else one
    real = pipe.sample(T=60, noise=0.3)
    domain = pipe.sample(T=70, noise=0.2, source=0.3 * ct.TRUTH + 0.7 * one)
    first = pipe.fit([real, domain], ridge=0.05, features=features)
    mixed = pipe.sample(T=50, noise=0.1, source=0.5 * first + 0.5 * two)
    pipe.fit([real, mixed], ridge=lam, features=features)
    return pipe


def alone(weights=(1 - w, w)):
    """One fit on two domains, the second with the weight w."""
    pipe = ct.Pipeline()
    own = pipe.sample(T=30, noise=0.3)
    other = pipe.sample(T=90, noise=0.3, source=pipe.truth("w1"))
    pipe.fit([own, other], weights=weights, ridge=lam)
    return pipe


def written_out(err):
    return replace(err, parts={name: e.doit() for name, e in err.parts.items()})


# ---------------------------------------------------------------------- theory
@pytest.mark.parametrize("features", [None, 80])
def test_a_second_truth_equal_to_the_first_is_the_plain_theory(features):
    same = {"w0": ct.Coefficients(W0), "w1": ct.Coefficients(W0)}
    found = ct.test_error(procedure(other=True, features=features)).evaluate(spectrum=SPECTRUM, target=same, lam=0.1)
    plain = ct.test_error(procedure(other=False, features=features))
    assert found == pytest.approx(plain.evaluate(spectrum=SPECTRUM, target=same["w0"], lam=0.1), rel=1e-12)


def test_without_a_ridge_equal_truths_leave_no_bias():
    pipe = ct.Pipeline()
    pipe.fit([pipe.sample(T=90, noise=0.1), pipe.sample(T=90, noise=0.2, source=pipe.truth("w1"))])
    same = {"w0": ct.Coefficients(W0), "w1": ct.Coefficients(W0)}
    assert ct.test_error(pipe).evaluate(spectrum=SPECTRUM, target=same, terms=True)["bias"] == 0


def test_least_squares_on_another_truth_is_off_by_its_distance():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=90, source=pipe.truth("w1")))
    distance = SPECTRUM.eigenvalues @ (W1 - W0) ** 2
    assert ct.test_error(pipe).evaluate(spectrum=SPECTRUM, target=TASKS) == pytest.approx(distance, rel=1e-13)


def test_two_samples_of_least_squares_by_the_exact_pooled_formula():
    """One fit on two domains: the squared mean offset, and the spread of the labellers, in the proportional limit."""
    pipe = ct.Pipeline()
    pipe.fit([pipe.sample(T=300), pipe.sample(T=100, source=pipe.truth("w1"))])
    phi, p = D / 400, 1 / 4
    distance = SPECTRUM.eigenvalues @ (W1 - W0) ** 2
    wanted = distance * (p**2 + p * (1 - p) * phi / (1 - phi))
    assert ct.test_error(pipe).evaluate(spectrum=SPECTRUM, target=TASKS) == pytest.approx(wanted, rel=1e-12)


@settings(max_examples=12, deadline=None)
@given(st.floats(-2, 2), st.floats(0.01, 3))
def test_the_error_is_bilinear_in_the_offset(step, ridge):
    """Moving the other truth along a line gives a parabola: three points tell the fourth."""
    predict = ct.test_error(procedure(other=True))

    def at(x):
        moved = {"w0": TASKS["w0"], "w1": ct.Coefficients(W0 + x * (W1 - W0))}
        return predict.evaluate(spectrum=SPECTRUM, target=moved, lam=ridge)

    low, middle, high = at(-1.0), at(0.0), at(1.0)
    wanted = middle + step * (high - low) / 2 + step**2 * (high + low - 2 * middle) / 2
    assert at(step) == pytest.approx(wanted, rel=1e-9)


def test_three_truths_by_simulation_and_the_check_rejects_a_lost_cross_term():
    err = ct.test_error(procedure(other=True, third=True))
    theory = err.evaluate(spectrum=SPECTRUM, target=TASKS, lam=0.1)
    found = ct.simulate(procedure(other=True, third=True), spectrum=SPECTRUM, target=TASKS, lam=0.1, trials=300)
    assert abs(found.mean - theory) < 4 * found.sem + 0.02 * theory
    energies = {name: ct.Energies(x.values**2) for name, x in TASKS.items()}
    lost = dict.fromkeys([("w0", "w1"), ("w0", "w2"), ("w1", "w2")], np.zeros(D))
    wrong = err.evaluate(spectrum=SPECTRUM, target=energies, overlaps=lost, lam=0.1)
    assert abs(found.mean - wrong) > 4 * found.sem + 0.02 * theory


def test_another_covariance_and_another_truth_by_simulation():
    pipe = ct.Pipeline()
    own = pipe.sample(T=60, noise=0.3)
    other = pipe.sample(T=80, noise=0.3, source=pipe.truth("w1"), covariance="Sigma1")
    pipe.fit([own, other], weights=[1.0, 0.4], ridge=0.1)
    about = {
        "spectrum": {"Sigma": SPECTRUM, "Sigma1": ct.Eigenvalues(SPECTRUM.eigenvalues[::-1])},
        "target": {"w0": TASKS["w0"], "w1": TASKS["w1"]},
    }
    theory = ct.test_error(pipe).evaluate(**about)
    found = ct.simulate(pipe, trials=300, **about)
    assert abs(found.mean - theory) < 4 * found.sem + 0.02 * theory


@pytest.mark.parametrize(("ask", "measured"), [(ct.training_error, "training error"), (ct.gcv, "cross-validation")])
def test_what_is_seen_from_inside_by_simulation(ask, measured):
    """Two samples of different truths on one set of inputs, and a third beside them."""
    pipe = ct.Pipeline()
    first = pipe.sample(T=80, noise=0.3)
    again = pipe.sample(design=first, noise=0.2, source=0.3 * ct.TRUTH + 0.6 * pipe.truth("w1"))
    fit = pipe.fit(
        [first, again, pipe.sample(T=50, noise=0.1, source=pipe.truths[1])], weights=[1, 0.5, 0.8], ridge=0.05
    )
    about = {"spectrum": SPECTRUM, "target": {"w0": TASKS["w0"], "w1": ct.Coefficients(W0 + 0.5 * W1)}}
    theory = ask(pipe, fit).evaluate(**about)
    found = ct.simulate(pipe, fit, measured=measured, trials=200, **about)
    assert abs(found.mean - theory) < 4 * found.sem + 0.02 * theory


def test_random_truths_of_a_given_overlap_by_simulation():
    random = {"w0": ct.RandomTarget(1), "w1": ct.RandomTarget(2)}
    err = ct.test_error(alone())
    values = {"lam": 0.1, "w": 0.3}
    found = {}
    for overlap in (0.9, -0.9):
        about = {"spectrum": ct.Isotropic(D), "target": random, "overlaps": {("w0", "w1"): overlap}}
        theory = err.evaluate(**about, **values)
        sim = ct.simulate(alone(), trials=300, **about, **values)
        assert abs(sim.mean - theory) < 4 * sim.sem + 0.02 * theory
        found[overlap] = theory
    assert found[0.9] < 0.8 * found[-0.9]


# ---------------------------------------------------------------------- numbers and forms
def test_every_arithmetic_and_form_gives_the_same_number():
    err = ct.test_error(alone(weights=None))
    about = {"spectrum": SPECTRUM, "target": TASKS, "lam": 0.1}
    value = err.evaluate(**about)
    explicit = written_out(err)
    assert explicit.expr.atoms(OffsetForm)
    assert err.evaluate(**about, digits=30) == pytest.approx(value, rel=1e-14)
    assert explicit.evaluate(**about) == pytest.approx(value, rel=1e-12)
    assert explicit.evaluate(**about, digits=30) == pytest.approx(value, rel=1e-14)
    assert ct.from_json(explicit.to_json()).evaluate(**about) == pytest.approx(value, rel=1e-12)
    assert ct.from_json(err.to_json()).evaluate(**about) == value
    assert pickle.loads(pickle.dumps(err.compile(spectrum=SPECTRUM, target=TASKS)))(lam=0.1) == value


def test_the_print_is_read_back():
    pipe = ct.Pipeline()
    mixed = 0.5 * ct.TRUTH + 0.3 * pipe.truth("w1") + 0.4 * pipe.truth("photos")
    pipe.fit(pipe.sample(T=ct.symbols.T, noise=ct.symbols.sigma, source=mixed), ridge=lam)
    about = {"spectrum": SPECTRUM, "target": {**TASKS, "photos": ct.Coefficients(W1 * W2)}}
    values = {"lam": 0.1, "sigma": 0.3, "T": 50}
    err = written_out(ct.test_error(pipe))
    assert r"\left(w_{\mathrm{photos}} - w_0\right)^\top" in err.latex()
    again = ct.read_latex(err.latex())
    assert again.evaluate(**about, **values) == pytest.approx(err.evaluate(**about, **values), rel=1e-12)


@pytest.mark.parametrize(("name", "weights"), [("lam", None), ("w", (1 - w, w))])
def test_derivatives_are_those_of_the_values(name, weights):
    err = ct.test_error(alone(weights))
    values = {"lam": 0.1, "w": 0.3} if weights else {"lam": 0.1}

    def at(step):
        return err.evaluate(spectrum=SPECTRUM, target=TASKS, **{**values, name: values[name] + step})

    wanted = pytest.approx((at(1e-5) - at(-1e-5)) / 2e-5, rel=1e-6)
    assert err.diff(name).evaluate(spectrum=SPECTRUM, target=TASKS, **values) == wanted
    if weights is None:
        assert written_out(err).diff(name).evaluate(spectrum=SPECTRUM, target=TASKS, **values) == wanted


def test_energies_with_overlaps_are_coefficients():
    err = ct.test_error(procedure(other=True, third=True))
    energies = {name: ct.Energies(x.values**2) for name, x in TASKS.items()}
    overlaps = {("w1", "w0"): W0 * W1, ("w0", "w2"): W0 * W2, ("w2", "w1"): W1 * W2}
    given_apart = err.evaluate(spectrum=SPECTRUM, target=energies, overlaps=overlaps, lam=0.1)
    given_together = err.evaluate(spectrum=SPECTRUM, target={**energies, **overlaps}, lam=0.1)
    assert given_apart == given_together
    assert given_apart == pytest.approx(err.evaluate(spectrum=SPECTRUM, target=TASKS, lam=0.1), rel=1e-10)


def test_offsets_of_nearly_equal_truths_keep_their_digits():
    near = Truths({"w0": ct.Coefficients(W0), "w1": ct.Coefficients(W0 + 2.0**-30)})
    step = (W0 + 2.0**-30) - W0
    assert np.array_equal(near.offsets(SPECTRUM)["w1", "w1"], step**2)


def test_the_best_weight_of_another_domain_is_a_minimum():
    err = ct.test_error(alone())
    about = {"spectrum": SPECTRUM, "target": {"w0": TASKS["w0"], "w1": ct.Coefficients(W0 + W1)}, "lam": 0.01}
    best = err.optimum("w", **about)
    assert 0.05 < best.value < 0.95
    assert all(best.error < err.evaluate(**about, w=best.value + step) for step in (-0.01, 0.01))


# ---------------------------------------------------------------------- files
FILE = """
spectrum = "powerlaw:d=40,beta=1.2"

[target]
{target}

[[sample]]
name = "own"
T = 30
noise = 0.3

[[sample]]
name = "other"
T = 90
noise = 0.3
source = "w1"

[[fit]]
name = "m"
data = ["own", "other"]
weights = ["1 - w", "w"]
ridge = "lam"
"""


@pytest.mark.parametrize(
    ("target", "tasks"),
    [
        ('w0 = "coefficients:w0.npy"\nw1 = "coefficients:w1.csv"', {"w0": TASKS["w0"], "w1": TASKS["w1"]}),
        (
            'w0 = "random:norm2=1"\nw1 = "random:norm2=2"\n[overlaps]\n"w1, w0" = "1/2"',
            {"w0": ct.RandomTarget(1), "w1": ct.RandomTarget(2), ("w0", "w1"): 0.5},
        ),
        (
            'w0 = "random:norm2=40"\nw1 = "random:norm2=40"\n[overlaps]\n"w0,w1" = "file:o.npy"',
            {"w0": ct.RandomTarget(40), "w1": ct.RandomTarget(40), ("w0", "w1"): np.cos(W0)},
        ),
    ],
)
def test_a_file_has_a_table_of_targets(target, tasks, tmp_path):
    np.save(tmp_path / "w0.npy", W0)
    np.save(tmp_path / "o.npy", np.cos(W0))
    (tmp_path / "w1.csv").write_text("\n".join(map(repr, W1.tolist())))
    (tmp_path / "domains.toml").write_text(FILE.format(target=target))
    pipe, found = ct.load(tmp_path / "domains.toml")
    values = {"spectrum": SPECTRUM, "lam": 0.1, "w": 0.3}
    wanted = ct.test_error(alone()).evaluate(target=tasks, **values)
    assert ct.test_error(pipe).evaluate(target=found.target, **values) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ('w0 = "random:norm2=1"\nw1 = "random:norm2=1"', "needs the overlap of w0 and w1"),
        ('w0 = "random:norm2=1"', "w1"),
        ('w0 = "random:norm2=1"\ntruth = "random:norm2=1"', "'truth'"),
        ('w0 = "random:norm2=1"\nw1 = "random:norm2=1"\n[overlaps]\n"w0" = 1', "pairs of two truths"),
    ],
)
def test_a_bad_table_of_targets_is_refused(target, message, tmp_path):
    (tmp_path / "domains.toml").write_text(FILE.format(target=target))
    with pytest.raises(ct.CollapseTheoryError, match=message):
        ct.load(tmp_path / "domains.toml")


# ---------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": TASKS["w0"]}, "coefficients of the truth 'w1'"),
        ({"target": {"w1": TASKS["w1"]}}, "needs the truth 'w0'"),
        ({"target": {"w0": TASKS["w0"], "w1": 3}}, "needs a target for each truth"),
        ({"target": {"w0": ct.RandomTarget(), "w1": ct.RandomTarget()}}, "needs the overlap of w0 and w1"),
        ({"target": TASKS, "overlaps": {("w0", "w1"): W0}}, "overlaps of coefficients are their products"),
        ({"target": TASKS["w0"], "overlaps": {("w0", "w1"): W0}}, "overlaps needs a target for each truth"),
        ({"target": {"w0": ct.Energies(W0**2), "w1": ct.RandomTarget(), ("w0", "w1"): 0.1}}, "an array with one product"),
        ({"target": {"w0": ct.RandomTarget(), "w1": ct.RandomTarget(), ("w0", "w1"): 1.1}}, "at most sqrt"),
        ({"target": {"w0": ct.RandomTarget(), "w1": ct.RandomTarget(), ("w0", "x"): 0.1}}, "truths with a target"),
        ({"target": {"w0": ct.RandomTarget(), "w1": ct.RandomTarget(), ("w0", "w1"): [0.1]}}, "one product per eigenvalue"),
    ],
)  # fmt: skip
def test_bad_targets_are_refused_by_theory_and_simulation(given, message):
    for call in (ct.test_error(alone()).evaluate, lambda **k: ct.simulate(alone(), trials=1, **k)):
        with pytest.raises(ct.DomainError, match=message):
            call(spectrum=SPECTRUM, lam=0.1, w=0.3, **given)


@pytest.mark.parametrize(
    "pipe",
    [alone(), alone(weights=None), procedure(other=True, third=True), procedure(other=True, features=80)],
    ids=["weights", "one fit", "three truths", "features"],
)
def test_source_takes_the_products_of_each_pair_of_offsets(pipe):
    err = ct.test_error(pipe)
    names = {}
    exec(err.code("numpy"), names)
    taken = inspect.signature(names["test_error"]).parameters
    of = {"w0": W0, "w1": W1 - W0, "w2": W2 - W0}
    products = {f"{a}_{b}": x * y for a, x in of.items() for b, y in of.items()}
    known = {"s": SPECTRUM.eigenvalues, "w2": W0**2, "lam": 0.1, "w": 0.3, **products}
    given_ = {k: known[k] for k in taken}
    want = err.evaluate(spectrum=SPECTRUM, target=TASKS, **{k: known[k] for k in taken if k in {"lam", "w"}})
    assert names["test_error"](**given_) == pytest.approx(want, rel=1e-10)
    wrong = given_ | {"w0_w1": -given_["w0_w1"]}  # control
    assert names["test_error"](**wrong) != pytest.approx(want, rel=1e-3)
    assert "w0_w1 holds the products of w0 and w1 - w0" in err.code("julia")
    assert "w0_w1" in err.code("sympy")


def test_what_knows_one_truth_refuses_two():
    with pytest.raises(ct.DomainError, match="needs one truth"):
        ct.test_error(alone(weights=None)).doit(ct.Isotropic(D))
    scaled = ct.Pipeline()
    scaled.fit(scaled.sample(T=ct.symbols.T, noise=ct.symbols.sigma, source=scaled.truth("w1")), ridge=lam)
    with pytest.raises(ct.DomainError, match="rates need one truth"):
        _ = ct.rates(ct.test_error(scaled), beta=1.5, r=0.5).exponent
    with pytest.raises(ct.DomainError, match="real rows needs one truth"):
        ct.simulate(alone(), inputs=RNG.standard_normal((50, 5)), targets=RNG.standard_normal(50), lam=0.1, w=0.3)
