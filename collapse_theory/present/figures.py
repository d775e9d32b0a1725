"""The figure of a study: theory as lines, simulations as points with error bars."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from collapse_theory.present.fonts import drawable, fonts_for
from collapse_theory.present.latex import to_latex
from collapse_theory.study.report_study import Series, Study
from collapse_theory.symbols import NOTATION

__all__ = ["DISTINCT", "axis_name", "colours", "draw_study", "logarithmic"]

_MARKERS = {"gaussian": "o", "real": "s", "rows": "o"}
_SIZES = {"gaussian": 4, "real": 8, "rows": 4}  # open squares around the dots they may cover
_STAR: dict[str, Any] = {"marker": "*", "markersize": 13, "markeredgecolor": "black", "markeredgewidth": 0.7, "linestyle": "none",
                         "zorder": 5}  # fmt: skip
DISTINCT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito, *Color Universal Design* (2008); the light ones last, and no yellow, which print loses."""
_TITLE = 60  # characters on a line of the title: it stays beside the legend
_LIGHTEST = 0.82  # of viridis, whose end is too light for a line on paper
_LABELS = {"gaussian": "simulation, Gaussian inputs", "real": "simulation, real inputs", "rows": "simulation"}


def draw_study(study: Study) -> Figure:
    """Return the figure of a study: test error over the sweep, one colour per series.

    Error bars are two standard errors, a star is the least error of a curve over the sweep. Axes are logarithmic where the
    values span more than a decade. The legend stands beside the axes, where no curve is.
    """
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    ordered = len(study.settings.curves) == 1
    for series, colour in zip(study.series, colours(len(study.series), ordered=ordered), strict=True):
        x = _positions(series)
        theory = np.array([p.theory for p in series.points])
        style: dict[str, Any] = {"marker": "_", "markersize": 24} if len(x) == 1 else {}
        axes.plot(
            x,
            theory,
            color=colour,
            label=_legend(series.name) if len(study.series) > 1 else "theory",
            **style,
        )
        for kind in study.settings.inputs:
            at = [(xi, p.checks[kind].simulation) for xi, p in zip(x, series.points, strict=True) if kind in p.checks]
            axes.errorbar(
                [xi for xi, _ in at], [s.mean for _, s in at], yerr=[2 * s.sem for _, s in at],
                color=colour, marker=_MARKERS[kind], mfc="none" if kind == "real" else colour,
                linestyle="none", markersize=_SIZES[kind], capsize=3, elinewidth=1,
            )  # fmt: skip
        if series.optimum is not None:
            axes.plot(*series.optimum, color=colour, **_STAR)
    for kind in study.settings.inputs:
        axes.errorbar([], [], yerr=[], color="0.3", marker=_MARKERS[kind], mfc="none" if kind == "real" else "0.3",
                      linestyle="none", markersize=_SIZES[kind], capsize=3, label=_LABELS[kind])  # fmt: skip
    if any(s.optimum is not None for s in study.series):
        axes.plot([], [], color="0.3", label="least error", **_STAR)
    _scales(study, axes)
    axes.set_xlabel(axis_name(study.sweep))
    axes.set_ylabel("test error (excess risk)" if study.settings.spectrum is not None else study.settings.measured)
    title = "\n".join(textwrap.wrap(drawable(study.settings.title), _TITLE))
    axes.set_title(title, fontsize="medium", parse_math=False, family=fonts_for(study.settings.title))
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    names = "".join(s.name for s in study.series)
    figure.legend(loc="outside right upper", frameon=False, prop={"size": "small", "family": fonts_for(names)})
    return figure


def _legend(name: str) -> str:
    """Return the name of a series with its symbols in LaTeX."""
    text = drawable(name).replace("$", r"\$")
    return re.sub(r"\b\w+(?= = )", lambda found: axis_name(found[0]) if found[0] in NOTATION else found[0], text)


def colours(count: int, *, ordered: bool) -> list[Any]:
    """Return colours that the colour-blind can tell apart: a scale from dark to light for series in order, else distinct ones."""
    if ordered and count > 1:
        return list(colormaps["viridis"](np.linspace(0.0, _LIGHTEST, count)))
    return [DISTINCT[i % len(DISTINCT)] for i in range(count)]


def _positions(series: Series) -> np.ndarray:
    x = np.array([p.x for p in series.points])
    return np.zeros(1) if np.isnan(x).any() else x


def _scales(study: Study, axes: object) -> None:
    x = np.concatenate([_positions(s) for s in study.series])
    y = np.array(
        [v for s in study.series for p in s.points for v in (p.theory, *(c.simulation.mean for c in p.checks.values()))]
    )
    for values, scale in ((x, "set_xscale"), (y, "set_yscale")):
        if logarithmic(values):
            getattr(axes, scale)("log")
    if study.sweep is None:
        axes.set_xticks([])  # type: ignore[attr-defined]
    elif np.all(x == np.round(x)) and np.ptp(x) <= 20:
        axes.set_xticks(sorted(set(x.tolist())))  # type: ignore[attr-defined]


def logarithmic(values: np.ndarray) -> bool:
    """Whether an axis is to be logarithmic: its values are positive and span more than a decade."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 10 * finite.min())


def axis_name(sweep: str | None) -> str:
    """Return how an axis is labelled: a symbol in LaTeX, after the name of what it belongs to."""
    if sweep is None:
        return ""
    stem, _, field = sweep.rpartition(".")
    symbol = NOTATION.get(field)
    printed = f"${to_latex(symbol)}$" if symbol is not None else field.replace("_", " ")
    return f"{stem} {printed}".strip()
