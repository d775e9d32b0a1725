"""The calculus and its closed forms: independent recursions, simulation with mutant controls, random pipelines."""

import pickle

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.families import closed_forms
from collapse_theory.families.calculus import RowLaw, moments
from collapse_theory.families.efficiency import (
    best_stationary_weight,
    effective_sample_size,
    largest_synthetic,
    optimal_weights,
    relative_efficiency,
)
from collapse_theory.families.models import Exponential, LogisticRegression, PoissonRegression

W, Stage = ct.workflows, ct.Stage
T, T0, m, w = ct.symbols.T, ct.symbols.T0, ct.symbols.m, ct.symbols.w
LAWS = [RowLaw.TOKENS, RowLaw.GAUSSIAN, RowLaw.CONSTANT]
FORMS = {
    "replace": (closed_forms.replace, lambda n: W.replace(n - 1, Stage(T=7), Stage(T=7))),
    "accumulate": (closed_forms.accumulate, lambda n: W.accumulate(n, Stage(T=7))),
    "keep_real": (closed_forms.keep_real, lambda n: W.keep_real(n, Stage(T=7), Stage(T=4))),
    "fresh_real": (closed_forms.fresh_real, lambda n: W.fresh_real(n, Stage(T=7), Stage(T=4))),
    "weighted": (
        lambda law: closed_forms.fresh_real(law, weighted=True),
        lambda n: W.fresh_real(n, Stage(T=7), Stage(T=4), weight=sp.Rational(3, 5)),
    ),
    "random_past": (closed_forms.random_past, lambda n: W.random_past(n, Stage(T=7))),
    "accumulate_subsample": (closed_forms.accumulate_subsample, lambda n: W.accumulate_subsample(n, Stage(T=7))),
}
AT = {T: 7, T0: 4, w: sp.Rational(3, 5)}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", sorted(FORMS))
def test_closed_form_is_the_calculus(name, law):
    form, build = FORMS[name]
    variance = form(law).variance
    for n in range(1, 6):
        got = variance.subs(m, n).subs(AT).doit()
        assert abs(sp.N(got - moments(build(n), law).covariances[-1, -1], 30)) < 1e-25


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("order", [(0, 3, 2), (2, 1, 0), (1, 0, 3), (0, 0, 2), (1, 3, 3, 0)])
def test_the_order_of_labellers_changes_nothing(order, law):
    def covariances(order, source):
        pipe = ct.Pipeline()
        fits = [pipe.fit(pipe.sample(T=t)) for t in (5, 7, 9, 11)]
        pipe.fit(pipe.sample(T=6, source=source([fits[k] for k in order])))
        return moments(pipe, law).covariances

    def mean(models):
        return sum((sp.Rational(1, len(models)) * model for model in models), 0 * ct.TRUTH)

    for source in (mean, lambda models: ct.one_of(*models)):
        got = covariances(order, source)
        assert got == covariances(sorted(order), source)
        assert got[-1, 3] == sp.Rational(order.count(3), len(order)) * got[3, 3]


@pytest.mark.parametrize("law", [RowLaw.TOKENS, RowLaw.CONSTANT])
@pytest.mark.parametrize("name", sorted(set(FORMS) - {"replace"}))
def test_limit_is_approached(name, law):
    form = FORMS[name][0](law)
    gaps = [abs(float(sp.N((form.variance.subs(m, n) - form.limit).subs(AT)))) for n in (1000, 4000)]
    assert gaps[0] < 1e-3
    assert gaps[1] < max(gaps[0] / 3.5, 1e-12)


def test_named_limits():
    assert closed_forms.accumulate(RowLaw.CONSTANT).limit == sp.pi**2 / 6 / T
    assert (1 - closed_forms.accumulate(RowLaw.GAUSSIAN).limit - sp.sin(sp.pi / sp.sqrt(T)) * sp.sqrt(T) / sp.pi) == 0
    assert sp.simplify(closed_forms.keep_real(RowLaw.CONSTANT).limit * T - (T + 3 * T0) / (T + 2 * T0)) == 0
    assert sp.cancel(best_stationary_weight(ct.Regular()).subs(T0, T)) == (sp.sqrt(5) - 1) / 2


