"""What the page asks for, each answer plain data made from a state: the subject, its picture, and the beginnings."""

from __future__ import annotations

from typing import Any

from collapse_theory.explore.presets import PRESETS, WORKFLOWS
from collapse_theory.explore.snippets import python_code, toml_code
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import explorable, first_state, subject
from collapse_theory.present.draw import draw_pipeline
from collapse_theory.present.picture import Picture

__all__ = ["about_data", "beginnings", "code_data", "drawing"]


def beginnings(state: State) -> dict[str, Any]:
    """Return what the page knows before it asks: the state it opens with, presets, theorems and workflows."""
    return {
        "state": state.query(),
        "presets": [{"name": p.name, "sentence": p.sentence, "state": p.state.query()} for p in PRESETS],
        "theorems": [{"pipeline": slug, "title": title} for slug, title in explorable()],
        "workflows": [{"pipeline": text, "title": title} for title, text in WORKFLOWS.items()],
    }


def about_data(state: State) -> dict[str, Any]:
    """Return the subject of a state: title, sliders, formula in LaTeX, regime, and its complete state.

    >>> found = about_data(State("ridge-clean"))
    >>> found["regime"], [knob["name"] for knob in found["knobs"]]
    ('proportional', ['T', 'sigma', 'lam'])
    """
    about = subject(state.pipeline)
    formula = about.formula(about.counted(about.values(state)))
    return {
        "title": about.title, "hypotheses": about.hypotheses, "regime": formula.regime, "latex": formula.latex(),
        "knobs": [knob.data() for knob in about.knobs], "counts": [*about.counts, "n", "K"],
        "first": first_state(state.pipeline).query(), "runs": formula.pipeline is not None,
    }  # fmt: skip


def code_data(state: State) -> dict[str, str]:
    """Return what the copy buttons copy."""
    return {"python": python_code(state), "toml": toml_code(state)}


def drawing(state: State) -> str:
    """Return the pipeline as SVG; empty for a limit, which has none."""
    about = subject(state.pipeline)
    pipe = about.pipeline(about.values(state))
    if pipe is None:
        return ""
    figure = draw_pipeline(pipe)
    assert isinstance(figure, Picture)
    return figure._repr_svg_()
