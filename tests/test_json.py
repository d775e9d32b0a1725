"""A formula as JSON text and back: the same formula, and a place for everything that is malformed."""

import json

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.symbols import T, lam, n, spelled, symbol_of
from tests.helpers import drawn, theorem

QUICK = {
    "gaussian-accumulate", "gaussian-fresh-real", "minnorm-replace", "ols-accumulate-limit", "random-features-ridge",
    "regular-fresh-real-golden", "ridge-accumulate", "ridge-chain", "ridge-replace", "strong-collapse", "token-total-collapse",
}  # fmt: skip
ENTRIES = [slug if slug in QUICK else pytest.param(slug, marks=pytest.mark.heavy) for slug in sorted(ct.catalog)]


def back(err):
    return ct.from_json(err.to_json())


def same(read, err):
    """Assert that a formula says the same, its pipeline compared by what is derived from it."""
    for name in ("parts", "conditions", "numbers", "bindings", "remedies", "regime", "method", "references", "name"):
        assert getattr(read, name) == getattr(err, name), name
    for name in ("dropped", "derivative", "isotropic", "test_covariance"):
        assert getattr(read, name) == getattr(err, name), name
    assert list(read.parts) == list(err.parts)
    assert (read.pipeline is None) == (err.pipeline is None)


@pytest.mark.parametrize("slug", ENTRIES)
def test_a_theorem_is_read_back_as_itself(slug):
    err, spectra, values = theorem(slug)
    read = back(err)
    assert read == err
    same(read, err)
    at = {"spectrum": spectra, "target": ct.RandomTarget(), **values} if spectra else values
    assert read.evaluate(**at) == err.evaluate(**at)


@pytest.mark.parametrize(
    "slug", ["ridge-replace", "ridge-accumulate-constant", "ols-accumulate", "gaussian-fresh-real"]
)
def test_derivatives_and_single_rounds_are_read_back(slug):
    err = ct.catalog[slug].at(2)
    same(back(err), err)
    name = next(x.name for x in sorted(err.free_symbols, key=str) if x.is_integer is None)
    same(back(err.diff(name)), err.diff(name))
    assert back(err).diff(name).parts == err.diff(name).parts


@pytest.mark.parametrize(
    "make",
    [
        lambda: ct.read_latex(ct.catalog["ridge-replace"].error.latex()),
        lambda: ct.catalog["ridge-chain"].error.diff("lam"),
        ct.catalog["ridge-chain"].error.corrected,
        lambda: ct.catalog["ridge-replace"].error.subs({"lam": 2 * lam, "T": 30}),
        lambda: ct.catalog["ridge-clean"].error.doit(ct.Spiked(d=9, spikes=[3.0], bulk=1.0)),
        pytest.param(
            lambda: ct.catalog["ridge-chain"].error.doit(ct.Spiked(d=9, spikes=[3.0], bulk=1.0)),
            marks=pytest.mark.heavy,
        ),
        lambda: ct.read_latex(drawn(7)[0].latex()),
        lambda: drawn(1)[0].diff("lam"),
    ],
)
def test_formulas_of_every_kind_are_read_back(make):
    err = make()
    same(back(err), err)


@pytest.mark.heavy
@pytest.mark.parametrize("slug", sorted(ct.catalog))
def test_every_theorem_prints_alike(slug):
    err = ct.catalog[slug].error
    assert back(err).latex() == err.latex()
    if n in err.free_symbols:
        unfolded = ct.catalog[slug].at(2)
        same(back(unfolded), unfolded)
        assert back(unfolded).latex() == unfolded.latex()


@pytest.mark.parametrize("seed", range(30))
def test_a_pipeline_is_read_back(seed):
    err, spectra, values = drawn(seed)
    read = back(err)
    same(read, err)
    at = {"spectrum": spectra, "target": ct.RandomTarget(), **values}
    assert read.evaluate(**at) == err.evaluate(**at)
    if seed in {0, 5}:
        assert read.latex() == err.latex()
        assert read.diff("lam").parts == err.diff("lam").parts
    assert back(read).to_json() == err.to_json()