def test_growing_samples():
    """Linear growth still collapses; any faster power does not."""
    assert closed_forms.replace_growing(RowLaw.TOKENS, 1).limit == 1
    assert closed_forms.replace_growing(RowLaw.CONSTANT, 1).limit == sp.oo
    form = closed_forms.replace_growing(RowLaw.TOKENS, 2)
    pipe, last = ct.Pipeline(), ct.TRUTH
    for k in range(1, 6):
        last = pipe.fit(pipe.sample(T=3 * k**2, source=last))
    want = float(ct.covariances(pipe, family=ct.Gaussian())[-1, -1])
    assert abs(float(form.variance.subs({m: 5, T: 3})) - want) < 1e-14
    geometric = closed_forms.replace_geometric(RowLaw.CONSTANT, 2)
    assert abs(float(geometric.variance.subs({m: 3, T: 5})) - (1 + 1 / 2 + 1 / 4) / 5) < 1e-15
    assert geometric.limit == 2 / T


def test_last_k():
    for K in (1, 2, 3, 5):
        c = moments(W.last_k(80, Stage(T=7), K), RowLaw.CONSTANT, exact=False).covariances
        growth = float(closed_forms.last_k_growth().subs({ct.symbols.k: K, T: 7}))
        assert abs(c[-1, -1] - c[-2, -2] - growth) < 1e-12
        c = moments(W.last_k(80, Stage(T=7), K), RowLaw.TOKENS, exact=False).covariances
        assert abs((1 - c[-1, -1]) / (1 - c[-2, -2]) - closed_forms.last_k_decay(K, 7)) < 1e-10


# ------------------------------------------------------------------ random pipelines
def random_pipeline(draw, linear):
    """Up to four fits; samples reused, weighted, subsampled, mixed."""
    pipe = ct.Pipeline()
    fits = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.integers(0, 3))
        rows = draw(st.integers(2, 6))
        if kind == 1 and fits:
            pipe.sample(T=rows, source=ct.one_of(*[draw(st.sampled_from([ct.TRUTH, *fits])) for _ in range(2)]))
        elif kind == 2 and fits and linear:
            share = draw(st.sampled_from([0.25, 0.5]))
            pipe.sample(T=rows, source=share * ct.TRUTH + (1 - share) * draw(st.sampled_from(fits)))
        else:
            pipe.sample(T=rows, source=draw(st.sampled_from([ct.TRUTH, *fits])))
        if kind == 3 and len(pipe.samples) > 1:
            pool = [s for s in pipe.samples[-2:] if not s.pool]
            pipe.subsample(pool, T=draw(st.integers(1, int(sum(s.T for s in pool)))))
        used = draw(st.lists(st.sampled_from(pipe.samples), min_size=1, max_size=3, unique=True))
        fits.append(pipe.fit(used, weights=[draw(st.sampled_from([0.5, 1.0, 2.0])) for _ in used]))
    return pipe


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_pipelines_exact_equals_float_and_is_a_covariance(data):
    pipe = random_pipeline(data.draw, linear=True)
    for fam in (ct.Categorical([0.5, 0.5]), ct.Gaussian(), ct.Regular()):
        exact = np.array(ct.covariances(pipe, family=fam, exact=True).tolist(), dtype=float)
        quick = ct.covariances(pipe, family=fam, exact=False)
        np.testing.assert_allclose(quick, exact, atol=1e-13)
        assert np.linalg.eigvalsh(exact).min() > -1e-12
        if fam.name != "Regular":
            assert (np.diag(exact) < 1 + 1e-12).all()


def simulated(pipe, fam, trials, seed):
    """Return mean and standard error of the error and, for Gaussians, of the covariance factor."""
    rng = np.random.default_rng(seed)
    values = np.array([one_run(pipe, fam, rng) for _ in range(trials)])
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(trials)


