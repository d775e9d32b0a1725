"""What is printed is what is evaluated: the LaTeX of every formula, read by a reader that knows no SymPy, gives its value."""

import re

import pytest

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.present.printer import to_latex
from tests.latex_reader import read_formula
from tests.latex_reader import rows as equations
from tests.points import EIGENVALUES, ENERGIES, MEASURE, OFFSETS, POINTS, D
from tests.printed_names import loose_names

MATRICES = {r"\Sigma": EIGENVALUES, r"\Delta": OFFSETS}
PRINTED = {
    "T0": "T_0",
    "m0": "m_0",
    "xi": r"\xi",
    "theta": r"\theta",
    "lam": r"\lambda",
    "lam0": r"\lambda_0",
    "sigma": r"\sigma",
    "sigma0": r"\sigma_0",
    "p1": "p_1",
    "p2": "p_2",
}
# Not one number of rounds is on these pages but all: powers of an operator, contour integrals, the recursion over the fits, which
# have readers of their own (tests/recursion_reader.py, below); every name on them is defined, as on the others.
OPERATORS = {"features-chain", "features-replace", "flow-replace"}
RECURSIONS = {
    "ridge-accumulate",
    "ridge-keep-real",
    "ridge-same-design",
    "ridge-label-mix",
    "self-distillation-repeated",
}
NAMED_ONLY = OPERATORS | RECURSIONS

UNFOLDED = {"ridge-accumulate-constant", "ridge-chain", "ridge-replace-overparametrized"}


def at_a_number_of_rounds(slug):
    th, values = ct.catalog[slug], dict(POINTS[slug].values)
    return (th.at(values.pop("n")) if slug in UNFOLDED else th.error), values


def printed_values(values):
    roots = {r"\rho": float(values["rho2"]) ** 0.5} if "rho2" in values else {}
    return {PRINTED.get(k, k): float(v) for k, v in values.items()} | {"d": float(D)} | roots


@pytest.mark.parametrize("slug", [s for s in POINTS if s not in NAMED_ONLY])
def test_the_printed_formula_has_the_value_of_the_formula(slug):
    err, values = at_a_number_of_rounds(slug)
    assert loose_names(err.latex(), known_names(err)) == (set(), set())
    shown = read_formula(err.latex(), printed_values(values), MATRICES, ENERGIES)
    measure = {"spectrum": ct.Isotropic(D)} if err.isotropic else MEASURE
    terms = {k: v for k, v in err.evaluate(terms=True, **measure, **values).items() if err.parts[k] != 0}
    names = {
        "bias": "B",
        "variance": "V",
        "synthetic_bias": r"B_\mathrmsyn",
        "synthetic_variance": r"V_\mathrmsyn",
        "distillation": r"E_\mathrmdist",
    }
    assert shown["E"] == pytest.approx(sum(terms.values()), rel=1e-9)
    if len(terms) > 1:
        assert {names[k]: shown[names[k]] for k in terms} == {
            names[k]: pytest.approx(v, rel=1e-9) for k, v in terms.items()
        }
    used = {x.name for x in err.expr.free_symbols} & set(values)
    for name in sorted(used)[:1]:  # control: another value gives another number
        moved = read_formula(err.latex(), printed_values({**values, name: 1.5 * values[name] + 1}), MATRICES, ENERGIES)
        assert moved["E"] != pytest.approx(shown["E"], rel=1e-9), name


@pytest.mark.parametrize("slug", sorted(NAMED_ONLY | UNFOLDED))
def test_each_name_of_all_rounds_is_defined_and_used(slug):
    err = ct.catalog[slug].error
    assert loose_names(err.latex(), known_names(err)) == (set(), set())


def known_names(err):
    return {to_latex(x) for x in err.free_symbols} | {"d", r"\Sigma", r"\Delta"}


def test_the_check_of_names_sees_what_is_loose():
    text = ct.catalog["random-features-ridge"].latex()
    known = known_names(ct.catalog["random-features-ridge"].error)
    assert loose_names(text.replace(r"\chi &=", r"\chi' &="), known) == ({r"\chi"}, {r"\chi'"})
    assert loose_names(text, known - {"m"}) == ({"m"}, set())
    text = ct.catalog["ridge-accumulate"].latex()
    assert loose_names(text.replace("U_D &=", "P_D &="), known_names(ct.catalog["ridge-accumulate"].error)) == (
        {"U_D"},
        {"P_D"},
    )


