"""The command line: values, JSON, exit codes, and what bad input says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.helpers import ROOT, call, call_json

OLS = (
    "ols-replace",
    "--spectrum",
    "isotropic:d=50",
    "--set",
    "T=80",
    "--set",
    "T0=90",
    "--set",
    "n=3",
    "--set",
    "sigma=0.5",
)


def test_list_names_every_theorem():
    import collapse_theory as ct

    listed = call_json("list")
    assert [entry["slug"] for entry in listed] == list(ct.catalog)
    assert "ridge-replace" in call("list").stdout


def test_a_list_derives_no_formula(monkeypatch):
    from collapse_theory.theorems.theorem import Theorem

    def refuse(theorem):
        raise AssertionError(f"{theorem.slug} is derived")

    monkeypatch.setattr(Theorem, "error", property(refuse))
    assert "proportional" in call("list").stdout
    assert "ridge-replace at n = 0 equals ridge-clean: no generation" in call("list", "--graph").stdout


def test_show_prints_statement_and_sources():
    assert r"\begin{theorem}" in call("show", "ridge-replace", "--latex").stdout
    assert "@misc{dohmatob2024regression" in call("show", "ridge-replace", "--bibtex").stdout
    data = call_json("show", "ridge-replace")
    assert data["regime"] == "proportional"
    assert {"bias", "variance", "synthetic_variance"} == set(data["terms"])
    assert "regime: proportional" in call("show", "ridge-replace").stdout


def test_predict_a_theorem():
    out = call_json("predict", *OLS, "--set", "sigma0=0.4")
    want = 0.25 * 50 / 29 + 3 * 0.16 * 50 / 39
    assert out["value"] == pytest.approx(want, rel=1e-13)
    assert sum(out["terms"].values()) == pytest.approx(out["value"], rel=1e-15)


def test_predict_over_a_range_gives_lists():
    out = call_json("predict", *OLS, "--set", "sigma0=0,0.4,0.8")
    want = 0.25 * 50 / 29 + 3 * np.array([0, 0.16, 0.64]) * 50 / 39
    np.testing.assert_allclose(out["value"], want, rtol=1e-13)
    table = call("predict", *OLS, "--set", "sigma0=lin:0:1:3").stdout
    assert len(re.findall(r"^│", table, flags=re.MULTILINE)) == 3


def test_derive_and_predict_a_file(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text((ROOT / "examples" / "chain.toml").read_text())
    assert r"\kappa" in call("derive", str(file), "--latex").stdout
    assert call_json("derive", str(file))["symbols"] == ["lam"]
    swept = call_json("predict", str(file))
    assert len(swept["value"]) == 41
    one = call_json("predict", str(file), "--set", "lam=0.01")
    assert min(swept["value"]) < one["value"] < max(swept["value"])


def test_an_argument_of_a_workflow_can_be_set():
    out = call_json("predict", str(ROOT / "examples" / "accumulate.toml"), "--set", "generations=1")
    assert out["value"] == pytest.approx(0.25 * 30 / 29, rel=1e-13)


def test_optimal_ridge_of_a_theorem():
    clean = (
        "ridge-clean",
        "--spectrum",
        "isotropic:d=40",
        "--target",
        "random:norm2=1",
        "--set",
        "T=60",
        "--set",
        "sigma=0.5,1",
    )
    found = call_json("optimal-ridge", *clean)
    assert np.allclose(found["lam"], [0.25 * 40 / 60, 40 / 60], rtol=1e-8, atol=0)
    assert found["stationary"] == [True, True]
    assert "excess" in call("optimal-ridge", *clean).stdout
    chain = ("ridge-chain", *clean[1:-1], "sigma=0.5", "--set", "T0=30", "--set", "n=1", "--set", "sigma0=0.3")
    assert call_json("optimal-ridge", *chain, "--over", "lam,lam0")["lam0"] > 0
    assert "no symbol 'lmb'" in call("optimal-ridge", *clean, "--over", "lmb", code=2).output


def test_validate_passes_and_fails_with_exit_code_one():
    good = ("ols-accumulate", "--spectrum", "isotropic:d=10", "--set", "T=30", "--set", "n=2", "--set", "sigma=1")
    assert call_json("validate", *good)["passed"]
    # Proportional theory at 40 rows for 40 features with a tiny ridge: the finite-size allowance is infinite or huge, and a
    # formula that diverges cannot pass.
    clean = (
        "ridge-clean",
        "--spectrum",
        "isotropic:d=40",
        "--target",
        "random:norm2=1",
        "--set",
        "T=40",
        "--set",
        "sigma=1",
    )
    out = call("validate", *clean, "--set", "lam=0", "--trials", "20", code=1).output
    assert "FAILED" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "ridge-relpace"), "did you mean 'ridge-replace'"),
        (("predict", "ols-replace", "--set", "T=80"), "needs a value"),
        (("predict", *OLS, "--set", "sigma0=0.4", "--set", "lam=1"), "no symbol 'lam'"),
        (("predict", *OLS, "--set", "sigma0"), "NAME=VALUE"),
        (("predict", "ols-replace", "--spectrum", "isotropc:d=5"), "isotropic"),
        (("predict", "missing.toml"), "exist"),
        (("derive", "notes.txt"), ".toml"),
        (("report", "missing.toml", "-o", "out"), "exist"),
        (("predict", *OLS, "--set", "sigma0=__import__('os').system('true')"), "sigma0"),
    ],
)
def test_bad_input_exits_with_two_and_says_why(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = call(*arguments, code=2).output
    assert words in out
    assert "Traceback" not in out
    assert list(tmp_path.iterdir()) == []


def test_help_of_every_command_shows_an_example():
    for command in ("list", "show", "derive", "predict", "rates", "validate", "report"):
        assert f"Example: collapse-theory {command}" in " ".join(call(command, "--help").stdout.split())
