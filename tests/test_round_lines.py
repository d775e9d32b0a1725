"""Theorems without a closed form in the number of rounds print what gives their value at every number of rounds."""

import re
import shutil
import subprocess

import pytest

import collapse_theory as ct
from collapse_theory.present.document import document
from tests.latex_reader import Reader
from tests.recursion_reader import read_recursion

S = ct.PowerLaw(40, beta=1.1)
TARGET = ct.Energies([(i + 1) ** -0.3 for i in range(40)])
VALUES = {"T": 60, "T0": 35, "lam": 0.1, "lam0": 0.23, "sigma": 0.5, "sigma0": 0.3, "w": 0.6, "xi": 0.35}
PRINTED = {
    "T0": "T_0",
    "lam": r"\lambda",
    "lam0": r"\lambda_0",
    "sigma": r"\sigma",
    "sigma0": r"\sigma_0",
    "xi": r"\xi",
}
RECURSIONS = [
    "ridge-accumulate",
    "ridge-keep-real",
    "ridge-same-design",
    "ridge-label-mix",
    "self-distillation-repeated",
]
ROUNDS = [1, 2, 3, 5]


def values_of(slug):
    return {x.name: VALUES[x.name] for x in ct.catalog[slug].error.free_symbols if x.name in VALUES}


def printed(values):
    return {PRINTED.get(k, k): float(v) for k, v in values.items()}


@pytest.mark.parametrize("slug", RECURSIONS)
def test_the_printed_recursion_gives_the_error(slug):
    text, values = ct.catalog[slug].statement(), values_of(slug)
    assert re.search(r"No\sclosed form in \$n\$", text)
    for n in ROUNDS:
        want = ct.catalog[slug].error.evaluate(spectrum=S, target=TARGET, n=n, **values)
        got = read_recursion(text, printed({**values, "n": n}), S.eigenvalues, TARGET.values)
        assert got == pytest.approx(want, rel=1e-11), n
    want = ct.catalog[slug].error.evaluate(spectrum=S, target=TARGET, n=3, **values)
    for name, value in {**values, "n": 2}.items():  # control: every symbol counts
        moved = {**values, "n": 3, name: 2 if name == "n" else 1.01 * value}
        assert read_recursion(text, printed(moved), S.eigenvalues, TARGET.values) != pytest.approx(want, rel=1e-5), name


def test_the_printed_sum_gives_the_error():
    slug = "ridge-accumulate-constant"
    text, values = ct.catalog[slug].statement(), values_of(slug)
    assert "without a closed form in $n$" in text
    bias = re.search(r"B &= (.*) && \\text\{\(bias\)\}", text)[1]
    summand = re.search(r"V &= \\sum_\{i = 1\}\^\{n\} (.*) && \\text\{\(variance\)\}", text)[1]
    ridge = re.search(r"\\kappa_\{i\} &= (.*) && \\text\{\(\} i = 1 \\text\{ to \} n \\text\{\)\}", text)[1]

    def read(n, values):
        reader = Reader(printed(values), {r"\Sigma": S.eigenvalues}, TARGET.values)
        variance, first = 0, None
        for i in range(1, n + 1):
            kappa, before = 100.0, None
            while kappa != before:
                before = kappa
                reader.values.update({"i": float(i), r"\kappa_i": kappa})
                kappa = (kappa + reader.read(ridge)) / 2
            first = first or kappa
            variance += reader.read(summand)
        reader.values[r"\kappa_1"] = first
        return {"bias": reader.read(bias), "variance": variance}

    for n in ROUNDS:
        want = ct.catalog[slug].error.evaluate(spectrum=S, target=TARGET, n=n, terms=True, **values)
        assert read(n, values) == pytest.approx(want, rel=1e-10)
        assert read(n, {**values, "T": 61}) != pytest.approx(want, rel=1e-5)


