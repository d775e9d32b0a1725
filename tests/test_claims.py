"""Claims are held against the theory: true ones hold, false ones are refuted with the point that refutes them."""

from pathlib import Path

import pytest

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
    def refuse(_):
        raise ct.PipelineError("no theory")

    monkeypatch.setattr("collapse_theory.check.claims.test_error", refuse)
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=40, noise=0.5))
    where = {"spectrum": ct.Isotropic(5), "target": ct.RandomTarget(), "trials": 3000}
    true, wrong = "0.5^2*d/(40-d-1)", "1.2*0.5^2*d/(40-d-1)"
    assert ct.check_claim(true, pipe, **where).regime == "simulation"
    kinds = ("equals", "upper-bounds", "lower-bounds")
    assert [ct.check_claim(true, pipe, k, **where).verdict for k in kinds] == ["holds"] * 3
    assert [ct.check_claim(wrong, pipe, k, **where).verdict for k in kinds] == ["bound", "holds", "fails"]
    with pytest.raises(ct.DomainError, match="needs theory"):
        ct.check_claim(true, pipe, "asymptotic-to", **where)


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
    assert len(checked) >= 8
    assert [c.found.claim for c in checked if not c.as_stated] == []
    assert {c.found.verdict for c in checked} >= {"holds", "bound", "leading-order"}
    assert all(c.source for c in checked)


def test_the_command_answers_with_its_exit_code():
    about = ("--theorem", "ols-accumulate", "--draws", "20")
    assert call_json("check", SUM, "--claim", "upper-bounds", *about)["verdict"] == "holds"
    found = call_json("check", SUM, "--claim", "equals", *about, code=1)
    assert (found["verdict"], found["side"]) == ("bound", "upper")
    assert found["worst"]["claimed"] > found["worst"]["theory"]
    assert [c["verdict"] for c in call_json("check", str(CLAIMS), "--draws", "10")].count("bound") == 1


def test_a_file_whose_verdict_is_wrong_fails(tmp_path):
    text = CLAIMS.read_text().replace('verdict = "bound"', 'verdict = "holds"')
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