def test_the_pipeline_comes_along():
    """Simulation, the model that is tested, and the family."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=30, noise=0.3)
    first = pipe.fit(real, ridge=lam)
    same_inputs = pipe.sample(design=real, noise=0.2, source=0.6 * ct.TRUTH + 0.4 * first)
    pipe.fit([real, same_inputs], weights=[1.5, 0.75], ridge=0.1)
    pipe.fit(real)
    err = ct.test_error(pipe, pipe.fits[1])
    read = back(err)
    assert (read.model.name, len(read.pipeline().nodes)) == ("m2", 5)
    assert [repr(s.source) for s in read.pipeline().samples] == [repr(s.source) for s in pipe.samples]
    assert read.pipeline().fits[1].weights == pipe.fits[1].weights
    tokens = ct.test_error(ct.workflows.random_past(2, ct.Stage(T=10)), family=ct.Categorical([0.25, 0.75]))
    assert back(tokens).evaluate() == tokens.evaluate()
    assert list(back(tokens).family.p) == [0.25, 0.75]
    pool = ct.test_error(ct.workflows.accumulate_subsample(2, ct.Stage(T=10)), family=ct.Gaussian(d=3))
    assert (back(pool).family, back(pool).evaluate()) == (ct.Gaussian(d=3), pool.evaluate())


def test_what_text_cannot_say_is_refused():
    class Model:
        truth = information = sample = fit = None

    err = ct.test_error(ct.workflows.accumulate(2, ct.Stage(T=10)), family=ct.Regular(Model()))
    with pytest.raises(ct.DomainError, match=r"to_json needs a family.*use pickle"):
        err.to_json()


@given(
    st.fixed_dictionaries({}, optional={"positive": st.booleans(), "integer": st.booleans(), "nonzero": st.booleans()})
)
def test_a_symbol_is_its_spelling(assumptions):
    try:
        x = symbol_of("parameter", "x", assumptions)
    except ValueError:  # they contradict each other
        reject()
    assert symbol_of(*spelled(x)) == x


def changed(**parts):
    body = json.loads(ct.catalog["ridge-clean"].error.to_json())
    return json.dumps({k: v for k, v in {**body, **parts}.items() if v is not Ellipsis})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1"),
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ("[]", "the whole text: this needs to be a table"),
        ("[" * 100_000, "nested too deeply"),
        (7, "from_json needs text"),
        ('{"name": 1, "name": 2}', "the key 'name' occurs twice"),
        ('{"name": NaN}', "NaN is no number"),
        ("1" * 5000, "digits"),
        (changed(terms=...), "the key 'terms' is missing"),
        (changed(extra=1), "no key is called 'extra'"),
        (changed(format="other"), "format: this needs to be 'collapse-theory formula 1'"),
        (changed(regime="exakt"), "regime: no regime is called 'exakt'; did you mean 'exact'?"),
        (changed(terms={"bias": ["*", 2, "sigmma"]}), r"terms.bias\[2\]: a symbol needs.*did you mean 'sigma'"),
        (changed(terms={"bias": ["system", "T"]}), "terms.bias: nothing is called 'system'"),
        (changed(terms={"bias": "__import__('os')"}), "terms.bias: a symbol needs to be in the table"),
        (changed(terms={"bias": ["^", 9, 999999]}), "terms.bias: an exact power may have at most"),
        (changed(terms={"bias": ["^", 0, -1]}), "terms.bias: zero has positive powers only"),
        (changed(terms={"bias": ["gamma", 100000]}), "exact arguments and bounds may be at most 1000"),
        (changed(terms={"bias": ["/", 1, 0]}), "needs two whole numbers"),
        (changed(terms={"bias": True}), "an expression is a number, the key of a symbol, or a list"),
        (changed(terms={"bias": [">=", "T", 1]}), "terms.bias: this needs to be a scalar"),
        (changed(terms={"bias": ["+", [">=", "T", 1], 1]}), 'terms.bias: "\\+" has an argument of another kind'),
        (changed(terms={"bias": "Sigma"}), "terms.bias: Sigma may stand inside what binds it only"),
        (changed(terms={"bias": ["EffectiveRidge", "T"]}), "EffectiveRidge has no such arguments"),
        (changed(terms={"bias": ["PipelineBias", "T", 1]}), "a scalar has arguments that it cannot have"),
        (changed(terms={"bias": ["Slope", "T"]}), "a scalar has arguments that it cannot have"),
        (changed(terms={"bias": ["rule", "ols-replace"]}), "a rule needs the slug of a theorem without a closed form"),
        (changed(conditions=[{"holds": "T"}]), r"conditions\[0\].holds: this needs to be a condition"),
        (changed(symbols={"T": {"positiv": True}}), "symbols.T: an assumption is one of SymPy's.*did you mean 'positive'"),
        (changed(symbols={"T": {"positive": True, "negative": True}}), "symbols.T"),
        (changed(pipeline={"theorem": "ols-replace"}), "pipeline: this needs to be null"),
        (changed(pipeline={"model": None, "nodes": [{"fit": "m", "data": ["x"]}]}), r"nodes\[0\].data: this needs a node before"),
        (changed(pipeline={"model": None, "nodes": [{"sample": "s", "T": -1, "source": []}]}), r"nodes\[0\]: T needs"),
        (changed(family={"name": "Categorical", "p": [2], "relative": False}), "family: p needs to sum to 1"),
    ],
)  # fmt: skip
def test_malformed_text_names_its_place(text, message):
    with pytest.raises(ct.ParseError, match=message):
        ct.from_json(text)


def test_symbols_of_one_name_stay_apart():
    """The common eigenvalue and a user's symbol of the same name."""
    err = ct.catalog["ridge-clean"].error
    other = err.subs({"sigma": symbol_of("parameter", "Sigma", {"nonnegative": True})})
    assert back(other) == other
    assert T in back(other).free_symbols
