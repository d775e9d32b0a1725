"""Every option of the command line changes what it says, and nothing else; every column of a file holds what its head says."""

from __future__ import annotations

import csv
import io
import json
import math
import resource
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import collapse_theory as ct
from collapse_theory.check.validate import judge
from collapse_theory.cli.main import app
from collapse_theory.core.writing import whole_folder
from collapse_theory.describe.files import load
from collapse_theory.families.text import TextPoint, as_csv
from collapse_theory.present.report import write_report

CHAIN = """
title = "A chain"
spectrum = "isotropic:d=6"
target = "random:norm2=1"
seed = 3
trials = 20
[[sample]]
name = "real"
T = 40
noise = 0.5
[[fit]]
name = "m1"
data = ["real"]
ridge = 0.1
[[sample]]
name = "fake"
T = 60
noise = 0.3
source = "m1"
[[fit]]
name = "m2"
data = ["fake"]
ridge = "lam"
[sweep]
lam = "0.05,0.2,0.8"
"""
REPORT = CHAIN.replace("[[sample]]", 'inputs = ["gaussian"]\n[[sample]]', 1)


def call(*arguments: str, code: int = 0):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def call_json(*arguments: str, code: int = 0):
    return json.loads(call(*arguments, "--json", code=code).stdout)


@pytest.fixture
def chain(tmp_path):
    file = tmp_path / "chain.toml"
    file.write_text(CHAIN)
    return str(file)


def theory(lam, d=6, norm2=1.0):
    pipe = ct.workflows.replace(1, ct.Stage(T=40, noise=0.5, ridge=0.1), ct.Stage(T=60, noise=0.3, ridge=lam))
    err = ct.test_error(pipe)
    return err.evaluate(spectrum=ct.Isotropic(d), target=ct.RandomTarget(norm2=norm2), terms=True)


def test_predict_takes_inputs_and_values_of_the_file_unless_an_option_says_otherwise(chain):
    whole = call_json("predict", chain)
    assert whole["values"] == {"lam": [0.05, 0.2, 0.8]}
    for i, lam in enumerate((0.05, 0.2, 0.8)):
        terms = theory(lam)
        assert {k: v[i] for k, v in whole["terms"].items()} == pytest.approx(terms, rel=1e-12)
        assert whole["value"][i] == pytest.approx(sum(terms.values()), rel=1e-12)
    assert call_json("predict", chain, "--set", "lam=0.3")["value"] == pytest.approx(sum(theory(0.3).values()))
    other = call_json("predict", chain, "--set", "lam=0.3", "--spectrum", "isotropic:d=9")
    assert other["value"] == pytest.approx(sum(theory(0.3, d=9).values()))
    other = call_json("predict", chain, "--set", "lam=0.3", "--target", "random:norm2=4")
    assert other["value"] == pytest.approx(sum(theory(0.3, norm2=4).values()))
    assert whole["regime"] == "proportional"
    assert whole["method"] == "operator"


def test_the_table_of_predict_has_each_number_in_its_column(chain):
    lines = [line for line in call("predict", chain).stdout.splitlines() if line.startswith(("┃", "│"))]
    head, *rows = ([cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in lines)
    assert head == ["lam", "test error", "bias", "variance"]
    assert "proportional" in call("predict", chain).stdout.splitlines()[0]
    for lam, row in zip((0.05, 0.2, 0.8), rows, strict=True):
        terms = theory(lam)
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
    assert default["theory"] == pytest.approx(sum(theory(0.2).values()))
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
    assert other["theory"] == pytest.approx(sum(theory(0.2, d=9, norm2=4).values()))


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
    assert "same limit ridge-replace" in text
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


# ---------------------------------------------------------------- columns
def test_every_column_of_a_report(tmp_path):
    file = tmp_path / "r.toml"
    file.write_text(REPORT)
    study, _ = write_report(load(file)[1], tmp_path / "out")
    rows = list(csv.reader((tmp_path / "out" / "report.csv").read_text().splitlines()))
    checked = [f"gaussian_{k}" for k in ("mean", "sem", "z", "relative_gap")]
    assert rows[0] == ["series", "lam", "theory", "bias", "variance", *checked]
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (data["title"], data["sweep"], data["seed"], data["trials"]) == ("A chain", "lam", 3, 20)
    for row, point, shown in zip(rows[1:], study.series[0].points, data["series"][0]["points"], strict=True):
        check = point.checks["gaussian"]
        terms = theory(point.x)
        simulated = [check.simulation.mean, check.simulation.sem, check.z, check.relative_gap]
        assert [float(x) for x in row[1:]] == pytest.approx([point.x, sum(terms.values()), *terms.values(), *simulated])
        assert check.simulation.trials == 20
        assert shown["x"] == point.x
        assert shown["terms"] == pytest.approx(terms)
        got = shown["checks"]["gaussian"]
        assert [got[k] for k in ("mean", "sem", "z", "relative_gap")] == pytest.approx(simulated)
        assert got["allowance"] == check.allowance
        assert got["passed"] is check.passed


def test_columns_of_a_text():
    point = TextPoint("context", 3, "diversity", 0.5, 0.4, 0.6, 0.52, 0.01)
    row = next(csv.DictReader(io.StringIO(as_csv([point]))))
    values = {k: (float(v) if k not in {next(iter(row)), "quantity"} else v) for k, v in row.items()}
    assert list(values.values()) == ["context", 3, "diversity", 0.5, 0.4, 0.6, 0.52, 0.01]
    for name, value in values.items():
        assert getattr(point, name) == value
    assert {"generation", "quantity", "lower", "upper"} <= set(row)


# ---------------------------------------------------------------- whole files
@pytest.fixture
def small_disk():
    """Let no file grow beyond four kilobytes, as a disk that is full does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def shrink():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))

    yield shrink
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_that_does_not_fit_leaves_the_old_one(tmp_path, small_disk):
    path = tmp_path / "run.json"
    pipe = ct.workflows.replace(0, downstream=ct.Stage(T=12, noise=0.5))
    how = {"spectrum": ct.Isotropic(3), "target": ct.RandomTarget(), "checkpoint": path}
    first = ct.simulate(pipe, trials=5, **how)
    before = path.read_bytes()
    small_disk()
    with pytest.raises((ct.CollapseTheoryError, OSError)):
        ct.simulate(pipe, trials=2000, **how)
    kept = json.loads(path.read_text())  # whole, and of this problem
    assert kept["errors"][:5] == first.errors.tolist()
    assert len(before) <= len(path.read_bytes()) <= 4096
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_does_not_fit_leaves_the_old_files(tmp_path, small_disk):
    out = tmp_path / "out"
    with whole_folder(out) as (scratch, _):
        (scratch / "a").write_text("old")

    def write():
        with whole_folder(out) as (scratch, _):
            (scratch / "a").write_text("new")
            (scratch / "b").write_text("x" * 10_000)

    small_disk()
    with pytest.raises((ct.CollapseTheoryError, OSError)):
        write()
    assert {p.name: p.read_text() for p in out.iterdir()} == {"a": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_files_of_a_block_appear_together(tmp_path):
    """While the block runs nothing is seen in the folder."""
    out = Path(tmp_path / "out")
    with whole_folder(out) as (scratch, _):
        (scratch / "a").write_text("1")
        assert not out.exists() or not list(out.iterdir())
        assert tmp_path in scratch.parents  # the same disk: a move, not a copy
    assert [p.name for p in out.iterdir()] == ["a"]


def test_text_reports_say_infinities_in_words():
    from collapse_theory.present.report import plain

    assert plain(math.inf) == "inf"
    assert plain(np.float64(0.5)) == 0.5
