"""Claims are held against the theory: true ones hold, false ones are refuted with the point that refutes them."""

from fractions import Fraction as F
from pathlib import Path

import pytest
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.check.claim_files import check_claims
from collapse_theory.check.drawn_points import drawn_points
from tests.helpers import call, call_json

SUM = "sigma^2*d/(T-d-1)*Sum(1/i^2,(i,1,n))"
CLAIMS = Path(__file__).parent.parent / "examples" / "claims.toml"


@pytest.mark.parametrize(
    ("claim", "about", "kind", "verdict"),
    [
        (SUM, "ols-accumulate-fixed-design", "equals", "holds"),
        (SUM, "ols-accumulate", "upper-bounds", "holds"),
        (SUM, "ols-accumulate", "lower-bounds", "fails"),
        (SUM, "ols-accumulate", "equals", "bound"),
        (SUM, "ols-accumulate", "asymptotic-to", "bound"),
        ("sigma^2*d/(T-d-1)*pi^2/6", "ols-accumulate", "upper-bounds", "holds"),
        ("sigma^2*d/(T-d-1)*pi^2/8", "ols-accumulate", "upper-bounds", "fails"),
        (r"\frac{\sigma^2 d}{T-d-1}+\frac{n\sigma_0^2d}{T_0-d-1}", "ols-replace", "equals", "holds"),
        (r"\frac{\sigma^2 d}{T-d-1}+\frac{n\sigma_0^2d}{T_0-d}", "ols-replace", "equals", "leading-order"),
        (r"\frac{\sigma^2 d}{T-d-1}+\frac{n\sigma_0^2d}{T_0-d}", "ols-replace", "asymptotic-to", "holds"),
        (r"\frac{\sigma^2 d}{T-d-1}+\frac{n\sigma_0^2d}{T_0-d}", "ols-replace", "lower-bounds", "holds"),
        (r"\frac{\sigma^2 d}{T-d-1}+\frac{(n+1)\sigma_0^2d}{T_0-d-1}", "ols-replace", "equals", "bound"),
        (r"\frac{\sigma^2 d}{T-d-1}+\frac{n^2\sigma_0^2d}{2(T_0-d-1)}", "ols-replace", "equals", "fails"),
        (r"1-\left(1-\frac1T\right)^{n+1}", "token-replace", "equals", "holds"),
        (r"\frac{\sqrt5-1}2", "regular-fresh-real-golden", "equals", "holds"),
        ("0.6180339887", "regular-fresh-real-golden", "equals", "bound"),  # ten digits of it are not it
    ],
)
def test_verdicts(claim, about, kind, verdict):
    found = ct.check_claim(claim, about, kind, draws=40)
    assert (found.verdict, found.holds) == (verdict, verdict == "holds")
    assert found.points == 40
    if verdict != "holds":  # the worst case is checkable by hand
        assert found.worst.claimed is None or found.worst.gap != 0


def test_the_worst_case_refutes_by_itself():
    found = ct.check_claim("sigma^2*d/(T-d)", "ols-accumulate", "upper-bounds")
    worst = found.worst
    theory = ct.catalog["ols-accumulate"].error.evaluate(**worst.values)
    assert worst.true == pytest.approx(theory, rel=1e-12)
    assert worst.claimed == pytest.approx(
        worst.values["sigma"] ** 2 * worst.values["d"] / (worst.values["T"] - worst.values["d"])
    )
    assert worst.claimed < worst.true
    assert "fails" in str(found)


def test_digits_decide_where_float64_sees_no_gap():
    assert ct.check_claim("1-(1-1/T)^(n+1)+10^(-20)", "token-replace").verdict == "bound"
    assert ct.check_claim("1-(1-1/T)^(n+1)", "token-replace").verdict == "holds"


def test_ridge_claims_bind_kappa_as_the_theorem_prints_it():
    variance = r"\frac{\sigma^2\,\mathrm{df}_2(\kappa)}{T-\mathrm{df}_2(\kappa)}"
    assert ct.check_claim(variance, "ridge-clean", term="variance", draws=20).holds
    wrong = ct.check_claim(variance.replace("_2", "_1", 1), "ridge-clean", term="variance", draws=20)
    assert (wrong.verdict, wrong.side) == ("bound", "upper")
    assert ct.check_claim(ct.catalog["ridge-replace"].error.latex(), "ridge-replace", draws=10).holds
    assert (
        ct.check_claim(r"\frac{\gamma}{n}", "ridge-clean", notation={"lam": r"\gamma", "T": "n"}, draws=10).verdict
        == "fails"
    )


