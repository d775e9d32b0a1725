"""Exported source gives the value of the formula: NumPy in a process of its own, Julia and SymPy by readers of their own."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import sympy
from hypothesis import given, settings

import collapse_theory as ct
from collapse_theory.present import code_julia, numpy_parts
from collapse_theory.symbols import declared, lam, sigma, symbol_of
from tests.helpers import OTHER, SPECTRUM, TARGET, D, drawn, problems, theorem
from tests.julia_reader import Julia, JuliaError

CASES = [
    "ols-accumulate",
    "random-features-ridge",
    "ridge-accumulate",
    "ridge-chain",
    "ridge-replace",
    "strong-collapse",
    1,
    7,
]
ENERGIES = np.linspace(1, 2, D)


def eigenvalues(spectrum):
    if spectrum is SPECTRUM:
        return np.arange(1, D + 1) ** -1.2
    return np.linspace(2, 0.2, D) if spectrum is OTHER else np.ones(D)


def arrays(spectra):
    """Return what the arrays of a source hold, by their names."""
    found = {name: eigenvalues(x) for name, x in (spectra or {}).items()}
    return {**found, "s": found.get("Sigma"), "w2": ENERGIES}


def named(n):
    """Return the n-th drawn case: a theorem by its slug, a pipeline by its seed."""
    return theorem(n) if isinstance(n, str) else drawn(n)


def value(err, spectra, values):
    return err.evaluate(**({"spectrum": spectra, "target": TARGET} if spectra else {}), **values)


ALL = [*ct.catalog, *range(30)]


def light(cases, but=()):
    """Return all cases, those other than the given ones for the heavy suite."""
    return [x if x in cases else pytest.param(x, marks=pytest.mark.heavy) for x in ALL if x not in but]


PROGRAM = """
import inspect, json, sys
import numpy as np
for case in json.load(sys.stdin):
    names = {}
    exec(compile(case["source"], case["name"], "exec"), names)
    f = names["test_error"]
    taken = inspect.signature(f).parameters
    known = {k: np.array(v) for k, v in case["arrays"].items()} | case["values"]
    given = {k: v for k, v in known.items() if k in taken}
    print(repr(f(**given)))
assert not {"collapse_theory", "sympy", "scipy"} & sys.modules.keys()
"""


def numpy_values(cases):
    """Return the values of sources in one process that knows NumPy alone."""
    sent = []
    for name in cases:
        err, spectra, values = named(name)
        known = {k: v.tolist() for k, v in arrays(spectra).items() if v is not None}
        sent.append(
            {
                "name": str(name),
                "source": err.code("numpy"),
                "arrays": known,
                "values": {"d": D, **{k: v if isinstance(v, int) else float(v) for k, v in values.items()}},
            }
        )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", PROGRAM],
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(x) for x in done.stdout.split()]


def agree(cases, got, tolerance):
    for name, x in zip(cases, got, strict=True):
        want = value(*named(name))
        assert abs(x - want) <= tolerance * abs(want), (name, x, want)


def test_numpy_source_alone_gives_the_value():
    agree(CASES, numpy_values(CASES), 1e-10)


@pytest.mark.heavy
def test_numpy_source_of_every_theorem_and_many_pipelines():
    agree(ALL, numpy_values(ALL), 1e-10)


def function(err):
    names = {}
    exec(err.code("numpy"), names)
    return names["test_error"]


CLEAN = ct.catalog["ridge-clean"].error


@settings(max_examples=25)
@given(problems())
def test_numpy_source_holds_on_the_whole_domain(problem):
    s, w2, T, ridge = problem
    want = CLEAN.evaluate(spectrum=ct.Eigenvalues(s), target=ct.Energies(w2), T=T, lam=ridge, sigma=0.3)
    assert abs(SOURCE(np.array(s), np.array(w2), T=T, lam=ridge, sigma=0.3) - want) <= 1e-10 * want


SOURCE = function(CLEAN)


@pytest.mark.parametrize(
    ("slug", "values"),
    [
        ("ridge-chain", {"T": D - 1, "T0": D + 1, "lam": 0, "lam0": 0, "n": 30, "sigma": 0.5, "sigma0": 0.3}),
        ("ridge-chain", {"T": 40, "T0": 5, "lam": 1e-9, "lam0": 0.1, "n": 0, "sigma": 0.5, "sigma0": 0.3}),
        ("random-features-ridge", {"T": 20, "m": 8, "lam": 0, "sigma": 0.5}),
        ("random-features-ridge", {"T": 8, "m": 20, "lam": 0, "sigma": 0.5}),
        ("random-features-ridge", {"T": 20, "m": 20, "lam": 1e-9, "sigma": 0.5}),
        ("ridge-accumulate", {"T": 5, "lam": 0, "n": 4, "sigma": 0.5}),
        ("ridge-same-design", {"T": 9, "lam": 1e-6, "lam0": 0, "n": 0, "sigma": 0.5, "sigma0": 0.3}),
        ("ridge-same-design", {"T": 9, "lam": 1e-6, "lam0": 0, "n": 5, "sigma": 0.5, "sigma0": 0.3}),
    ],
)
def test_numpy_source_at_the_edges(slug, values):
    err = ct.catalog[slug].error
    got = function(err)(eigenvalues(SPECTRUM), ENERGIES, **values)
    assert got == pytest.approx(value(err, {"Sigma": SPECTRUM}, values), rel=1e-10)


def weighted(count, ridge):
    """Return fits that share a sample and weigh it."""
    pipe, fits = ct.Pipeline(), []
    real = pipe.sample(T=20, noise=0.3)
    for _ in range(count):
        fake = pipe.sample(T=10, noise=sigma, source=0.6 * fits[-1] + 0.4 * ct.TRUTH if fits else ct.TRUTH)
        fits.append(pipe.fit([real, fake], weights=[1.5, 0.5], ridge=ridge))
    return ct.test_error(pipe)


def distilled(rounds):
    """Return fits on one design whose labels are used again, some with a noise of their own."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=20, noise=sigma)
    model = pipe.fit(real, ridge=lam)
    for i in range(rounds):
        soft = pipe.sample(design=real, noise=0.2 * (i % 2), source=0.4 * real.labels + 0.6 * model)
        model = pipe.fit(soft, ridge=0.2)
    return ct.test_error(pipe)