def one_run(pipe, fam, rng):
    """Rows of a one-dimensional Gaussian (truth N(0, 1)) or one-hot rows, drawn one after the other."""
    p = getattr(fam, "p", None)
    truth = p if p is not None else (0.0, 1.0)
    rows, models = {}, {}

    def model(x):
        return models[x.index] if isinstance(x, ct.Fit) else truth

    def draw(q):
        return np.eye(len(p))[rng.choice(len(p), p=q)] if p is not None else rng.normal(q[0], np.sqrt(max(q[1], 0)))

    for node in pipe._nodes:
        if isinstance(node, ct.Fit):
            x = np.concatenate([rows[s.index] for s in node.samples])
            a = np.concatenate([np.full(int(s.T), float(v)) for s, v in zip(node.samples, node.weights, strict=True)])
            mean = np.average(x, axis=0, weights=a)
            models[node.index] = mean if p is not None else (mean, np.average((x - mean) ** 2, weights=a))
        elif node.pool:
            rows[node.index] = rng.permutation(np.concatenate([rows[s.index] for s in node.pool]))[: int(node.T)]
        elif type(node.source).__name__ == "OneOf":
            labellers = node.source.labellers
            rows[node.index] = np.array(
                [draw(model(labellers[rng.integers(len(labellers))])) for _ in range(int(node.T))]
            )
        else:
            q = sum(float(c) * np.array(model(x)) for x, c in node.source)
            rows[node.index] = np.array([draw(q) for _ in range(int(node.T))])
    last = models[len(pipe.fits) - 1]
    return (float(((last - p) ** 2).sum()), 0.0) if p is not None else (float(last[0] ** 2), float(last[1]))


def gaussian_mixture():
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=3))
    m2 = pipe.fit(pipe.sample(T=3, source=0.5 * ct.TRUTH + 0.5 * m1))
    a = pipe.sample(T=3, source=ct.one_of(m1, m2, ct.TRUTH))
    b = pipe.subsample([a, pipe.samples[0]], T=4)
    pipe.fit([b, pipe.sample(T=2, source=m2)], weights=[1, 0.5])
    return pipe


@pytest.mark.parametrize("build", [
    gaussian_mixture,
    lambda: W.random_past(4, Stage(T=3)),
    lambda: W.accumulate_subsample(3, Stage(T=3)),
    lambda: W.keep_real(3, Stage(T=3), Stage(T=4)),
])  # fmt: skip
def test_gaussian_mean_and_covariance_by_simulation(build):
    pipe, fam = build(), ct.Gaussian()
    theory = np.array([ct.test_error(pipe, family=fam).evaluate(), fam.covariance_factor(pipe)])
    mean, sem = simulated(pipe, fam, 4000, seed=5)
    assert (np.abs(mean - theory) < 4 * sem).all()
    assert (np.abs(mean - 1.25 * theory) > 4 * sem).any()  # control: a quarter more is rejected


def test_averaged_gaussians_spread_less_than_mixtures():
    """A linear source averages parameters; one_of mixes densities. Only the latter keeps v = 1 - c."""
    pipe = ct.Pipeline()
    m1, m2 = pipe.fit(pipe.sample(T=2)), pipe.fit(pipe.sample(T=2))
    mixed = pipe.fit(pipe.sample(T=5, source=ct.one_of(m1, m2)))
    averaged = pipe.fit(pipe.sample(T=5, source=0.5 * m1 + 0.5 * m2))
    fam = ct.Gaussian()
    c = np.array(ct.covariances(pipe, family=fam).tolist(), dtype=float)
    assert abs(fam.covariance_factor(pipe, mixed) - (1 - c[2, 2])) < 1e-15
    assert fam.covariance_factor(pipe, averaged) < 1 - c[3, 3] - 0.1
    both = [one_run_of(pipe, seed) for seed in range(4000)]
    mean, sem = np.mean(both), np.std(both) / np.sqrt(4000)
    assert abs(mean - fam.covariance_factor(pipe, averaged)) < 4 * sem
    assert abs(mean - (1 - c[3, 3])) > 4 * sem


def one_run_of(pipe, seed):
    return one_run(pipe, ct.Gaussian(), np.random.default_rng(seed))[1]


TOKENS, PAIRS, SIX = ct.Categorical([0.4, 0.3, 0.2, 0.1]), ct.Gaussian(2), Stage(T=6)


@pytest.mark.parametrize(("fam", "build"), [
    (TOKENS, lambda: W.accumulate_subsample(4, SIX)),
    (PAIRS, lambda: W.accumulate(4, SIX)),
    pytest.param(TOKENS, lambda: W.accumulate(4, SIX), marks=pytest.mark.heavy),
    pytest.param(PAIRS, lambda: W.accumulate_subsample(4, SIX), marks=pytest.mark.heavy),
])  # fmt: skip
def test_simulate_and_validate(fam, build):
    err = ct.test_error(build(), family=fam)
    assert err.regime == "exact"
    assert ct.validate(err, trials=3000, seed=3).passed
    sim = ct.simulate(build(), family=fam, trials=40, seed=3)
    np.testing.assert_array_equal(sim.errors, ct.simulate(build(), family=fam, trials=40, seed=3, jobs=2).errors)
    assert abs(sim.mean - err.evaluate()) < 5 * sim.sem
    big = ct.simulate(build(), family=fam, trials=1500, seed=3)
    assert abs(big.mean - 1.3 * err.evaluate()) > 4 * big.sem  # control