def test_a_limit_may_be_taken_along_one_symbol():
    late = ct.check_claim("sigma^2*d/(T-d-1)*pi^2/6", "ols-accumulate-fixed-design", "asymptotic-to", along="n")
    assert late.holds
    assert late.order == pytest.approx(1, abs=0.05)
    assert not ct.check_claim("sigma^2*d/(T-d-1)*pi^2/6", "ols-accumulate-fixed-design", "asymptotic-to").holds


def test_a_pipeline_of_ones_own():
    pipe = ct.workflows.replace(1, ct.Stage(T=60, noise=0.5), ct.Stage(T=40, noise=0.3))
    claim = "0.3^2*d/(40-d-1) + 0.5^2*d/(60-d-1)"
    assert ct.check_claim(claim, pipe, draws=10).holds  # decimals are equal to the round-off of doubles
    assert not ct.check_claim("0.3^2*d/(40-d)", pipe, draws=10).holds


def test_a_pipeline_without_theory_is_simulated(monkeypatch):
    def refuse(_, family):
        raise ct.PipelineError("no theory")

    monkeypatch.setattr("collapse_theory.check.claims.test_error", refuse)
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=40, noise=0.5))
    where = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget(), "trials": 1000}
    true, wrong = "0.5^2*d/(40-d-1)", "1.2*0.5^2*d/(40-d-1)"
    assert ct.check_claim(true, pipe, **where).regime == "simulation"
    kinds = ("equals", "upper-bounds", "lower-bounds")
    assert [ct.check_claim(true, pipe, k, **where).verdict for k in kinds] == ["holds"] * 3
    assert [ct.check_claim(wrong, pipe, k, **where).verdict for k in kinds] == ["fails", "holds", "fails"]
    found = ct.check_claim(wrong, pipe, **where)
    assert (found.side, found.points) == ("upper", 1)  # one point shows no bound
    assert 0 < found.detectable < 0.1
    assert "would have shown an error of" in str(found)
    for kind in ("asymptotic-to", "has-rate"):
        with pytest.raises(ct.DomainError, match="needs theory"):
            ct.check_claim(true, pipe, kind, **where)
    with pytest.raises(ct.DomainError, match="one run says nothing about chance"):
        ct.check_claim(true, pipe, **{**where, "trials": 1})
    with pytest.warns(ct.ValidationWarning, match="could not have seen"):
        assert ct.check_claim(wrong, pipe, **{**where, "trials": 20}).holds


def test_drawn_points_are_inside_the_conditions():
    err = ct.catalog["strong-collapse"].error
    for point in drawn_points([err], 20, seed=3):
        assert point.values["p1"] + point.values["p2"] == pytest.approx(1)
        assert err.evaluate(spectrum=point.spectrum, target=point.target, **point.values) > 0
        doubled = point.scaled(2)
        assert (doubled.d, doubled.values["N"]) == (2 * point.d, 2 * point.values["N"])


@pytest.mark.heavy
def test_the_published_claims_are_as_stated():
    checked = check_claims(CLAIMS, draws=25)
    assert len(checked) >= 14
    assert [c.found.claim for c in checked if not c.as_stated] == []
    assert {c.found.verdict for c in checked} >= {"holds", "bound", "leading-order"}
    assert all(c.source for c in checked)


def test_the_command_answers_with_its_exit_code():
    about = ("--theorem", "ols-accumulate", "--draws", "20")
    assert call_json("check", SUM, "--claim", "upper-bounds", *about)["verdict"] == "holds"
    found = call_json("check", SUM, "--claim", "equals", *about, code=1)
    assert (found["verdict"], found["side"]) == ("bound", "upper")
    assert found["worst"]["claimed"] > found["worst"]["theory"]