def test_what_is_substituted_is_printed():
    err = ct.catalog["ridge-same-design"].error
    want = err.evaluate(spectrum=S, target=TARGET, n=4, **values_of("ridge-same-design"))
    values = printed({**values_of("ridge-same-design"), "m": 2})
    changed = err.subs({"n": 2 * ct.symbols.m, "T": 30 * ct.symbols.T, "sigma0": 0.3})
    got = read_recursion(changed.latex(), {**values, "T": 2.0, r"\sigma_0": 7.0}, S.eigenvalues, TARGET.values)
    assert got == pytest.approx(want, rel=1e-11)
    assert err.subs({"n": 2}).latex() == ct.catalog["ridge-same-design"].at(2).latex()
    later = ct.catalog["ridge-accumulate"].error.subs({"n": ct.symbols.m + 1}).latex()
    values = printed({**values_of("ridge-accumulate"), "m": 2})
    want = ct.catalog["ridge-accumulate"].error.evaluate(
        spectrum=S, target=TARGET, n=3, **values_of("ridge-accumulate")
    )
    assert read_recursion(later, values, S.eigenvalues, TARGET.values) == pytest.approx(want, rel=1e-11)
    assert "True" not in err.subs({"n": ct.symbols.m + 1}).latex()


def test_a_derivative_is_that_of_the_recursion_and_a_name_of_an_index_prints_none():
    err = ct.catalog["ridge-keep-real"].error
    assert "Q_{kl}" in err.subs({"T": 2 * ct.symbols.N}).latex()
    assert "Q_{kl}" not in err.subs({"T": 2 * ct.symbols.k}).latex()
    lines = err.diff("T").latex().splitlines()
    assert lines[1].startswith(r"\frac{\partial E}{\partial T} &= \frac{\partial}{\partial T} Q_{n + 1,n + 1}")
    assert lines[2:] == err.latex().splitlines()[2:]


@pytest.mark.parametrize("rounds", [4, 6])
def test_a_long_pipeline_that_relabels_prints_its_recursion(rounds):
    pipe = ct.workflows.label_mix(rounds, ct.Stage(T=60, noise=0.4, ridge=0.1), 0.3)
    err = ct.test_error(pipe, method="free-probability")
    want = err.evaluate(spectrum=S, target=TARGET)
    assert read_recursion(err.latex(), {}, S.eigenvalues, TARGET.values) == pytest.approx(want, rel=1e-11)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_labels_that_are_used_again_are_one_noise_of_several_fits(noise):
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    model = pipe.fit(real, ridge=0.1)
    for i in range(4):
        soft = pipe.sample(design=real, noise=noise * (i != 1), source=0.4 * real.labels + 0.6 * model)
        model = pipe.fit(soft, ridge=0.2)
    err = ct.test_error(pipe)
    text, want = err.latex(), err.evaluate(spectrum=S, target=TARGET)
    assert (r"\operatorname{diag} v_{1}" in text) == (noise > 0)
    assert read_recursion(text, {}, S.eigenvalues, TARGET.values) == pytest.approx(want, rel=1e-11)
    wrong = text.replace(r"\left(b_{1}\right)_{1} = 0.5", r"\left(b_{1}\right)_{1} = 0.49")  # control
    assert read_recursion(wrong, {}, S.eigenvalues, TARGET.values) != pytest.approx(want, rel=1e-7)


def test_fits_that_are_alike_print_once():
    text = ct.test_error(ct.workflows.accumulate(6, ct.Stage(T=40, noise=0.3, ridge=0.25))).latex()
    assert r"N_{k} &= 40 k,\quad \kappa_{k} = 0.25 +" in text
    assert text.count("&=") == 10


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_statements_fit_the_page(tmp_path):
    slugs = [*RECURSIONS, "ridge-accumulate-constant"]
    text = document(
        "Statements",
        r"\newtheorem{theorem}{Theorem}",
        *(ct.catalog[slug].statement() for slug in slugs),
        references={key for slug in slugs for key in ct.catalog[slug].sources},
    )
    (tmp_path / "a.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Overfull" not in run.stdout