def many_rounds(T):
    return W.accumulate(4, Stage(T=T))


def mixed_rounds(T):
    return W.fresh_real(3, Stage(T=T), Stage(T=T), weight=0.618)


LOGISTIC, POISSON, EXPONENTIAL = LogisticRegression([1.0, -0.5]), PoissonRegression([0.4, 0.2]), Exponential(2.0)


@pytest.mark.parametrize(("model", "build"), [
    (LOGISTIC, many_rounds),
    (POISSON, mixed_rounds),
    (EXPONENTIAL, many_rounds),
    (EXPONENTIAL, mixed_rounds),
    pytest.param(LOGISTIC, mixed_rounds, marks=pytest.mark.heavy),
    pytest.param(POISSON, many_rounds, marks=pytest.mark.heavy),
])  # fmt: skip
def test_regular_models_by_simulation(model, build):
    pipe = build(400)
    fam = ct.Regular(model)
    theory = ct.test_error(pipe, family=fam)
    assert theory.regime == "leading order"
    sim = ct.simulate(pipe, family=fam, trials=500, seed=11)
    value = theory.evaluate()
    assert abs(sim.mean - value) < 4 * sim.sem + 0.03 * value  # 3 % for the next order at 400 rows
    assert abs(sim.mean - 1.5 * value) > 4 * sim.sem + 0.045 * value  # control


def test_efficiency():
    pipe = W.accumulate(3, Stage(T=100))
    assert abs(effective_sample_size(pipe, ct.Regular()) - 100 * 36 / 49) < 1e-10
    assert abs(relative_efficiency(pipe, ct.Regular()) - 36 / 49) < 1e-12
    best = optimal_weights(W.fresh_real(40, Stage(T=100), Stage(T=100)), ct.Regular())
    assert abs(best.shares[-1][0] - (5**0.5 - 1) / 2) < 1e-9
    # every schedule: no other weights do better
    pipe = ct.Pipeline()
    last, rng = ct.TRUTH, np.random.default_rng(0)
    for rows in (10, 40, 20):
        last = pipe.fit([pipe.sample(T=rows), pipe.sample(T=2 * rows, source=last)])
    least = optimal_weights(pipe, ct.Regular()).variances[-1]
    for _ in range(50):
        other, last = ct.Pipeline(), ct.TRUTH
        for rows in (10, 40, 20):
            last = other.fit(
                [other.sample(T=rows), other.sample(T=2 * rows, source=last)], weights=rng.random(2) + 0.01
            )
        assert least <= float(ct.covariances(other, family=ct.Regular())[-1, -1]) + 1e-12


def test_largest_synthetic():
    for fam in (ct.Regular(), ct.Categorical([0.5, 0.5])):
        rows = largest_synthetic(fam, T=100, factor=1.25)
        for size, within in ((rows, True), (rows + 1, False)):
            c = ct.covariances(W.keep_real(400, Stage(T=100), Stage(T=int(size))), family=fam)[-1, -1]
            assert bool(c * 100 <= 1.25 + 1e-12) is within
        assert largest_synthetic(fam, T=100, factor=1) == 0
        assert largest_synthetic(fam, T=100, factor=1.5) == float("inf")
        assert largest_synthetic(fam, T=100, factor=1, real_data="fresh") == float("inf")


def test_symbolic_and_picklable():
    for fam in (ct.Categorical([0.5, 0.5]), ct.Gaussian(), ct.Regular()):
        err = ct.test_error(W.accumulate(2, Stage(T=T)), family=fam)
        assert pickle.loads(pickle.dumps(err)).evaluate(T=5) == err.evaluate(T=5)
        np.testing.assert_allclose(err.evaluate(T=np.array([5, 9])), [
            ct.test_error(W.accumulate(2, Stage(T=t)), family=fam).evaluate() for t in (5, 9)])  # fmt: skip


