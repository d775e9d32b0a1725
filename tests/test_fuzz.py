"""Whatever is handed to the public face ends in a result or in an error of the package, in bounded time.

The callables are read off ``collapse_theory`` itself, so that a new one takes part; a parameter without a good value below
fails the test until it gets one.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import signal
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
import sympy

import collapse_theory as ct
from collapse_theory.describe import workflows
from collapse_theory.symbols import RESERVED

SECONDS = 20

BAD = {
    "None": None,
    "empty text": "",
    "text": "x",
    "bytes": b"x",
    "complex": 1j,
    "nan": float("nan"),
    "inf": float("inf"),
    "minus one": -1,
    "zero": 0,
    "true": True,
    "empty list": [],
    "empty mapping": {},
    "empty set": set(),
    "object": object(),
    "class": int,
    "function": len,
    "huge": 10**5000,
    "minus huge": -(10**400),
    "large": 10**12,
    "fraction": Fraction(-7, 3),
    "nested": [[1], [2, 3]],
    "deep": [[[[[1.0]]]]],
    "masked": np.ma.masked_less([1.0, -1.0], 0),
    "array": np.arange(6.0).reshape(2, 3),
    "empty array": np.empty((0, 3)),
    "dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "objects": np.array([None, "a"], dtype=object),
    "matrix symbol": sympy.MatrixSymbol("A", 2, 2),
    "matrix": sympy.Matrix([[1, 2], [3, 4]]),
    "noncommutative": sympy.Symbol("q", commutative=False),
    "imaginary": sympy.I * sympy.Symbol("q", real=True),
    "infinite": sympy.oo,
    "undefined": sympy.nan,
    "truth": sympy.true,
    "relation": sympy.Symbol("q") > 1,
    "unknown function": sympy.Function("f")(sympy.Symbol("q")),
    "unfinished sum": sympy.Sum(sympy.Symbol("i"), (sympy.Symbol("i"), 1, sympy.Symbol("n"))),
    "bomb": (sympy.Symbol("q") + 1) ** 1000,
    "reserved": sympy.Symbol("terms"),
    "surrogate": "\ud800",
    "NUL": "a\0b",
    "long text": "x" * 100_000,
}

# What the package makes and a user does not: its methods are called, its constructor is not.
RESULTS = {
    "BreakEven",
    "DeterministicEquivalent",
    "ClaimCheck",
    "Diagnosis",
    "ErrorFormula",
    "Exponents",
    "Fit",
    "Inference",
    "LawFit",
    "Optimum",
    "Rates",
    "Sample",
    "Simulation",
    "Source",
    "Validation",
}
# Containers of functions are opened; exceptions and instances are no callables to call.
EXCEPTIONS = {
    name for name in dir(ct) if isinstance(getattr(ct, name), type) and issubclass(getattr(ct, name), Exception)
}

LAM, T, D = ct.symbols.lam, ct.symbols.T, ct.symbols.d


def chain(ridge=0.1):
    pipe = ct.Pipeline()
    m1 = pipe.fit(pipe.sample(T=12, noise=0.1), ridge=ridge)
    pipe.fit(pipe.sample(T=14, noise=0.1, source=m1), ridge=ridge)
    return pipe


def tokens():
    return ct.workflows.replace(1, ct.Stage(T=9), ct.Stage(T=8))


def engine():
    Z = ct.GaussianMatrix("Z", T, D) * ct.sqrt(ct.Covariance("Sigma", D))
    return (Z.T * Z / T + LAM * sympy.Identity(D)).inv()


SPECTRUM, TARGET = ct.Isotropic(4), ct.RandomTarget()
PIPE, SWEPT = chain(), {"spectrum": SPECTRUM, "target": TARGET, "T": 12, "sigma": 0.1}
CLEAN = ct.catalog["ridge-clean"].error
VALUES = {"T": 12, "lam": 0.1, "sigma": 0.1}

# A good value of every parameter by name; by "callable.parameter" where one name means two things.
GOOD = {
    "time": 2.0, "step": 0.1, "steps": 5, "filter": None, "features": None, "backend": "numpy",
    "T": 12, "d": 4, "n": 1, "noise": 0.1, "ridge": 0.1, "lam": 0.1, "kappa": 0.5, "order": 1, "scale": 1.0, "beta": 1.5,
    "spikes": [3.0, 2.0], "bulk": 1.0, "values": [2.0, 1.0, 0.5, 0.5], "norm2": 1.0, "r": 0.5, "center": True,
    "X": np.random.default_rng(0).standard_normal((9, 3)), "y": np.arange(9.0), "K": np.eye(9), "spectrum": SPECTRUM,
    "target": TARGET, "targets": None, "inputs": None, "kernel": None, "trials": 3, "seed": 0, "jobs": 1, "progress": False,
    "checkpoint": None, "test_covariance": None, "model": None, "family": None, "method": "auto", "threshold": 4.0,
    "formula": CLEAN, "terms": False, "digits": None, "test_noise": None, "p": [0.5, 0.25, 0.25], "relative": False,
    "generations": 2, "token": 0, "below": 0.5, "typical": False, "name": None, "covariance": None, "design": None,
    "source": ct.TRUTH, "weights": None, "k": 1, "weight": 0.5, "stage": ct.Stage(T=9, noise=0.1, ridge=0.1),
    "generator": ct.Stage(T=9), "downstream": ct.Stage(T=9), "real": ct.Stage(T=9), "synthetic": ct.Stage(T=9),
    "ridge_scaling": "normalised", "parameters": {}, "expression": engine(), "covariance_matrix": None,
    "columns": None, "labellers": (ct.TRUTH,), "covariances": (ct.Covariance("Sigma", D),), "change": {}, "most": 3,
    "path": "missing.toml", "slug": "ridge-clean", "key": "ridge-clean", "default": None, "printer": None, "exp": None,
    "load.path": "missing.toml", "GaussianMatrix.name": "Z", "Covariance.name": "Sigma", "Covariance.commuting_with": (),
    "sqrt.covariance": ct.Covariance("Sigma", D), "accumulate.design": "fresh", "diff.name": "lam", "symbol.name": "lam",
    "subs.values": {"lam": 0.5}, "mapped.change": lambda e: e, "Regular.model": None, "pipeline": tokens(),
    "test_error.pipeline": chain(), "covariances.pipeline": tokens(), "covariances.family": ct.Gaussian(),
    "simulate.pipe": chain(), "evaluate.values": VALUES, "validate.values": VALUES, "solve.values": VALUES,
    "simulate.values": {}, "__call__.values": VALUES, "digits.values": VALUES, "samples": None, "pool": None, "doit.spectrum": None,
    "DeterministicEquivalent.evaluate.values": {"T": 12, "lam": 0.1}, "DeterministicEquivalent.solve.values":
    {"T": 12, "lam": 0.1}, "pipeline.parameters": {}, "at.parameters": {}, "ancestors.model": None,
    "theory.pipeline": tokens(), "Linear.theory.pipeline": chain(), "setting": None, "moments.exact": True, "exact": True,
    "err": CLEAN, "over": "lam", "between": None, "optimal_ridge.values": {"T": 12, "sigma": 0.1},
    "optimum.arguments": {"spectrum": SPECTRUM, "target": TARGET, "T": 12, "sigma": 0.1},
    "break_even.over": "sigma", "level": 0.5, "break_even.arguments": {"spectrum": SPECTRUM, "target": TARGET, "T": 12, "lam": 0.1},
    "observed": [1.0, 2.0, 1.5], "errors": [0.1, 0.1, 0.1], "infer.over": "sigma", "infer.values": {"T": 12, "lam": 0.1},
    "infer.arguments": {"spectrum": SPECTRUM, "target": TARGET, "T": 12, "lam": 0.1},
    "loss": np.arange(9.0, 0.0, -1.0), "N": None, "D": np.arange(1.0, 10.0), "draws": 3, "window": (1, 12),
    "fit_exponents.spectrum": ct.PowerLaw(16, beta=1.5), "fit_exponents.target": ct.SourceTarget(r=0.5),
    "fit_law.errors": None, "cut": 100, "narrowed": 2.0, "vocabulary": 200, "T0": 9,
    "text": r"\frac{d}{T}", "notation": None, "claim": "sigma^2", "about": "ridge-clean", "kind": "equals", "term": None,
    "definitions": True, "width": 80, "environment": "align", "latex.options": {"width": 80},
    "along": None, "check_claim.values": {"T": 12, "lam": 0.1}, "check_claim.target": TARGET,
    "alpha": 0.1, "extrapolate": False, "least_noise": 0.1, "rows": 12, "generators": 2, "synthetic_rows": 4,
    "overlaps": None, "certified.values": VALUES, "certified": False, "underbrace": False, "macros": False,
    "measured": "test error", "distance.pipeline": PIPE, "first": PIPE.fits[0], "second": PIPE.fits[1], "Pipeline.features.m": 3,
    "plot.over": "lam", "plot.arguments": {**SWEPT, "lam": [0.1, 0.2]}, "sweep.arguments": {**SWEPT, "lam": [0.1, 0.2]},
    "language": "numpy", "activation": "relu", "function": "relu", "gaussian": False,
    "th_or_err": ct.catalog["ridge-clean"], "scale_exponents": {"a": 1},
}  # fmt: skip


def families():
    return [ct.Categorical([0.5, 0.25, 0.25]), ct.Gaussian(), ct.Regular(), ct.Linear()]


def public():
    """Yield the label and the callable of every public function, constructor and method."""
    for name in sorted(n for n in dir(ct) if not n.startswith("_")):
        thing = getattr(ct, name)
        if name in EXCEPTIONS or not callable(thing) or name in RESULTS:
            continue
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing
    for name in workflows.__all__:
        yield f"workflows.{name}", getattr(workflows, name)
    pipe = chain()
    equivalent = ct.deterministic_equivalent(engine())
    owners = [
        *families(),
        pipe,
        CLEAN,
        CLEAN.compile(spectrum=SPECTRUM, target=TARGET),
        ct.catalog["ridge-clean"],
        equivalent,
    ]
    owners += [
        ct.Tails(1.5, cut=50),
        ct.fit_law(GOOD["loss"], D=GOOD["D"], draws=3),
        ct.diagnose(GOOD["X"], T=5),
        ct.catalog,
        pipe.fits[0],
        pipe.samples[0],
    ]
    for owner in owners:
        for name, method in inspect.getmembers(owner, callable):
            given = getattr(type(owner), name, None)
            module = getattr(inspect.unwrap(given), "__module__", "") if given is not None else ""
            if (not name.startswith("_") or name == "__call__") and (module or "").startswith("collapse_theory"):
                yield f"{type(owner).__name__}.{name}", method


# Hooks between the package's own parts: what calls them has checked.
INTERNAL = {
    "described",
    "trial",
    "error_terms",
    "theory",
    "moments",
    "check",
    "mapped",
    "replaced",
    "ancestors",
    "parameters",
    "raw_terms",
    "arrays",
    "total",
    "copied",
    "tested",
}


def cases():
    for label, call in public():
        if label.split(".")[-1] in INTERNAL:
            continue
        for name, parameter in inspect.signature(call).parameters.items():
            yield pytest.param(label, call, name, parameter, id=f"{label}({name})")


def good(label, name):
    parts = label.split(".")
    for key in (f"{label}.{name}", f"{parts[-1]}.{name}", name):
        if key in GOOD:
            return GOOD[key]
    raise AssertionError(f"{label} has a parameter {name!r} without a good value: add one to GOOD")


def arguments(label, call, name, value):
    """Return positional and named arguments with one of them replaced."""
    positional, named = [], {}
    for other, parameter in inspect.signature(call).parameters.items():
        given = value if other == name else good(label, other)
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += [given] if other == name else list(given)
        elif parameter.kind is parameter.VAR_KEYWORD:
            named |= dict.fromkeys(given, value) if other == name else given
        elif parameter.kind is parameter.KEYWORD_ONLY or (named and parameter.default is not parameter.empty):
            named[other] = given
        else:
            positional.append(given)
    return positional, named


class TooLongError(Exception):
    pass


@contextlib.contextmanager
def time_limit(what):
    def stop(*_):
        raise TooLongError(what)

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.filterwarnings("ignore:.*of the target energy lies:UserWarning")
@pytest.mark.filterwarnings("ignore:.*could not have caught:UserWarning")
@pytest.mark.parametrize(("label", "call", "name", "parameter"), list(cases()))
def test_bad_arguments_are_refused_in_words(label, call, name, parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if label.startswith("Pipeline."):
        call = getattr(chain(), label.split(".")[-1])
        GOOD["samples"] = GOOD["pool"] = call.__self__.samples[:1]
    wrong = []
    for kind, value in BAD.items():
        if parameter.kind is parameter.VAR_KEYWORD and not good(label, name):
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            value_of = itertools.repeat(value)
            given = {k: next(value_of) if i == 0 else v for i, (k, v) in enumerate(good(label, name).items())}
            positional, named = arguments(label, call, "", None)
            named |= given
        else:
            positional, named = arguments(label, call, name, value)
        try:
            with time_limit(kind):
                call(*positional, **named)
        except ct.CollapseTheoryError as e:
            if len(str(e)) > 2500:
                wrong.append(f"{kind}: a message of {len(str(e))} characters")
        except Exception as e:  # noqa: BLE001 - every other exception is what this test looks for
            wrong.append(f"{kind}: {type(e).__name__}: {str(e)[:100]}")
    assert not wrong, "\n".join([f"{label}({name})", *wrong])


def test_names_of_symbols_do_not_meet_names_of_arguments():
    for call in (
        ct.simulate,
        ct.validate,
        ct.check_claim,
        ct.ErrorFormula.evaluate,
        type(CLEAN.compile(spectrum=SPECTRUM, target=TARGET)).__call__,
    ):
        named = {n for n, p in inspect.signature(call).parameters.items() if p.kind is not p.VAR_KEYWORD}
        assert named <= RESERVED
    for name in RESERVED:
        with pytest.raises(ct.PipelineError, match="rename"):
            chain(ridge=sympy.Symbol(name, positive=True))


def test_a_new_function_cannot_be_forgotten():
    assert isinstance(GOOD, Mapping)
    assert {label for label, _ in public()} >= {
        "test_error",
        "simulate",
        "workflows.replace",
        "Categorical.expected_survivors",
    }