LONG = {
    "labels used again": distilled(4),
    "weights": weighted(2, lam),
    "more fits than lines": ct.test_error(ct.workflows.keep_real(5, ct.Stage(20, sigma, lam), ct.Stage(9, 0.3, 0.1))),
    "stages of their own": ct.test_error(ct.workflows.replace(5, ct.Stage(20, 0.2, 0.3), ct.Stage(9, sigma, lam))),
    "labellers": ct.test_error(ct.workflows.fresh_real(4, ct.Stage(20, sigma, lam), ct.Stage(9, 0.3, 0.1))),
}


@pytest.mark.parametrize("name", LONG)
def test_source_of_longer_pipelines(name):
    want = value(LONG[name], {"Sigma": SPECTRUM}, {"lam": 0.01, "sigma": 0.4})
    got = function(LONG[name])(eigenvalues(SPECTRUM), ENERGIES, lam=0.01, sigma=0.4)
    assert got == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("slug", ["ridge-replace", "ridge-clean"])
def test_source_of_derivatives_and_of_what_is_read(slug):
    err = ct.catalog[slug].error.diff("lam")
    values = {"T": 20, "T0": 30, "n": 2, "lam": 0.1, "sigma": 0.5, "sigma0": 0.3}
    values = {k: v for k, v in values.items() if k in {x.name for x in err.free_symbols | set(err.dropped)}}
    own = {k: v for k, v in values.items() if k in {x.name for x in err.free_symbols}}
    want = value(err, {"Sigma": SPECTRUM}, values)
    for one in (err, ct.read_latex(err.latex())):
        assert function(one)(eigenvalues(SPECTRUM), ENERGIES, **own) == pytest.approx(want, rel=1e-10)


def test_what_numpy_source_refuses():
    with pytest.raises(ValueError, match="ols-replace needs T >= d \\+ 2, got T=5, T0=40, d=10, n=1"):
        function(ct.catalog["ols-replace"].error)(T=5, T0=40, d=10, n=1, sigma=1, sigma0=1)
    with pytest.raises(ValueError, match="strong-collapse needs p1 \\+ p2 == 1"):
        function(ct.catalog["strong-collapse"].error)(
            np.ones(3), np.ones(3), np.ones(3), N=9, lam=1, p1=0.5, p2=0.6, sigma=1
        )
    with pytest.raises(ValueError, match="needs a whole number n"):
        function(ct.catalog["ridge-replace"].error)(np.ones(3), np.ones(3), T=9, T0=9, lam=1, n=1.5, sigma=1, sigma0=1)
    with pytest.raises(ValueError, match="without a ridge T needs to differ from the rank, got T=3"):
        SOURCE(np.ones(3), np.ones(3), T=3, lam=0, sigma=1)
    with pytest.raises(ArithmeticError, match="give it a positive ridge"):
        function(weighted(1, 0))(np.ones(3), np.ones(3), sigma=1)


