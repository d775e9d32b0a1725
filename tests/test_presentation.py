"""Formulas as a person would print them: their length, what they say, the reader's own notation, and that they fit a page."""

import re
import shutil
import subprocess
from itertools import pairwise

import pytest
from sympy import Ge, Symbol, sqrt

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.present.document import _PREAMBLE
from collapse_theory.present.forms import Forms
from collapse_theory.present.notation import renamed
from collapse_theory.present.printer import TheoryLatexPrinter, to_latex, tokens
from collapse_theory.present.stated import stated
from collapse_theory.present.typical_point import TypicalPoint
from collapse_theory.symbols import T0, T, d, lam, n, w
from tests.helpers import call

# What a person would print.
YARDSTICKS = {
    "ols-mix-fixed-design": r"E=\frac{\sigma^2d}{T-d-1}\big[1+(1-w)(1-3w)\frac{1-(1-w)^{2n}}{w(2-w)}\big]",
    "regular-accumulate-subsample": r"E=3H_n^{(2)}-2",
    "regular-keep-real": r"E=\frac{T+3T_0-T_0q^n}{T+2T_0} q=(\frac{T_0}{T+T_0})^2",
    "gaussian-fresh-real-limit": r"E=\frac{T(1-w)^2+T_0w^2}{T[(1-w)^2+T_0w(2-w)]}",
    "ols-accumulate": r"E=\frac{\sigma^2d}{d+1}[\psi(1)-\psi(1-a)+\psi(n+1-a)-\psi(n+1)] a=\frac{d+1}T",
    "gaussian-accumulate": r"E=1-\frac{\sqrt T}\pi\sin\frac\pi{\sqrt T}"
    r"\frac{\Gamma(n+1-T^{-1/2})\Gamma(n+1+T^{-1/2})}{\Gamma(n+1)^2}",
    "regular-fresh-real-golden": r"E=\frac{\sqrt5-1}2",
}


def equations(text):
    """Return the equations of a print, without words, layout and conditions."""
    lines = [re.sub(r"\\text\{.*|&&.*", "", x).replace("&", "") for x in text.split(r"\\")]
    body = " ".join(x for x in lines if "=" in x)
    return re.sub(r"\\(?:begin|end)\{\w+\}|,\\quad", " ", body)


@pytest.mark.parametrize("slug", YARDSTICKS)
def test_no_formula_is_much_longer_than_a_persons(slug):
    printed = equations(ct.catalog[slug].latex())
    assert tokens(printed) <= 1.3 * tokens(YARDSTICKS[slug]), printed


def test_shares_that_add_up_to_one_are_used():
    text = ct.catalog["ols-strong-collapse"].latex()
    assert r"\frac{p_{1} p_{2} \left(" in text
    assert r"\left(p_{1} + p_{2}\right)" not in text + ct.catalog["strong-collapse"].latex()


@pytest.mark.parametrize("slug", list(ct.catalog))
def test_no_fraction_in_a_fraction(slug):
    for line in ct.catalog[slug].latex().split(r"\\"):
        for start in [m.end() for m in re.finditer(r"\\frac\{", line)]:
            depth, i = 1, start
            while depth:
                depth += {"{": 1, "}": -1}.get(line[i], 0)
                i += 1
            assert r"\frac" not in line[start:i], line


def test_each_effective_ridge_is_alone_and_in_one_unknown():
    assert r"\kappa &= \lambda + \frac{\kappa \, \mathrm{df}_{1}(\kappa)}{T}" in ct.catalog["ridge-clean"].latex()
    text = ct.catalog["random-features-ridge"].latex()
    assert r"\kappa_{1}" not in text
    assert r"\kappa = \frac{T \lambda m}{\left(T - \mathrm{df}_{1}(\kappa)\right)" in text
    assert r"T \text{ if } T < d \text{, else } \kappa = 0" in ct.catalog["minnorm-label-mix"].latex()
    assert r"\mathrm{df}_{1}(\kappa_{0}) = T_{0}" in ct.catalog["ridge-replace-overparametrized-limit"].latex()


def test_a_probability_is_not_called_an_error():
    statement = ct.catalog["token-total-collapse"].statement()
    assert "probability $P$" in statement
    assert r"P &\leq E" in statement


