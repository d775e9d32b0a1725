"""Every option of the command line changes what it says, and nothing else."""

from __future__ import annotations

import pytest

import collapse_theory as ct
from collapse_theory.check.validate import judge
from tests.helpers import CHAIN, call, call_json, chain_terms


@pytest.fixture
def chain(tmp_path):
    file = tmp_path / "chain.toml"
    file.write_text(CHAIN)
    return str(file)


def test_predict_takes_inputs_and_values_of_the_file_unless_an_option_says_otherwise(chain):
    whole = call_json("predict", chain)
    assert whole["values"] == {"lam": [0.05, 0.2, 0.8]}
    for i, lam in enumerate((0.05, 0.2, 0.8)):
        terms = chain_terms(lam)
        assert {k: v[i] for k, v in whole["terms"].items()} == pytest.approx(terms, rel=1e-12)
        assert whole["value"][i] == pytest.approx(sum(terms.values()), rel=1e-12)
    assert call_json("predict", chain, "--set", "lam=0.3")["value"] == pytest.approx(sum(chain_terms(0.3).values()))
    other = call_json("predict", chain, "--set", "lam=0.3", "--spectrum", "isotropic:d=9")
    assert other["value"] == pytest.approx(sum(chain_terms(0.3, d=9).values()))
    other = call_json("predict", chain, "--set", "lam=0.3", "--target", "random:norm2=4")
    assert other["value"] == pytest.approx(sum(chain_terms(0.3, norm2=4).values()))
    assert whole["regime"] == "proportional"
    assert whole["method"] == "operator"


def test_the_table_of_predict_has_each_number_in_its_column(chain):
    lines = [line for line in call("predict", chain).stdout.splitlines() if line.startswith(("┃", "│"))]
    head, *rows = ([cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in lines)
    assert head == ["lam", "test error", "bias", "variance"]
    assert "proportional" in call("predict", chain).stdout.splitlines()[0]
    for lam, row in zip((0.05, 0.2, 0.8), rows, strict=True):
        terms = chain_terms(lam)
        want = [lam, sum(terms.values()), terms["bias"], terms["variance"]]
        assert [float(x) for x in row] == pytest.approx(want, rel=1e-5)


def test_validate_runs_the_trials_seed_and_workers_it_is_given(chain):
    at = ("validate", chain, "--set", "lam=0.2")
    pipe = ct.workflows.replace(1, ct.Stage(T=40, noise=0.5, ridge=0.1), ct.Stage(T=60, noise=0.3, ridge=0.2))

    def mean(trials, seed):
        how = {"spectrum": ct.Isotropic(6), "target": ct.RandomTarget()}
        return ct.simulate(pipe, trials=trials, seed=seed, **how).mean

    default = call_json(*at)
    assert (default["trials"], default["mean"]) == (20, pytest.approx(mean(20, 3)))
    more = call_json(*at, "--trials", "25", "--seed", "5")
    assert (more["trials"], more["mean"]) == (25, pytest.approx(mean(25, 5)))
    assert call_json(*at, "--seed", "0")["mean"] == pytest.approx(mean(20, 0))
    assert call_json(*at, "--jobs", "2")["mean"] == default["mean"]
    assert "jobs" in call(*at, "--jobs", "0", code=2).output
    assert default["theory"] == pytest.approx(sum(chain_terms(0.2).values()))
    how = {"spectrum": ct.Isotropic(6), "target": ct.RandomTarget()}
    check = judge(ct.test_error(pipe), trials=20, seed=3, **how)
    for name in ("z", "relative_gap", "allowance", "passed"):
        assert default[name] == pytest.approx(getattr(check, name)), name
    assert default["sem"] == pytest.approx(check.simulation.sem)
    text = call(*at)
    assert ("passed" in text.stdout) is default["passed"]
    assert "20/20" in text.stderr
    assert call(*at, "--json").stderr == ""


def test_validate_takes_spectrum_and_target_options(chain):
    at = ("validate", chain, "--set", "lam=0.2")
    other = call_json(*at, "--spectrum", "isotropic:d=9", "--target", "random:norm2=4")
    assert other["theory"] == pytest.approx(sum(chain_terms(0.2, d=9, norm2=4).values()))


def test_show_prints_what_is_asked():
    latex = call("show", "ols-replace", "--latex").stdout
    assert r"\begin{theorem}" in latex
    assert "@misc" not in latex
    bibtex = call("show", "ols-replace", "--bibtex").stdout
    assert "@misc" in bibtex
    assert r"\begin{theorem}" not in bibtex
    both = call("show", "ols-replace", "--latex", "--bibtex").stdout
    assert both.index(r"\begin{theorem}") < both.index("@misc")
    data = call_json("show", "ols-replace")
    err = ct.catalog["ols-replace"].error
    assert data["slug"] == "ols-replace"
    assert data["title"] == ct.catalog["ols-replace"].title
    assert data["conditions"] == [str(c) for c in err.conditions]
    assert data["symbols"] == sorted(x.name for x in err.free_symbols)
    assert data["references"] == list(err.references)
    assert data["relations"][0] | {"note": ""} == {"to": "ridge-replace", "kind": "same limit", "note": ""}
    text = call("show", "ols-replace").stdout
    assert "ols-replace has the limit of ridge-replace at lam = 0 as d and the rows grow in proportion" in text
    assert "ols-accumulate at n = 1 equals ols-replace at n = 0: one round" in text
    assert {"ridge-replace"} <= {edge["to"] for edge in data["neighbours"]["out"]}
    assert {"ols-accumulate"} <= {edge["from"] for edge in data["neighbours"]["in"]}
    assert "sources: dohmatob2024regression" in text
    rows = call_json("list")
    assert [r["title"] for r in rows] == [th.title for th in ct.catalog.values()]
    assert [r["regime"] for r in rows] == [th.error.regime for th in ct.catalog.values()]


def test_derive_prints_latex_text_or_json(chain):
    latex = call("derive", chain, "--latex").stdout
    assert latex.startswith(r"\begin{aligned}")
    assert "regime" not in latex
    assert "regime: proportional; method: operator" in call("derive", chain).stdout
    assert call_json("derive", chain)["latex"] == latex.rstrip("\n")


def test_a_value_given_twice_or_without_a_name_is_refused(chain):
    assert "once" in call("predict", chain, "--set", "lam=1", "--set", "lam=2", code=2).output
    assert "NAME=VALUE" in call("predict", chain, "--set", "=2", code=2).output
