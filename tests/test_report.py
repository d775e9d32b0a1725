"""Reports: whole files or none, a document that compiles, numbers that agree with the library."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.core.writing import whole_folder
from collapse_theory.describe.files import load
from collapse_theory.present.document import _findings, beyond_latin, document, study_document
from collapse_theory.present.figures import draw_study
from collapse_theory.present.report import TEX_ENGINES, compile_tex, plain, write_report
from collapse_theory.study.report_study import run_study
from tests.helpers import CHAIN, ROOT, chain_terms

SMALL = """
title = "A small study: 50% & more_of #1"
spectrum = "powerlaw:d=40,beta=1.2"
target = "random:norm2=1"
inputs = ["gaussian"]
workflow = "replace"
seed = 2
trials = 30
generations = 1
[generator]
T = 60
noise = 0.3
ridge = 0.05
[downstream]
T = 80
noise = 0.2
ridge = "lam"
[sweep]
lam = "log:1e-3:1:5"
[[curve]]
name = "ridge generator"
[[curve]]
name = "least-squares generator"
generator.ridge = 0
"""

tex = pytest.mark.skipif(not any(map(shutil.which, TEX_ENGINES)), reason="no TeX engine is installed")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    file = folder / "small.toml"
    file.write_text(SMALL)
    study, files = write_report(load(file)[1], folder / "out")
    return study, {f.name: f for f in files}, folder


def test_files_are_there_and_nothing_else_is_left(small):
    _, files, folder = small
    assert {"report.tex", "report.bib", "report.csv", "report.json", "figure.pdf", "figure.png", "pipeline.pdf"} <= set(
        files
    )
    assert all(f.stat().st_size > 0 for f in files.values())
    assert {p.name for p in folder.iterdir()} == {"small.toml", "out"}


def test_numbers_agree_with_the_library(small):
    _, files, _ = small
    data = json.loads(files["report.json"].read_text())
    series = data["series"][1]
    assert series["name"] == "least-squares generator"
    pipe = ct.workflows.replace(1, ct.Stage(T=60, noise=0.3), ct.Stage(T=80, noise=0.2, ridge=ct.symbols.lam))
    lam = np.array([p["x"] for p in series["points"]])
    want = ct.test_error(pipe).evaluate(spectrum=ct.PowerLaw(40, beta=1.2), target=ct.RandomTarget(norm2=1), lam=lam)
    np.testing.assert_allclose([p["theory"] for p in series["points"]], want, rtol=1e-12)
    sim = ct.simulate(
        pipe, spectrum=ct.PowerLaw(40, beta=1.2), target=ct.RandomTarget(norm2=1), trials=30, seed=2, lam=lam[2]
    )
    assert series["points"][2]["checks"]["gaussian"]["mean"] == sim.mean
    rows = list(csv.DictReader(files["report.csv"].read_text().splitlines()))
    assert len(rows) == 10
    assert float(rows[7]["theory"]) == pytest.approx(want[2], rel=1e-12)
    assert float(rows[7]["gaussian_mean"]) == sim.mean


@tex
def test_document_compiles_and_says_its_title(small):
    _, files, _ = small
    assert files["report.pdf"].read_bytes()[:5] == b"%PDF-"
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", files["report.pdf"], "-"], capture_output=True, text=True, check=True
        ).stdout
        assert "50% & more_of #1" in text
        assert "??" not in text


@tex
def test_a_title_in_any_script_compiles_whatever_fonts_there_are(tmp_path):
    source = tmp_path / "report.tex"
    source.write_text(document("模型 Коллапс انهيار ♥ étude", "Text.", references=()), encoding="utf-8")
    assert compile_tex(source).read_bytes()[:5] == b"%PDF-"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.pdf", "report.tex"]


@pytest.mark.skipif(os.name == "nt", reason="stand-ins are shell scripts")
def test_engines_run_as_often_as_they_need_and_give_way(tmp_path, monkeypatch):
    """Plain engines twice for the references, tectonic once, in its own way; one that fails gives way to the next."""
    programs, source, calls = tmp_path / "bin", tmp_path / "a.tex", tmp_path / "calls"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("collapse_theory.present.report.TEX_ENGINES", ("pdflatex", "xelatex", "tectonic"))
    source.write_text("text", encoding="utf-8")
    for name in ("pdflatex", "xelatex", "tectonic"):
        script = f'#!/bin/sh\necho {name} "$@" >> calls\necho {name} says\ntouch a.aux a.log a.out a.pdf\nexit 1\n'
        (programs / name).write_text(script, encoding="utf-8")
        (programs / name).chmod(0o755)
    with pytest.raises(RuntimeError, match=r"(?s)pdflatex failed.*xelatex says.*tectonic failed"):
        compile_tex(source)
    quiet = "-interaction=nonstopmode -halt-on-error a.tex"
    assert calls.read_text().splitlines() == [f"pdflatex {quiet}", f"xelatex {quiet}", "tectonic a.tex"]
    for good, want in (("tectonic", ["tectonic a.tex"]), ("xelatex", [f"xelatex {quiet}"] * 2)):
        script = (programs / good).read_text(encoding="utf-8").replace("exit 1", "exit 0")
        (programs / good).write_text(script, encoding="utf-8")
        calls.unlink()
        assert compile_tex(source) == tmp_path / "a.pdf"
        assert [x for x in calls.read_text().splitlines() if x.startswith(good)] == want
    calls.unlink()
    source.write_text("текст", encoding="utf-8")
    compile_tex(source)
    assert calls.read_text().split()[0] == "xelatex"  # one that knows more than Latin letters comes first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pdf", "a.tex", "bin", "calls"]


def test_only_characters_that_are_printed_need_a_unicode_engine():
    assert beyond_latin("a\u2028 \ue000\u202eé–模 模型") == "模型"


def test_a_report_without_inputs_is_refused(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("\n".join(x for x in SMALL.splitlines() if not x.startswith(("spectrum", "target"))))
    with pytest.raises(ct.DomainError, match="needs inputs, got neither spectrum nor data"):
        run_study(load(file)[1])


def test_findings_have_their_signs(monkeypatch):
    monkeypatch.setattr("collapse_theory.present.document._where", lambda *_: "here")
    found = SimpleNamespace(z=2.5, relative_gap=0.031, allowance=0.01, detectable=0.05)
    text = _findings(SimpleNamespace(series=(), largest=lambda *_: (None, None, found)))
    assert r"Gaussian inputs: $+2.50$ (here; relative gap $+3.10\,\%$, finite-size allowance $" in text
    assert r"real inputs: $+3.1\,\%$ (here; $z=+2.50$)" in text


def test_document_has_formulas_not_code(small):
    document = study_document(small[0])
    assert r"\kappa" in document
    assert r"\Sigma" in document
    for leak in ("EffectiveRidge", "SpectralTrace", "ResidualDegrees", "T#", "nan"):
        assert leak not in document


def test_every_example_runs_without_simulations(tmp_path):
    for example in sorted((ROOT / "examples").glob("*.toml")):
        text = example.read_text()
        if "workflow" not in text and "[[fit]]" not in text:
            continue  # a text model, tested with its family
        lines = ["inputs = []", *(line for line in text.splitlines() if not line.startswith("inputs"))]
        file = tmp_path / example.name
        file.write_text("\n".join(lines))
        study = run_study(load(file)[1])
        for series in study.series:
            assert all(np.isfinite(p.theory) and p.theory > 0 for p in series.points)


def test_a_failing_report_leaves_nothing(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(SMALL.replace('"log:1e-3:1:5"', '"lin:-1:1:3"'))
    with pytest.raises(ct.CollapseTheoryError):
        write_report(load(file)[1], tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} <= {"bad.toml", ".out.partial"}
    assert not (tmp_path / "out").exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def interrupted():
        with whole_folder(tmp_path / "out") as (scratch, _):
            (scratch / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with whole_folder(tmp_path / "out") as (scratch, _):
        (scratch / "a").write_text("whole")
    assert {p.name: p.read_text() for p in (tmp_path / "out").iterdir()} == {"a": "whole", "mine": "kept"}
    with pytest.raises(ct.DomainError, match="folder"), whole_folder(tmp_path / "out" / "a"):
        pass


def test_an_interrupted_report_resumes(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    settings = load(file)[1]
    seen = []

    def stop(what, done, total):
        seen.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(settings, tmp_path / "out", stop)
    kept = [p for p in (tmp_path / ".out.partial").rglob("*") if p.is_file()]
    assert len(kept) == 3
    study, _ = write_report(settings, tmp_path / "out")
    assert not (tmp_path / ".out.partial").exists()
    clean = run_study(settings)
    for a, b in zip(study.checks("gaussian"), clean.checks("gaussian"), strict=True):
        assert a[2].simulation.mean == b[2].simulation.mean


def test_the_best_ridge_of_every_curve_is_marked(tmp_path):
    """That of the optimum by its own derivative, on the sweep only, and of continuous symbols only."""
    file = tmp_path / "u.toml"
    file.write_text(SMALL.replace("trials = 30", "trials = 2").replace('"log:1e-3:1:5"', '"log:1e-3:10:5"'))
    study = run_study(load(file)[1])
    for series in study.series:
        grid = np.geomspace(1e-3, 10, 20001)
        errors = series.formula.evaluate(spectrum=ct.PowerLaw(40, beta=1.2), target=ct.RandomTarget(norm2=1), lam=grid)
        assert series.optimum == pytest.approx((grid[errors.argmin()], errors.min()), rel=1e-3)
    stars = [line for line in draw_study(study).axes[0].lines if line.get_marker() == "*" and len(line.get_xdata())]
    assert [(float(x.get_xdata()[0]), float(x.get_ydata()[0])) for x in stars] == [s.optimum for s in study.series]
    assert "Least errors over" in study_document(study)
    file.write_text(SMALL.replace("trials = 30", "trials = 2").replace('"log:1e-3:1:5"', '"log:3:10:3"'))
    assert all(s.optimum is None for s in run_study(load(file)[1]).series)


def test_a_legend_stands_beside_the_axes_and_colours_differ(small):
    figure = draw_study(small[0])
    figure.draw_without_rendering()
    box, axes = figure.legends[0].get_window_extent(), figure.axes[0]
    assert box.x0 >= axes.get_window_extent().x1
    lines = [x for x in axes.lines if x.get_linestyle() == "-" and len(x.get_xdata()) > 1]
    assert len({x.get_color() for x in lines}) == len(small[0].series)


REPORT = CHAIN.replace("[[sample]]", 'inputs = ["gaussian"]\n[[sample]]', 1)


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
        terms = chain_terms(point.x)
        simulated = [check.simulation.mean, check.simulation.sem, check.z, check.relative_gap]
        assert [float(x) for x in row[1:]] == pytest.approx([point.x, sum(terms.values()), *terms.values(), *simulated])
        assert check.simulation.trials == 20
        assert shown["x"] == point.x
        assert shown["terms"] == pytest.approx(terms)
        got = shown["checks"]["gaussian"]
        assert [got[k] for k in ("mean", "sem", "z", "relative_gap")] == pytest.approx(simulated)
        assert got["allowance"] == check.allowance
        assert got["passed"] is check.passed


def test_text_reports_say_infinities_in_words():
    assert plain(math.inf) == "inf"
    assert plain(np.float64(0.5)) == 0.5
