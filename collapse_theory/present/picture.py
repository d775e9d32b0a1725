"""A Matplotlib figure that shows itself in a notebook, whatever back end is active, and that pyplot does not know."""

from __future__ import annotations

from io import StringIO
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["Picture"]


class Picture(Figure):
    """A figure with a canvas of its own and, in a notebook, the form of an SVG."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def _repr_svg_(self) -> str:
        written = StringIO()
        self.savefig(written, format="svg")
        return written.getvalue()