CASES = [
    # the claim, about, scale exponents, verdict, side
    ("T^(-2*r*beta/(1+2*r*beta))", "ridge-clean", {"r": "1/2"}, "holds", "both"),
    ("T^(-2*r*beta/(1+2*r*beta))", "ridge-clean", {}, "bound", "lower"),  # r above 1 saturates
    ("T^(-2*beta/(1+2*beta))", "ridge-clean", {"r": 2}, "holds", "both"),
    ("T^(-2*r*beta/(1+3*r*beta))", "ridge-clean", {"r": "1/2"}, "bound", "upper"),
    ("T^(-3/5)", "ridge-clean", {"r": "1/2"}, "fails", ""),
    (r"T^{-2r\ell}+\sigma^2T^{-(1-\ell/\beta)}", "ridge-clean", {"r": 0.5}, "holds", "both"),
    ("lam^(2*r) + sigma^2*lam^(-1/beta)/T", "ridge-clean", {"r": 0.5}, "holds", "both"),
    ("T^(-2*r*ell)", "ridge-clean", {"r": 0.5}, "bound", "lower"),
    ("log(T)*T^(-4/5)", "ridge-clean", {"r": 1, "beta": 2}, "holds", "both"),
    ("T^(-4/5)", "ridge-clean", {"r": 1, "beta": 2}, "bound", "lower"),
    ("T^(-c)", "ridge-replace", {"r": "1/2", "beta": 2, "c": "2/3"}, "holds", "both"),
    ("T^(-2/3)", "ridge-replace", {"r": "1/2", "beta": 2, "a": "3/4", "b": "3/4"}, "bound", "lower"),
    ("T^(-(2/3)*(1+b-1))", "ridge-replace", {"r": "1/2", "beta": 2, "a": "1/2"}, "bound", "lower"),  # b > 1
    (r"T^{-c}", "ridge-replace", {"r": "1/2", "beta": 2, "c": "2/3"}, "holds", "both"),
    (r"T^{-b\cdot 2/3}", "ridge-replace", {"r": "1/2", "beta": 2, "a": "1/2", "b": "3/4"}, "holds", "both"),
    ("1/T", "token-replace", {}, "holds", "both"),
]


@pytest.mark.parametrize(("claim", "about", "where", "verdict", "side"), CASES)
def test_rates_are_compared_case_by_case(claim, about, where, verdict, side):
    found = ct.check_claim(claim, about, "has-rate", draws=10, **where)
    assert (found.verdict, found.side, found.regime) == (verdict, side, "scaling")
    if verdict != "holds":  # the worst case refutes by itself, by the rate at these very exponents
        exponents = {**{k: v for k, v in where.items() if k != "c"}, **found.worst.values}
        exponents = {k: sp.Rational(str(v)) for k, v in exponents.items()}
        rate = ct.rates(ct.catalog[about], **exponents)
        true = rate.exponent if "ell" in exponents else rate.optimal_exponent
        assert float(true) == pytest.approx(found.worst.true, abs=1e-12)
        assert found.worst.claimed != found.worst.true or "another power of log T" in str(found)


@settings(max_examples=6, deadline=None)
@given(st.fractions(F(6, 5), F(3), max_denominator=7), st.fractions(F(1, 8), F(2), max_denominator=8), st.booleans())
def test_a_wrong_exponent_is_refuted(beta, r, wrong):
    """The rate by its textbook formula, which the package does not contain."""
    assume(r != 1)  # where it has a logarithm
    c = 2 * min(r, 1) * beta / (1 + 2 * min(r, 1) * beta) + wrong * F(1, 50)
    found = ct.check_claim(f"T^(-({c}))", "ridge-clean", "has-rate", beta=beta, r=r)
    assert found.verdict == ("bound" if wrong else "holds")


def test_slopes_are_followed_where_no_rate_is_derived():
    def verdict(claim, **how):
        found = ct.check_claim(claim, "ols-accumulate", "has-rate", **how)
        assert found.regime == "exact"
        return found.verdict

    fixed = {"d": 5, "n": 3}
    assert verdict("1/T", **fixed) == "holds"
    assert [verdict(x, **fixed) for x in ("T^(-11/10)", "T^(-9/10)", "log(T)/T")] == ["bound"] * 3
    assert verdict("1", along="n", d=5, T=30) == "holds"
    assert verdict("sigma^2*d/T", along="n", d=5, T=30) == "holds"  # a constant, as n grows
    assert verdict("1/n", along="n", d=5, T=30) == "bound"


def test_a_rate_of_a_pipeline_of_ones_own():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=ct.symbols.T, noise=0.5), ridge=ct.symbols.lam)
    assert ct.check_claim("T^(-beta/(1+beta))", pipe, "has-rate", r="1/2", draws=10).holds
    assert not ct.check_claim("T^(-beta/(2+beta))", pipe, "has-rate", r="1/2", draws=10).holds
    gaussian = ct.workflows.replace(1, ct.Stage(T=ct.symbols.T), ct.Stage(T=ct.symbols.T))
    assert ct.check_claim("1-(1-1/T)^2", gaussian, family=ct.Gaussian(), draws=10).holds
    with pytest.raises(ct.DomainError, match="family belongs to a pipeline"):
        ct.check_claim("1/T", "token-replace", family=ct.Gaussian())
    numbers = ct.workflows.replace(1, ct.Stage(T=9), ct.Stage(T=9))
    with pytest.raises(ct.DomainError, match="rows that grow with T"):
        ct.check_claim("1/T", numbers, "has-rate")