def test_a_derivative_says_of_what_and_by_what():
    err = ct.catalog["ridge-clean"].error
    assert r"\frac{\partial E}{\partial \lambda} &= \partial_{\lambda} B" in err.diff("lam").latex()
    assert r"\frac{\partial^{2} E}{\partial \lambda \partial T} &=" in err.diff("lam").diff("T").latex()
    assert r"\frac{\partial^{2} E}{\partial \sigma^{2}} &=" in err.diff("sigma").diff("sigma").latex()


def test_special_functions_at_a_number_of_rounds_are_those_a_reader_knows():
    assert r"\psi\left(3 - a\right) - \psi\left(1 - a\right)" in ct.catalog["ols-accumulate"].at(2).latex()
    assert r"\Gamma\left(3\right)" not in ct.catalog["gaussian-accumulate"].at(2).latex()


def test_what_is_not_subtracted_stands_first():
    assert to_latex(-T / 3 - d / 3) == r"-\frac{T + d}{3}"
    assert r"F_{1} &= I - A_{1}" in ct.catalog["ridge-accumulate"].at(2).latex()


# ---------------------------------------------------------------- forms
def test_a_form_with_another_value_is_refused(monkeypatch):
    forms = Forms((), TheoryLatexPrinter())
    monkeypatch.setattr(forms, "_candidates", lambda e: [e, Symbol("y", positive=True)])
    e = 1 / (T + d)
    assert forms.shortest(e) == e


def test_the_sample_knows_what_is_positive_where_the_conditions_hold():
    assert not TypicalPoint([Ge(T, d + 2)]).is_negative(T - d - 1)
    assert not TypicalPoint([d > T]).is_negative(d - T)
    assert TypicalPoint().agree(sqrt(T) ** 2 - 1, T - 1)
    assert not TypicalPoint().agree(T - 1, T)


def test_conditions_are_stated_once():
    assert stated([T >= 1, n >= 1, T > 1]) == [r"n \geq 1", "T > 1"]
    assert stated([w > 0, 1 - w >= 0]) == [r"0 < w \leq 1"]
    assert stated([Ge(T, d + 2), Ge(T, 1)]) == [r"T \geq d + 2"]


# ---------------------------------------------------------------- the reader's notation
def test_names_are_the_readers():
    err = ct.catalog["ridge-replace"].error
    text = err.latex(notation={"T": "n", "n": "g", "lam": r"\gamma", "T0": "n_0", "Sigma": "C", "kappa": r"\mu"})
    assert r"\mu &= \gamma + \frac{\mu \, \mathrm{df}_{1}(\mu)}{n}" in text
    assert r"\frac{g \sigma_{0}^{2}" in text
    assert "n_0 - d - 1" in text
    assert not re.search(r"\\lambda|\\Sigma|\\kappa|T", text)
    assert renamed(r"\kappa_{1} + T_{2}", {"kappa": "k", "T": "n"}, {"T": "T"}) == "k_{1} + T_{2}"
    assert renamed("n^{2}", {"n": "x^2"}, {"n": "n"}) == "{x^2}^{2}"


@pytest.mark.parametrize(
    ("notation", "words"),
    [({"T": "n", "lam": "n"}, "one name per symbol"), ({"T": r"\lambda"}, "one name per symbol"),
     ({"lamda": "x"}, "did you mean"), ({"T": ""}, "needs LaTeX"), ({"T": 3}, "needs LaTeX")],
)  # fmt: skip
def test_a_notation_that_would_mislead_is_refused(notation, words):
    with pytest.raises(ct.DomainError, match=words):
        ct.catalog["ridge-clean"].error.latex(notation=notation)


def test_environments_and_definitions():
    err = ct.catalog["ridge-clean"].error
    assert err.latex(environment="align").startswith("\\begin{align}\nE &=")
    assert err.latex(environment="equation").startswith("\\begin{equation}\n\\begin{aligned}")
    assert r"Then the expected excess risk" in err.latex(environment="theorem")
    assert ct.catalog["ridge-clean"].latex(environment="theorem") == ct.catalog["ridge-clean"].statement()
    with pytest.raises(ct.DomainError, match="align"):
        err.latex(environment="alligned")
    said = err.latex(definitions=True)
    assert r"\mathrm{df}_{k}(\kappa) &= \operatorname{tr}" in said
    assert r"w_0\text{: true coefficients}" in said
    assert r"\lambda\text{: ridge" in said


def test_narrow_lines_are_narrower():
    err = ct.catalog["ridge-replace-same-design"].error
    assert len(err.latex(width=40).split(r"\\")) > len(err.latex().split(r"\\"))


def test_the_printer_writes_one_fraction_per_product():
    assert to_latex(lam * T0 / (2 * T - 2 * d)) == r"\frac{T_{0} \lambda}{2 \left(T - d\right)}"
    assert to_latex(1 - w) == "1 - w"
    assert to_latex((sqrt(5) - 1) / 2) == r"\frac{\sqrt{5} - 1}{2}"
    assert to_latex(-symbols.kappa) == r"-\kappa"


# ---------------------------------------------------------------- braces, commands, and a page in a browser
def test_each_term_says_what_it_is_below_a_brace():
    err = ct.catalog["ridge-clean"].error
    text = err.latex(underbrace=True)
    assert text.count(r"\underbrace") == 2
    assert r"}_{\text{bias}} + \underbrace{\frac{\sigma^{2}" in text
    assert "(bias)" not in text
    at = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget(), "T": 9, "lam": 0.1, "sigma": 0.5}
    assert ct.read_latex(text).evaluate(**at) == pytest.approx(err.evaluate(**at), rel=1e-12)
    by_rounds = ct.catalog["ridge-accumulate-constant"].error.latex(underbrace=True)
    assert r"E &= \underbrace{B}_{\text{bias}} + \underbrace{V}_{\text{variance}}" in by_rounds
    one = ct.catalog["ols-accumulate"].error
    assert one.latex(underbrace=True) == one.latex()


def test_operators_are_commands_that_a_file_defines():
    err = ct.catalog["ridge-replace"].error
    text = err.latex(macros=True)
    assert r"\df_{2}(\kappa)" in text
    assert r"\tr\left[" in text
    assert not re.search(r"\\mathrm\{df\}|\\operatorname", text)
    for line in call("macros").stdout.split():
        name, meaning = re.fullmatch(r"\\newcommand\{(\\\w+)\}\{(.+)\}", line).groups()
        text = text.replace(name, meaning)
    assert text == err.latex()
    at = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget(), "T": 9, "T0": 8, "n": 2, "lam": 0.1, "sigma": 0.5}
    read = ct.read_latex(err.latex(macros=True))
    assert read.evaluate(**at, sigma0=0.3) == pytest.approx(err.evaluate(**at, sigma0=0.3), rel=1e-12)


# What the prints use of the functions that KaTeX supports (https://katex.org/docs/supported.html).
KATEX = {",", "!", "\\", " "} | set(
    re.findall(
        r"\w+",
        """left right biggl biggr bigl bigr frac sqrt sum operatorname mathrm mathcal text top quad qquad begin end partial dot
        underbrace oint times
        sin geq leq le ge infty min max cdot textstyle zeta log Sigma Delta Gamma Xi chi delta kappa lambda pi psi
        rho sigma tau theta varepsilon xi""",
    )
)


@pytest.mark.parametrize("options", [{}, {"underbrace": True}, {"definitions": True, "environment": "align*"}])
def test_a_browser_knows_every_command(options):
    errors = [t.error for t in ct.catalog.values()]
    if options:
        errors = [ct.catalog[slug].error for slug in ("ridge-replace", "ols-accumulate", "ridge-accumulate-constant")]
    for err in errors:
        text = err.latex(**options)
        assert set(re.findall(r"\\([a-zA-Z]+|.)", text)) <= KATEX, err.name
        assert set(re.findall(r"\\begin\{(.+?)\}", text)) <= {"aligned", "align*"}


# ---------------------------------------------------------------- on a page


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (Debian: texlive-latex-base)")
def test_every_statement_fits_a_page(tmp_path):
    parts = [rf"\typeout{{AT {slug}}}" + f"\n\\[\n{ct.catalog[slug].latex()}\n\\]" for slug in ct.catalog]
    source = "\n".join([_PREAMBLE, r"\begin{document}", *parts, r"\end{document}"])
    (tmp_path / "all.tex").write_text(source)
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:]
    wide = [x for x in run.stdout.splitlines() if x.startswith(("AT ", r"Overfull \hbox"))]
    assert not [(a, b) for a, b in pairwise(wide) if b.startswith("Overfull")]
