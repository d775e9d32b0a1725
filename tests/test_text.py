"""Collapse of a text: points, columns, the figure and the report."""

import csv
import io

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.families import text
from collapse_theory.families.text import (
    QUANTITIES,
    WORKFLOWS,
    TextPoint,
    as_csv,
    bigram,
    read_tokens,
    text_collapse,
    unigram,
)
from collapse_theory.present.text_figure import draw_text_collapse
from tests.helpers import call


def test_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat and the dog and the bird saw the cat " * 8, encoding="utf-8")
    for contexts in (unigram(read_tokens(path)), bigram(read_tokens(path, "character"), rows=300)):
        points = text_collapse(contexts, generations=3, runs=200, seed=1)
        assert len(points) == 3 * 3 * 4
        for p in points:
            assert p.lower - 1e-9 <= p.theory <= p.upper + 1e-9
            gap = max(p.lower - p.simulated, p.simulated - p.upper, 0.0)
            unseen = 5 / 200 if p.sem == 0 else 0.0  # an event of that chance may be missing from 200 runs
            assert gap <= 4.5 * p.sem + unseen + 1e-9
        assert as_csv(points).count("\n") == len(points) + 1
        assert len(draw_text_collapse(points).axes) == 3
    with pytest.raises(ct.DomainError, match="missing"):
        read_tokens(tmp_path / "missing.txt")


def test_a_figure_of_a_text_has_theory_as_lines_and_simulation_as_points_with_two_standard_errors():
    points = [
        TextPoint(w, g, q, 1.0 + g, 0.5 + g, 2.0 + g, 1.25 + g, 0.125)
        for w in WORKFLOWS
        for q in QUANTITIES
        for g in (0, 1)
    ]
    figure = draw_text_collapse(points)
    assert [axis.get_title() for axis in figure.axes] == list(QUANTITIES)
    for axis in figure.axes:
        assert axis.get_xlabel() == "generation"
        assert len(axis.containers) == len(axis.collections) / 2 == len(WORKFLOWS)
        theory = [line for line in axis.lines if line.get_label() in WORKFLOWS]
        for line, bars in zip(theory, axis.containers, strict=True):
            simulated, _, (spread,) = bars.lines
            assert line.get_xydata().tolist() == [[0, 1], [1, 2]]
            assert (line.get_linestyle(), simulated.get_linestyle(), simulated.get_marker()) == ("-", "None", "o")
            assert simulated.get_xydata().tolist() == [[0, 1.25], [1, 2.25]]
            assert [s.tolist() for s in spread.get_segments()] == [[[0, 1.0], [0, 1.5]], [[1, 2.0], [1, 2.5]]]
            assert line.get_color() == simulated.get_color()
        assert len({line.get_color() for line in theory}) == len(WORKFLOWS)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == list(WORKFLOWS)


def test_points_of_a_text_have_the_mean_and_the_standard_error_of_their_runs(monkeypatch):
    runs = np.array([1.0, 3.0, 8.0])
    simulated = runs[:, None, None] * np.ones((3, 2, 3)) * np.array([1, 10])[:, None] + np.array([0, 100, 200])
    monkeypatch.setattr(text, "_simulate", lambda *_: simulated)
    points = text.text_collapse(text.unigram(["a", "b", "a", "c"]), generations=1, runs=3)
    assert len(points) == 2 * 3 * len(text.WORKFLOWS)
    for p in points:
        size, shift = 10**p.generation, 100 * text.QUANTITIES.index(p.quantity)
        assert p.simulated == pytest.approx(4 * size + shift)
        assert p.sem == pytest.approx(size * np.sqrt((9 + 1 + 16) / 2 / 3))


def test_text_report_from_the_command_line(tmp_path):

    (tmp_path / "a.txt").write_text("a rose is a rose is a rose " * 9, encoding="utf-8")
    file = tmp_path / "a.toml"
    file.write_text('text = "a.txt"\ngenerations = 2\nruns = 5\n', encoding="utf-8")
    call("report", str(file), "-o", str(tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) [:4] == [
        "figure.pdf", "figure.png", "report.csv", "report.json"
    ]  # fmt: skip
    file.write_text('text = "a.txt"\ngeneration = 2\n', encoding="utf-8")
    assert "generations" in call("report", str(file), "-o", str(tmp_path / "other"), code=2).output
    assert not (tmp_path / "other").exists()


def test_columns_of_a_text():
    point = TextPoint("context", 3, "diversity", 0.5, 0.4, 0.6, 0.52, 0.01)
    row = next(csv.DictReader(io.StringIO(as_csv([point]))))
    values = {k: (float(v) if k not in {next(iter(row)), "quantity"} else v) for k, v in row.items()}
    assert list(values.values()) == ["context", 3, "diversity", 0.5, 0.4, 0.6, 0.52, 0.01]
    for name, value in values.items():
        assert getattr(point, name) == value
    assert {"generation", "quantity", "lower", "upper"} <= set(row)