def test_a_name_that_a_language_has_taken_gets_another():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=declared("end"), noise=declared("lambda")), ridge=declared("kappa"))
    err = ct.test_error(pipe)
    assert "def test_error(s, w2, *, end, kappa, lambda_):" in err.code("numpy")
    assert "lambda_ stands for lambda." in err.code("numpy")
    assert "function test_error(s, w2; end_, kappa, lambda)" in err.code("julia")
    got = function(err)(np.ones(4), np.ones(4), end=9, lambda_=0.1, kappa=0.2)
    assert got == pytest.approx(
        err.evaluate(
            spectrum=ct.Isotropic(4), target=ct.Energies(np.ones(4)), **{"end": 9, "lambda": 0.1, "kappa": 0.2}
        )
    )


def test_a_name_never_becomes_code():
    """Names come from users and from files: they stand in strings, comments and identifiers."""
    bad = symbol_of("parameter", '"); raise SystemExit("', {"nonnegative": True})
    err = replace(CLEAN.subs({"sigma": bad}), name='x"""\nraise SystemExit #')
    for language in ("numpy", "sympy"):
        exec(err.code(language), {})
    assert "\nraise" not in err.code("julia")
    assert sympy_value(
        err.code("sympy"), {"Sigma": SPECTRUM}, {"T": 20, "lam": 0.1, "raiseSystemExit": 0.5}
    ) == pytest.approx(value(CLEAN, {"Sigma": SPECTRUM}, {"T": 20, "lam": 0.1, "sigma": 0.5}))


@pytest.mark.parametrize(
    ("make", "language", "message"),
    [
        (
            lambda: CLEAN,
            "fortran",
            "code needs a language that it writes, got 'fortran'; valid: julia, numpy, sympy, unicode",
        ),
        (lambda: CLEAN, "nunpy", "did you mean 'numpy'"),
        (
            lambda: ct.catalog["ridge-chain"].error.diff("lam"),
            "numpy",
            "got a derivative of one in ridge-chain; take differences",
        ),
        (
            lambda: ct.catalog["ridge-accumulate"].error.diff("lam"),
            "julia",
            "got a derivative of one in ridge-accumulate",
        ),
        (CLEAN.corrected, "numpy", "write the formula before corrected"),
        (
            lambda: CLEAN.doit(ct.Spiked(d=9, spikes=[3.0], bulk=1.0)),
            "numpy",
            r"write the formula before doit\(spectrum\)",
        ),
        (lambda: ct.catalog["ridge-accumulate"].error, "sympy", r"without loops.*unfold it with th.at\(n=3\)"),
    ],
)
def test_what_has_no_source_says_so(make, language, message):
    with pytest.raises(ct.DomainError, match=message):
        make().code(language)


# ---------------------------------------------------------------- the parts
@pytest.mark.parametrize("x", [0.3, 1.0, 7.5, 1e6])
@pytest.mark.parametrize("h", [0.2, -0.1, 3.0, 1e-9])
def test_special_functions_of_the_parts(x, h):
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 40
    a, b = mp.mpf(x), mp.mpf(h)
    assert numpy_parts.gamma_ratio(x, h) == pytest.approx(float(mp.gammaprod([a + b], [a])), rel=1e-13)
    assert numpy_parts.digamma_difference(x, h) == pytest.approx(float(mp.digamma(a + b) - mp.digamma(a)), rel=1e-12)
    for order in (0, 1, 2):
        assert numpy_parts.polygamma(order, x) == pytest.approx(float(mp.psi(order, a)), rel=1e-12)


# ---------------------------------------------------------------- Julia
def julia(source):
    language = pytest.importorskip(
        "tree_sitter_julia", reason="a grammar of Julia: pip install tree-sitter tree-sitter-julia"
    )
    tree_sitter = pytest.importorskip("tree_sitter")
    return Julia(source, tree_sitter.Parser(tree_sitter.Language(language.language())))


def julia_value(err, spectra, values):
    source = err.code("julia")
    head = re.search(r"function test_error\((.*)\)", source)[1].split(";")
    first = [x.strip() for x in head[0].split(",") if x.strip()]
    taken = re.findall(r"\w+", head[-1]) if len(head) > 1 else []
    known = arrays(spectra)
    return julia(source).call(
        "test_error", *(known[x].copy() for x in first), **{k: v for k, v in {"d": D, **values}.items() if k in taken}
    )


