"""The figure of a text model's collapse: one panel per quantity, theory as lines, simulation as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collapse_theory.families.text import QUANTITIES, WORKFLOWS, TextPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_text_collapse"]


def draw_text_collapse(points: Sequence[TextPoint]) -> Figure:
    """Return a figure with one panel per quantity and one colour per workflow; bounds are shaded.

    Args:
        points: From :func:`~collapse_theory.families.text.text_collapse`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for axis, quantity in zip(figure.subplots(1, len(QUANTITIES)), QUANTITIES, strict=True):
        for colour, workflow in enumerate(WORKFLOWS):
            mine = [p for p in points if p.quantity == quantity and p.workflow == workflow]
            x = [p.generation for p in mine]
            axis.plot(x, [p.theory for p in mine], color=f"C{colour}", label=workflow)
            axis.fill_between(x, [p.lower for p in mine], [p.upper for p in mine], color=f"C{colour}", alpha=0.15, lw=0)
            axis.errorbar(
                x, [p.simulated for p in mine], [2 * p.sem for p in mine], fmt="o", ms=3, capsize=2, color=f"C{colour}"
            )
        axis.set(xlabel="generation", title=quantity)
        axis.grid(alpha=0.3)
    figure.axes[0].legend(title="theory (lines), simulation (points)", fontsize=8, title_fontsize=8)
    return figure