@pytest.mark.parametrize("slug", ["ridge-replace", "ols-replace", "ridge-label-mix-limit", "ridge-chain"])
@pytest.mark.parametrize("name", ["T", "sigma", "lam"])
@pytest.mark.heavy
def test_the_printed_derivative_has_its_value(slug, name):
    err, values = at_a_number_of_rounds(slug)
    if name not in values:
        return
    slope = err.diff(name)
    shown = read_formula(slope.latex(), printed_values(values), MATRICES, ENERGIES)
    assert next(reversed(shown.values())) == pytest.approx(slope.evaluate(**MEASURE, **values), rel=1e-8)
    assert (
        rf"\frac{{\partial E}}{{\partial {PRINTED.get(name, name) if name != 'sigma' else chr(92) + 'sigma'}}}"
        in slope.latex()
    )


def test_the_definitions_of_the_generation_operator():
    """The unexpanded chain prints the operator; one application by hand gives the chain at n = 1."""
    text = ct.catalog["ridge-chain"].error.latex()
    values = POINTS["ridge-chain"].values
    lines = {left: right for left, right in equations(text) if "[M]" in left or left.startswith("A")}
    at = printed_values(values)
    s = EIGENVALUES
    found = {}
    for index, rows, ridge in (("", "T", r"\lambda"), ("_0", "T_0", r"\lambda_0")):
        suffix = "_{0}" if index else ""
        kappa = rf"\kappa{index}"
        at[kappa] = ct.effective_ridge(ct.Eigenvalues(EIGENVALUES), T=at[rows], lam=at[ridge])

        def respond(M, suffix=suffix):
            line = lines[rf"a'{suffix}[M]"].split("&&")[0]
            return read_formula(wrapped(line), at, {**MATRICES, "M": M}, ENERGIES)["E"]

        def transport(M, suffix=suffix, respond=respond):
            line = lines[rf"\mathcal{{G}}{suffix}[M]"].replace(rf"a'{suffix}[M]", "q")
            return read_matrix(line, {**at, "q": respond(M)}, {**MATRICES, "M": M})

        found[index] = (read_matrix(lines[f"A{suffix}"], at, MATRICES), transport, respond)
    (A, G, a), (A0, G0, a0) = found[""], found["_0"]
    M = G(s)
    bias = (ENERGIES * (s - 2 * s * A0 * A + G0(M))).sum()
    variance = values["sigma"] ** 2 * a(s) + values["sigma0"] ** 2 * a0(M)
    terms = ct.catalog["ridge-chain"].error.evaluate(terms=True, **MEASURE, **{**values, "n": 1})
    assert terms == pytest.approx({"bias": bias, "variance": variance}, rel=1e-9)
    assert r"w_0^\top\left(\Sigma - 2 \Sigma A_{0}^{n} A + \mathcal{G}_{0}^{n} \mathcal{G}[\Sigma]\right) w_0" in text
    synthetic = r"\sum_{k=0}^{n - 1} a'_{0}\left[\mathcal{G}_{0}^{k} \mathcal{G}[\Sigma]\right]"
    assert rf"\sigma^{{2}} a'\left[\Sigma\right] + \sigma_{{0}}^{{2}} {synthetic}" in text


def wrapped(text):
    return "\n".join([r"\begin{aligned}", f"E &= {text}", r"\end{aligned}"])


def read_matrix(text, values, matrices):
    from tests.latex_reader import Reader

    return Reader(values, matrices, ENERGIES).read(text)


def test_conditions_are_printed_once_each_and_in_order():
    shown = ct.catalog["ols-mix-fixed-design"].error.latex().splitlines()[-2]
    assert shown == r"&\text{for } T \geq d + 2,\ w \leq 1"
    assert ct.catalog["token-accumulate"].error.latex().splitlines()[-2] == r"&\text{for } T \geq 1,\ n \geq 1"
    assert "for" not in ct.catalog["ridge-clean"].error.latex()


def test_symbols_print_as_the_notation_table_says():
    want = {
        "T0": "T_{0}",
        "lam": r"\lambda",
        "lam0": r"\lambda_{0}",
        "sigma": r"\sigma",
        "sigma0": r"\sigma_{0}",
        "kappa": r"\kappa",
    }
    for name, text in want.items():
        assert to_latex(getattr(symbols, name)) == text
        assert re.fullmatch(r"[\\a-zA-Z_{}0-9]+", text)
