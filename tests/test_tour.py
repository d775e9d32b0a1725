"""The notebook tour runs from top to bottom, as a notebook does: cells in order, in one namespace, the last expression shown."""

import ast
import json
from pathlib import Path

import pytest

import collapse_theory as ct

TOUR = Path(ct.__file__).parent.parent / "examples" / "tour.ipynb"


def run(source, names):
    """Run a cell and return the value of its last expression, as IPython does."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


def test_the_tour(capsys):
    book = json.loads(TOUR.read_text(encoding="utf-8"))
    names, shown = {"__name__": "__main__"}, []
    for cell in book["cells"]:
        assert cell["id"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []  # what a run leaves behind is not kept
            value = run("".join(cell["source"]), names)
            if value is not None:
                shown.append(value)
    pictures = [value for value in shown if hasattr(value, "savefig") or hasattr(value, "figure")]
    assert len(pictures) == 2
    assert any("$" in x._repr_latex_() for x in shown if hasattr(x, "_repr_latex_"))
    printed = capsys.readouterr().out
    assert "ols-accumulate-fixed-design -> holds" in printed
    assert "ols-accumulate -> bound" in printed
    assert names["check"].passed


def test_links_lead_somewhere():
    book = json.loads(TOUR.read_text(encoding="utf-8"))
    text = "".join(line for cell in book["cells"] for line in cell["source"])
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    for link in links:
        assert (TOUR.parent / link).is_file(), link


def test_a_cell_that_fails_is_seen():
    with pytest.raises(ZeroDivisionError):
        run("x = 1\nx / 0", {})