def test_rates_from_the_command_line():
    rate = ("T**-c", "--claim", "has-rate", "--theorem", "ridge-replace", "--set", "beta=2", "--set", "r=1/2")
    assert call_json("check", *rate, "--set", "c=2/3")["verdict"] == "holds"
    found = call_json("check", *rate, "--set", "c=0.7", code=1)
    assert (found["verdict"], found["side"]) == ("bound", "lower")
    assert found["worst"]["exponent_gap"] == pytest.approx(0.7 - 2 / 3)
    found = call_json("check", "T**-2", "--claim", "has-rate", "--theorem", "ridge-clean", "--set", "r=1/2", code=1)
    beta = F(found["worst"]["values"]["beta"])  # exact
    assert found["worst"]["theory"] == pytest.approx(float(beta / (1 + beta)), rel=1e-12)
    rate = ("sigma^2*d/T", "--claim", "has-rate", "--theorem", "ols-accumulate", "--set", "d=5", "--set", "n=3")
    assert call_json("check", *rate)["worst"]["values"]["d"] == 5


def test_a_file_whose_verdict_is_wrong_fails(tmp_path):
    text = "[[claim]]".join(CLAIMS.read_text().split("[[claim]]")[:4]).replace('verdict = "bound"', 'verdict = "holds"')
    (tmp_path / "claims.toml").write_text(text)
    assert "no, holds" in call("check", str(tmp_path / "claims.toml"), "--draws", "10", code=1).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("T +", "--theorem", "ols-replace"), "ends too early"),
        (("beta*T", "--theorem", "ols-replace"), "'beta' that nothing binds"),
        (("T", "--theorem", "ols-replcae"), "did you mean"),
        (("T",), "needs what the claim is about"),
        (("T", "--theorem", "ols-replace", "--claim", "equal"), "did you mean 'equals'"),
        (("T", "--theorem", "ols-replace", "--set", "T=1,2"), "needs one value"),
        (("T", "--theorem", "ols-replace", "--set", "T=3", "--set", "d=5"), "a point inside"),
        (("T", "--theorem", "ols-replace", "--set", "beta=3"), "no symbol 'beta'"),
        (("T", "--theorem", "ols-replace", "--term", "bais"), "term needs to be one of"),
        (("T", "--theorem", "token-total-collapse", "--claim", "lower-bounds"), "itself an upper bound"),
        (("T", "--theorem", "ols-replace", "--notation", "T"), "NAME=LATEX"),
        (("nowhere.toml",), "nowhere.toml"),
        (("T**-c", "--theorem", "ridge-clean", "--claim", "has-rate"), "unknown name 'c'"),
        (("T^(-1)*x", "--theorem", "ridge-clean", "--claim", "has-rate", "--set", "y=1"), "unknown name 'x'"),
        (("1/T", "--theorem", "ridge-clean", "--claim", "has-rate", "--set", "y=1"), "no symbol 'y'"),
        ((r"\frac{x}{T}", "--theorem", "ridge-clean", "--claim", "has-rate"), "unknown name 'x'"),
        (("exp(-T)", "--theorem", "ridge-clean", "--claim", "has-rate"), "powers of T"),
        (("1/T - 1/T", "--theorem", "ridge-clean", "--claim", "has-rate"), "which is zero"),
        (("1/T - sigma/T", "--theorem", "ridge-clean", "--claim", "has-rate"), "do not cancel"),
        (("1/T", "--theorem", "ridge-clean", "--claim", "has-rate", "--set", "r=1/2", "--set", "sigma=1"), "got both"),
        (("1/T", "--theorem", "ridge-clean", "--claim", "has-rate", "--set", "r=-1"), "r > 0"),
        ((r"T^{-1}\lamda", "--theorem", "ridge-clean"), "did you mean '\\\\lambda'"),
        (("T", "--theorem", "ols-replace", "--draws", "0"), "draws"),
    ],
)  # fmt: skip
def test_bad_input_is_told(arguments, message):
    assert message in call("check", *arguments, code=2).output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "needs \\[\\[claim\\]\\] tables"),
        ("[[claim]]\nformula = 'T'", "needs a theorem"),
        ("[[claim]]\nformula = 'T'\ntheorem = 'ols-replace'\nsource = ''\nverdit = 'holds'", "did you mean 'verdict'"),
        ("[[claim]]\nformula = 'T'\ntheorem = 'ols-replace'\nsource = ''\nverdict = 'true'", "verdict needs"),
        ("[[claim]]\nformula = 3\ntheorem = 'ols-replace'\nsource = ''", "formula needs text"),
    ],
)
def test_bad_files_are_told(text, message, tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(ct.ParseError, match=message):
        check_claims(path)