def test_bad_input():
    fam = ct.Gaussian()
    for stage, word in ((Stage(T=5, noise=0.1), "noise"), (Stage(T=5, ridge=0.1), "ridge")):
        with pytest.raises(ct.PipelineError, match=word):
            ct.test_error(W.accumulate(2, stage), family=fam)
    with pytest.raises(ct.PipelineError, match="design"):
        ct.test_error(W.label_mix(1, Stage(T=5), weight=0.5), family=fam)
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=5))
    pipe.fit(pipe.sample(T=5, source=0.5 * m1))
    with pytest.raises(ct.PipelineError, match=r"sum to 1.*0\.5"):
        ct.covariances(pipe, family=ct.Regular())
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=5))
    pipe.fit(pipe.sample(T=5, source=2 * ct.TRUTH - m1))
    assert ct.covariances(pipe, family=ct.Regular())[1, 1] == sp.Rational(2, 5)
    with pytest.raises(ct.PipelineError, match="non-negative"):
        ct.covariances(pipe, family=fam)
    with pytest.raises(ct.PipelineError, match="model"):
        ct.simulate(W.accumulate(2, Stage(T=5)), family=ct.Regular(), trials=2)
    with pytest.raises(ct.PipelineError, match="method"):
        ct.test_error(W.accumulate(2, Stage(T=5)), family=fam, method="operator")


@pytest.mark.parametrize("fam", [ct.Gaussian(), ct.Categorical([0.5, 0.5]), ct.Regular(Exponential(2.0))], ids=repr)
def test_simulations_need_the_values_of_the_symbols_and_no_others(fam):
    pipe = W.accumulate(1, Stage(T=T0))
    how = {"family": fam, "trials": 2}
    for values, got in (({}, "none"), ({"T": 5}, "T"), ({"T0": 5, "T": 5}, "T, T0")):
        with pytest.raises(ct.DomainError, match=rf"each symbol of the pipeline \(T0\), got {got};"):
            ct.simulate(pipe, **how, **values)
    with pytest.raises(ct.DomainError, match=r"\(none\), got T0;"):
        ct.simulate(W.accumulate(1, Stage(T=5)), **how, T0=5)
    assert ct.simulate(pipe, **how, T0=5).mean == ct.simulate(W.accumulate(1, Stage(T=5)), **how).mean


FAMILY_THEOREMS = sorted(slug for slug in ct.catalog if slug.split("-")[0] in {"token", "gaussian", "regular"})


@pytest.mark.parametrize("slug", FAMILY_THEOREMS)
def test_theorem_menu(slug):
    """Floats equal digits also after many rounds, the pipeline's own calculus agrees, limits are approached."""
    theorem = ct.catalog[slug]
    err = theorem.error
    names = {x.name for x in err.free_symbols}
    at = {k: v for k, v in {"T": 50, "T0": 30, "w": 0.625, "n": 6}.items() if k in names}
    for n in (1, 6, 500):
        point = {**at, "n": n} if "n" in names else at
        value = err.evaluate(**point)
        assert value == pytest.approx(float(err.evaluate(digits=30, **point)), rel=1e-11)
    assert theorem.statement().startswith(r"\begin{theorem}")
    assert theorem.bibtex
    if err.regime != "upper bound" and "n" in names:
        direct = ct.test_error(theorem.pipeline(**at), family=err.family).evaluate()
        assert err.evaluate(**at) == pytest.approx(direct, rel=1e-11)
    for relation in theorem.relations:
        limit = ct.catalog[relation.to].error.evaluate(**{k: v for k, v in at.items() if k != "n"})
        assert err.evaluate(**{**at, "n": 100_000}) == pytest.approx(limit, rel=2e-5)


def test_total_collapse_bound_by_simulation():
    theorem = ct.catalog["token-total-collapse"]
    sim = ct.simulate(theorem.pipeline(T=6, n=20), family=theorem.error.family, trials=1000, seed=2)
    exact = 1 - ct.Categorical([0.25] * 4).total_collapse_probability(T=6, generations=21)
    assert abs(sim.mean - exact) < 4 * sim.sem
    assert exact <= theorem.error.evaluate(T=6, n=20)


def test_without_real_rows_every_round_adds_its_own_variance():
    """At w = 0 the weighted workflow is replace on the synthetic rows; the closed form is no quotient of zeros there."""
    kw = {"T": 40, "T0": 20, "n": 5}
    assert ct.catalog["regular-fresh-real"].error.evaluate(**kw, w=0) == pytest.approx(1 + 5 * 40 / 20, rel=1e-14)
    near = ct.catalog["regular-fresh-real"].error.evaluate(**kw, w=1e-9)
    assert near == pytest.approx(1 + 5 * 40 / 20, rel=1e-7)
