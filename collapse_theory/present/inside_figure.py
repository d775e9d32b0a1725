"""The figure of what is seen from inside: theory as lines, simulations as points, over the generations."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from collapse_theory.study.generations_inside import SEEN, SeenPoint

__all__ = ["draw_inside"]

_COLOURS = {"test error": "#D55E00", "cross-validation": "#0072B2", "training error": "#56B4E9"}
"""Okabe and Ito, *Color Universal Design* (2008)."""
_MARKERS = {"gaussian": "o", "real": "s"}
_LABELS = {"gaussian": "simulation, Gaussian inputs", "real": "simulation, real inputs"}


def draw_inside(points: Sequence[SeenPoint], title: str = "") -> Figure:
    """Return the figure; error bars are two standard errors.

    Args:
        points: From :func:`~collapse_theory.study.generations_inside.generations_inside`.
        title: Above the axes.
    """
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for measured, words in SEEN.items():
        mine = [p for p in points if p.measured == measured]
        x, colour = [p.generation for p in mine], _COLOURS[measured]
        axes.plot(x, [p.theory for p in mine], color=colour, label=words)
        for kind, marker in _MARKERS.items():
            runs = [p.simulated[kind] for p in mine]
            axes.errorbar(
                x, [s.mean for s in runs], yerr=[2 * s.sem for s in runs], color=colour, marker=marker, linestyle="none",
                markersize=4 if kind == "gaussian" else 8, mfc=colour if kind == "gaussian" else "none", capsize=3,
            )  # fmt: skip
    for kind, marker in _MARKERS.items():
        axes.plot([], [], color="0.3", marker=marker, linestyle="none", markersize=4 if kind == "gaussian" else 8,
                  mfc="0.3" if kind == "gaussian" else "none", label=_LABELS[kind])  # fmt: skip
    axes.set(xlabel="generation", ylabel="mean squared error", title=title)
    axes.set_xticks(sorted({p.generation for p in points}))
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure
