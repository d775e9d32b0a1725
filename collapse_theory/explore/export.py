"""The page in one file, without a server: the presets on a grid of slider positions, every curve computed before."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from collapse_theory.explore.answers import about_data, drawing
from collapse_theory.explore.curves import curve, optimum
from collapse_theory.explore.page import whole_page
from collapse_theory.explore.presets import PRESETS, Preset
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import subject

__all__ = ["static_page"]

_POINTS = 37
_DIGITS = 5


def static_page(presets: tuple[Preset, ...] = PRESETS) -> str:
    """Return a page whose sliders choose among curves that it holds; see :data:`~collapse_theory.explore.presets.PRESETS`.

    Args:
        presets: What it shows.
    """
    return whole_page({"presets": [_frozen(p) for p in presets], "state": presets[0].state.query()})


def _frozen(preset: Preset) -> dict[str, Any]:
    """Return everything that the page shows of a preset."""
    about = subject(preset.state.pipeline)
    values = about.values(preset.state)
    stops = {name: list(points) for name, points in preset.moved}
    over = preset.state.over
    xs = about.knob(over).points(_POINTS)
    told = about_data(preset.state)
    moved = [knob | {"stops": stops.get(knob["name"], xs)} for knob in told["knobs"] if knob["name"] in {*stops, over}]
    order = [knob["name"] for knob in moved if knob["name"] != over]
    fixed = ", ".join(f"{name} = {value:g}" for name, value in values.items() if name not in {*stops, over})
    cells = {}
    for places in itertools.product(*(range(len(stops[name])) for name in order)):
        at = {name: stops[name][i] for name, i in zip(order, places, strict=True)}
        cells[",".join(map(str, places))] = _cell(replace(preset.state, values={**values, **at}))
    return {
        "name": preset.name, "sentence": preset.sentence, "state": preset.state.query(), "x": xs, "cells": cells,
        "drawing": drawing(preset.state),
        "about": told | {"knobs": moved, "counts": [], "over": over, "pipeline": preset.state.pipeline, "runs": False,
                         "first": preset.state.query(),
                         "fixed": f"{preset.state.spectrum}, {preset.state.target}{', ' if fixed else ''}{fixed}"},
    }  # fmt: skip


def _cell(state: State) -> dict[str, Any]:
    found, best = curve(state, _POINTS), optimum(state)
    terms = {name: [_short(v) for v in column] for name, column in found["terms"].items()}
    return {"terms": terms, "optimum": None if best is None else {k: _short(v) for k, v in best.items()}}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