@pytest.mark.parametrize(
    "name",
    light({"ridge-chain", "ridge-accumulate", "random-features-ridge", 7}),
)
def test_julia_source_gives_the_value(name):
    agree([name], [julia_value(*named(name))], 1e-10)


def test_julia_refuses_too():
    run = julia(CLEAN.code("julia"))
    with pytest.raises(JuliaError, match="ridge-clean needs T > 0, got T=-1"):
        run.call("test_error", np.ones(3), np.ones(3), T=-1, lam=1, sigma=1)


@pytest.mark.parametrize("name", CASES)
def test_julia_source_is_whole(name):
    """Every block ends, every bracket closes, every part that is called is there: also where no grammar is installed."""
    source = named(name)[0].code("julia")
    code = re.sub(r'""".*?"""', "", source, flags=re.DOTALL)
    code = re.sub(r'"[^"\n]*"|#[^\n]*', "", code)
    opened = len(re.findall(r"(?m)^\s*(?:function|for|while|if)\b", code))
    assert opened == len(re.findall(r"(?m)^\s*end$", code)) > 0
    for pair in ("()", "[]"):
        assert code.count(pair[0]) == code.count(pair[1])
    called = set(re.findall(r"\b([a-z]\w*)\(", code)) & set(code_julia._parts())
    assert called <= set(re.findall(r"function (\w+)\(", code))


# ---------------------------------------------------------------- SymPy
def sympy_value(source, spectra, values):
    """Solve the equations of a script one after the other, the implicit ones by plain iteration from above."""
    names = {}
    exec(source, names)
    known = {names[k]: sympy.Float(v) for k, v in {"d": D, **values}.items() if isinstance(names.get(k), sympy.Symbol)}
    held = {
        names[k]: v for k, v in arrays(spectra).items() if isinstance(names.get(k), sympy.Indexed) and v is not None
    }
    bound = {x for a in held for x in a.free_symbols} | set(held)

    def number(e, at):
        e = e.xreplace({**known, **at})
        sums = {x: sympy.lambdify(list(held), x.function, "numpy")(*held.values()) for x in e.atoms(sympy.Sum)}
        return float(e.xreplace({x: sympy.Float(np.sum(y * np.ones(D))) for x, y in sums.items()}))

    waiting = []
    for eq in names["equations"]:
        waiting.append(eq)
        unknown = {x for e in waiting for x in e.free_symbols} - known.keys() - bound
        if len(unknown) > len(waiting):
            continue
        at, before = dict.fromkeys((e.lhs for e in waiting), sympy.Float(50)), None
        while at != before:
            before, at = at, {e.lhs: sympy.Float(number(e.rhs, at)) for e in waiting}
            if all(abs(at[x] - before[x]) <= 1e-14 * at[x] for x in at):
                break
        known.update(at)
        waiting = []
    assert all(c.xreplace(known) in (True, sympy.true) for c in names["conditions"])
    return number(names["error"], {})


LOOPS = {
    "ridge-accumulate", "ridge-accumulate-constant", "ridge-chain", "ridge-keep-real", "ridge-label-mix",
    "ridge-replace-overparametrized", "ridge-same-design",
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    light({"ridge-replace", "ols-accumulate", 1}, but=LOOPS),
)
def test_sympy_source_gives_the_value(name):
    err, spectra, values = named(name)
    source = err.code("sympy")
    assert "collapse_theory" not in source
    agree([name], [sympy_value(source, spectra, values)], 1e-9)


# ---------------------------------------------------------------- text
@pytest.mark.parametrize("name", light({"ols-accumulate", "ridge-accumulate", "ridge-replace"}))
def test_text_has_no_trace_of_latex(name):
    text = named(name)[0].code("unicode")
    assert not re.search(r"[\\{}&^]|_\{", text.replace("^(", "").replace("^-", "")), text
    for pair in ("()", "[]"):
        assert text.count(pair[0]) == text.count(pair[1]), text
    assert text.startswith(("E = ", "P ≤ E"))


def test_text_says_what_the_page_says():
    assert "(1 + κ² tr[(Σ + κ I)⁻²] / (T - df₂(κ)))" in ct.catalog["ridge-replace"].error.code("unicode")
    assert ct.catalog["gaussian-replace"].error.code("unicode") == "E = 1 - ((T - 1) / T)ⁿ⁺¹\n  for T ≥ 1"
