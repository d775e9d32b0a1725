"""A symbol's name is a user's choice: it changes no number, whatever the package calls its own symbols."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
from sympy import Identity, Symbol

import collapse_theory as ct
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.symbols import (
    Generated,
    T,
    d,
    effective_ridge_scalar,
    implicit_scalar,
    intermediate,
    kappa,
    lam,
    literal,
    step,
    trace_scalar,
    unshared,
)

HOW = {"spectrum": ct.PowerLaw(12, beta=1.0), "target": ct.RandomTarget(norm2=1.0)}
GENERATED = [step(1), literal("T", 1), literal("ridge", 2), intermediate("t_{21}"), trace_scalar(1), implicit_scalar(1)]
GENERATED += [effective_ridge_scalar(1)]
NAMES = [
    *("lam_0", "lam_1", "kappa", "kappa_0", "kappa_1", "T_1", "Sigma", "Z_0", "w0", "epsilon", "measure"),  # ours
    *("lambda", "in", "class", "I", "E", "S", "pi", "sqrt", "exp", "numpy", "x0", "_Dummy_1"),  # Python's and SymPy's
    *("a coefficient", "é", "α", "1", "", "a-b", "test noise"),  # no identifiers
    *(x.name for x in GENERATED),
]


def shared_inputs(c):
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.3)
    first = pipe.fit(real, ridge=0.1)
    pipe.fit([real, pipe.sample(T=50, noise=0.2, source=c * first)], ridge=0.02)
    return ct.test_error(pipe)


def chain(c):
    pipe = ct.Pipeline()
    first = pipe.fit(pipe.sample(T=60, noise=c), ridge=c)
    pipe.fit(pipe.sample(T=50, noise=0.2, source=first), ridge=0.02)
    return ct.test_error(pipe)


def condition(c):
    """Two conditions are checked at evaluation, one of them with a literal in it."""
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=20 + c, noise=0.5))
    return ct.test_error(pipe)


@pytest.mark.parametrize("build", [shared_inputs, chain, condition])
def test_names_change_no_number(build):
    want = build(Symbol("alpha", nonnegative=True)).evaluate(**HOW, alpha=0.5)
    for i, name in enumerate(NAMES[:: 2 if build is chain else 5]):
        error = build(Symbol(name, nonnegative=True))
        predict = pickle.loads(pickle.dumps(error.compile(**HOW)))
        got = [error.evaluate(**HOW, **{name: 0.5}), predict(**{name: np.array([0.5])})[0]]
        if build is chain and i % 4 == 0:
            got.append(float(error.evaluate(**HOW, **{name: 0.5}, digits=16)))
            assert error.latex()
        np.testing.assert_allclose(got, want, rtol=1e-12, err_msg=name)
        assert {x.name for x in error.free_symbols} <= {name, "d"}


@pytest.mark.parametrize("name", ["lam_1", "kappa_1", "theta_1"])
def test_names_do_not_change_what_is_written_out(name):
    c = Symbol(name, nonnegative=True)
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=60, noise=c), ridge=c)
    error = ct.test_error(pipe, method="free-probability")
    got = error.doit().evaluate(**HOW, **{name: 0.5})
    np.testing.assert_allclose(got, error.evaluate(**HOW, **{name: 0.5}), rtol=1e-8)


@pytest.mark.parametrize("name", ["alpha", "Sigma", "Z", "kappa_1", "tau_1", "theta_1", "lambda", "root_alpha", "x0"])
def test_names_in_expressions(name):
    c = Symbol(name, positive=True)
    Z, Sigma = ct.GaussianMatrix("Z", T, d), ct.Covariance("Sigma", d)
    X = Z * ct.sqrt(Sigma)
    R = (X.T * X / T + c * Identity(d)).inv()
    equivalent = ct.deterministic_equivalent(c * R * Sigma * R)
    how = {"spectrum": HOW["spectrum"], "T": 8, name: 0.3}
    values = equivalent.evaluate(**how)
    kappa_ = ct.effective_ridge(HOW["spectrum"], T=8, lam=0.3)
    s = HOW["spectrum"].eigenvalues
    want = kappa_**2 * s / (s + kappa_) ** 2 / (1 - ((s / (s + kappa_)) ** 2).sum() / 8) / 0.3
    np.testing.assert_allclose(values, want, rtol=1e-12)
    formula = ct.ErrorFormula({"trace": equivalent.trace()}, "proportional")
    np.testing.assert_allclose(formula.evaluate(**how), want.sum(), rtol=1e-12)


@pytest.mark.parametrize("name", ["spectrum", "target", "terms", "digits", "test_noise"])
def test_arguments_of_evaluate_are_no_names_of_symbols(name):
    x = Symbol(name, nonnegative=True)
    with pytest.raises(ct.PipelineError, match="rename"):
        chain(x)
    with pytest.raises(ct.DomainError, match="rename"):
        ct.ErrorFormula({"value": x}, "exact")


@pytest.mark.parametrize("x", GENERATED)
def test_generated_symbols_are_equal_to_none_that_a_user_can_make(x):
    assert isinstance(x, Generated)
    user = Symbol(x.name, **x._assumptions_orig)
    assert user != x
    assert len({user, x}) == 2
    assert (x - user) != 0
    assert pickle.loads(pickle.dumps(x)) == x
    assert pickle.loads(pickle.dumps(user)) == user


def test_printed_names_are_unshared():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=60, noise=kappa), ridge=0.1)
    (equation,) = ct.test_error(pipe).implicit
    assert equation.has(Symbol("kappa_1", nonnegative=True))
    assert not equation.has(kappa)
    assert unshared(kappa, set()) == kappa


def test_source_is_generated_in_one_place():
    """Every compilation to source goes through positions; a call elsewhere would bring the names back."""
    package = Path(ct.__file__).parent
    callers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import) and any(a.name == "lambdify" for a in node.names)
    }
    assert callers == {"numerics/compiled.py"}


def test_two_symbols_of_one_name_keep_their_places():
    x, y = Symbol("x"), Symbol("x", positive=True)
    assert numeric_function([x, y], [x - 2 * y, y])(5, 1) == [3, 1]
    assert lam.name == "lam"
