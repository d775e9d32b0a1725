"""Small pipelines against full enumeration of every count vector, written independently of the package."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import collapse_theory as ct

P = [Fraction(1, 2), Fraction(3, 10), Fraction(1, 5)]
W, Stage = ct.workflows, ct.Stage


def compositions(total, parts):
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def multinomial(counts, q):
    value = Fraction(math.factorial(sum(counts)))
    for c, x in zip(counts, q, strict=True):
        value *= Fraction(x) ** c / math.factorial(c)
    return value


def hypergeometric(counts, pool):
    ways = math.prod(math.comb(n, c) for n, c in zip(pool, counts, strict=True))
    return Fraction(ways, math.comb(sum(pool), sum(counts)))


def enumerate_models(pipe, p=P):
    """Return the exact joint law of all models: pairs (probability, models), over every count vector."""
    k = len(p)
    worlds = [(Fraction(1), (), ())]
    nodes = sorted([*pipe.samples, *pipe.fits], key=pipe._nodes.index)
    for node in nodes:
        new = {}
        for probability, rows, models in worlds:
            if isinstance(node, ct.Fit):
                weights = [Fraction(str(float(a))) for a in node.weights]
                total = [
                    sum(a * rows[s.index][t] for a, s in zip(weights, node.samples, strict=True)) for t in range(k)
                ]
                model = tuple(x / sum(total) for x in total)
                key = (rows, (*models, model))
                new[key] = new.get(key, 0) + probability
                continue
            for counts in compositions(int(node.T), k):
                if node.pool:
                    pool = [sum(rows[s.index][t] for s in node.pool) for t in range(k)]
                    chance = hypergeometric(counts, pool)
                else:
                    chance = multinomial(counts, source_of(node, models, p))
                if chance:
                    key = ((*rows, counts), models)
                    new[key] = new.get(key, 0) + probability * chance
        worlds = [(probability, rows, models) for (rows, models), probability in new.items()]
    return [(probability, models) for probability, _, models in worlds]


def source_of(node, models, p):
    def model(m):
        return models[m.index] if isinstance(m, ct.Fit) else p

    if type(node.source).__name__ == "OneOf":
        parts = [(model(m), Fraction(1, len(node.source.labellers))) for m in node.source.labellers]
    else:
        parts = [(model(m), Fraction(str(float(c)))) for m, c in node.source]
    return [sum(c * q[t] for q, c in parts) for t in range(len(p))]


def mixed_source():
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=2))
    m2 = pipe.fit(pipe.sample(T=2, source=0.5 * ct.TRUTH + 0.5 * m1))
    pipe.fit(pipe.sample(T=2, source=ct.one_of(m1, m2, m2)))
    return pipe


def reused():
    pipe = ct.Pipeline()
    a = pipe.sample(T=2)
    m1 = pipe.fit(a)
    b = pipe.sample(T=1, source=m1)
    c = pipe.subsample([a, b], T=2)
    m2 = pipe.fit([a, c], weights=[2, 0.5])
    pipe.fit([b, c, pipe.sample(T=1, source=m2)])
    return pipe


PIPELINES = {
    "replace": lambda: W.replace(2, Stage(T=2), Stage(T=3)),
    "accumulate": lambda: W.accumulate(3, Stage(T=2)),
    "keep_real": lambda: W.keep_real(2, Stage(T=3), Stage(T=2)),
    "fresh_real": lambda: W.fresh_real(1, Stage(T=2), Stage(T=2), weight=0.25),
    "last_k": lambda: W.last_k(3, Stage(T=2), 2),
    "random_past": lambda: W.random_past(3, Stage(T=2)),
    "accumulate_subsample": lambda: W.accumulate_subsample(2, Stage(T=2)),
    "mixed_source": mixed_source,
    "reused": reused,
}


@pytest.fixture(scope="module", params=sorted(PIPELINES))
def case(request):
    pipe = PIPELINES[request.param]()
    return pipe, enumerate_models(pipe)


def test_covariances_of_all_fits(case):
    pipe, worlds = case
    fam = ct.Categorical(P)
    c = ct.covariances(pipe, family=fam)
    gini = 1 - sum(x * x for x in P)
    for a, b in itertools.combinations_with_replacement(range(len(pipe.fits)), 2):
        mean = sum(w * sum(x * y for x, y in zip(m[a], m[b], strict=True)) for w, m in worlds)
        want = (mean - sum(x * x for x in P)) / gini
        assert abs(float(c[a, b]) - float(want)) < 1e-12
        wrong = float(want) * (1 + 1e-6)  # the control: the same check must notice a relative error of 1e-6
        assert not abs(float(c[a, b]) - wrong) < 1e-12 or want == 0


def test_shape_is_that_of_one_row(case):
    pipe, worlds = case
    c = float(ct.covariances(pipe, family=ct.Categorical(P))[-1, -1])
    for s, t in itertools.product(range(len(P)), repeat=2):
        cov = sum(w * m[-1][s] * m[-1][t] for w, m in worlds) - P[s] * P[t]
        assert abs(float(cov) - c * float(P[s] * (s == t) - P[s] * P[t])) < 1e-12


def test_diversity_total_variation_and_distinct_tokens(case):
    pipe, worlds = case
    fam = ct.Categorical(P)
    diversity = sum(w * (1 - sum(x * x for x in m[-1])) for w, m in worlds)
    variation = sum(w * sum(abs(x - y) for x, y in zip(m[-1], P, strict=True)) / 2 for w, m in worlds)
    distinct = sum(w * sum(x > 0 for x in m[-1]) for w, m in worlds)
    assert abs(fam.diversity(pipe) - float(diversity)) < 1e-12
    assert abs(ct.test_error(pipe, family=fam).evaluate() - float(sum(
        w * sum((x - y) ** 2 for x, y in zip(m[-1], P, strict=True)) for w, m in worlds))) < 1e-12  # fmt: skip
    got = fam.total_variation(pipe)
    assert got.exact
    assert abs(got.value - float(variation)) < 1e-12
    got = fam.distinct_tokens(pipe)
    assert got.exact
    assert abs(got.value - float(distinct)) < 1e-12


def test_bounds_contain_the_exact_value(case):
    from collapse_theory.families import token_errors

    pipe, worlds = case
    p = np.array([float(x) for x in P])
    variation = float(sum(w * sum(abs(x - y) for x, y in zip(m[-1], P, strict=True)) / 2 for w, m in worlds))
    got = token_errors.total_variation(pipe, pipe.model(), p, max_work=0)
    assert got.lower <= variation + 1e-12
    assert variation <= got.upper + 1e-12


def test_large_samples_have_the_total_variation_of_gaussian_fluctuations():
    p, T = np.array([0.2, 0.2, 0.6, 0.0]), 5000
    pipe = ct.workflows.replace(0, ct.Stage(T=T), ct.Stage(T=T))
    got = ct.Categorical(p).total_variation(pipe)
    fluctuations = sum(np.sqrt(x * (1 - x) / T) for x in p) * np.sqrt(2 / np.pi) / 2
    assert got.leading_order == pytest.approx(fluctuations, rel=1e-12)
    assert got.value == pytest.approx(fluctuations, rel=1e-3)
    assert got.exact


def test_the_chain_is_run_where_its_work_allows(monkeypatch):
    """Fits times different frequencies times T**1.5 units of work."""
    from collapse_theory.families import token_errors

    p, pipe = np.array([0.2, 0.2, 0.6]), ct.workflows.replace(2, ct.Stage(T=4), ct.Stage(T=4))
    want = ct.Categorical(p).total_variation(pipe).value
    for work, method in ((48, "Wright-Fisher chain"), (47, "elimination")):
        monkeypatch.setattr(token_errors, "_CHAIN_WORK", work)
        got = token_errors.total_variation(pipe, pipe.model(), p)
        assert (got.method, got.value) == (method, pytest.approx(want, rel=1e-12))


@pytest.mark.parametrize("T", [1, 2, 3, 4])
def test_collapse_and_survival(T):
    fam = ct.Categorical(P)
    worlds = {tuple(P): Fraction(1)}
    for m in range(1, 5):
        new = {}
        for q, w in worlds.items():
            for counts in compositions(T, len(P)):
                chance = multinomial(counts, q)
                if chance:
                    key = tuple(Fraction(c, T) for c in counts)
                    new[key] = new.get(key, 0) + w * chance
        worlds = new
        collapsed = float(sum(w for q, w in worlds.items() if max(q) == 1))
        survivors = float(sum(w * sum(x > 0 for x in q) for q, w in worlds.items()))
        rare = float(sum(w for q, w in worlds.items() if q[2] > 0))
        assert abs(fam.total_collapse_probability(T=T, generations=m) - collapsed) < 1e-12
        assert abs(fam.expected_survivors(T=T, generations=m) - survivors) < 1e-12
        assert abs(fam.survival_probability(2, T=T, generations=m) - rare) < 1e-12
        assert fam.survival_lower_bound(2, T=T, generations=m) <= rare + 1e-15
    curve = fam.total_collapse_probability(T=T, generations=np.arange(4000))
    assert abs(fam.mean_collapse_time(T=T) - float((1 - curve).sum())) < 1e-9
    pmf = fam.collapse_time_probability(T=T, generations=np.arange(10))
    np.testing.assert_allclose(np.cumsum(pmf), curve[:10], atol=1e-14)


def test_random_past_labels_row_by_row():
    """A draw for each row gives prod (1 - 1/(T j^2)), one draw per round prod (1 - 1/(T j))."""
    T, k = 2, 3
    pipe = W.random_past(k, Stage(T=T))
    worlds = enumerate_models(pipe)
    left = float(sum(w * (1 - sum(x * x for x in m[-1])) for w, m in worlds) / (1 - sum(x * x for x in P)))
    assert abs(left - math.prod(1 - 1 / (T * j * j) for j in range(1, k + 1))) < 1e-12
    assert abs(left - math.prod(1 - 1 / (T * j) for j in range(1, k + 1))) > 0.01

    rounds = []
    for choice in itertools.product(*(range(j + 1) for j in range(k))):  # which past model labels round j
        pipe, past = ct.Pipeline(), [ct.TRUTH]
        for m in choice:
            past.append(pipe.fit(pipe.sample(T=T, source=past[m])))
        rounds.append(1 - float(ct.covariances(pipe, family=ct.Gaussian())[-1, -1]))
    assert abs(np.mean(rounds) - math.prod(1 - 1 / (T * j) for j in range(1, k + 1))) < 1e-12
