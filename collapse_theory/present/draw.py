r"""A pipeline as a picture: who labels what, who fits on what.

Rounds run from left to right, in three lanes: the truth on top, samples (boxes) below it, fits (circles) at the bottom;
subsamples get a lane of their own between samples and fits. Every node of a lane has its own place along it, so that
arrows between lanes pass between nodes and not through them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Float, latex

from collapse_theory.core.numbers import show
from collapse_theory.describe.pipeline import TRUTH, Features, Fit, OneOf, Pipeline, Sample
from collapse_theory.present.fonts import drawable
from collapse_theory.symbols import LATEX, NOTATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_pipeline"]

_PITCH = 1.5  # inches between neighbours of a lane
_BOX = (1.14, 0.72)  # width and height of a sample
_RADIUS = 0.40
_LANE = 1.65  # inches between lanes
_INK, _LABEL, _SHARED = "#22303c", "#b3541e", "#6b7a86"
_FILL = {"truth": "#f6e3b4", "sample": "#e3edf5", "subsample": "#eef0e2", "fit": "#e4efe2"}


@dataclass(frozen=True)
class _Spot:
    """Centre of a node, and how far its outline is from it on the way out (half width, half height)."""

    x: float
    y: float
    half: tuple[float, float]
    round: bool = False

    def towards(self, other: _Spot) -> tuple[float, float]:
        """Return the point of the outline on the way to ``other``."""
        dx, dy = other.x - self.x, other.y - self.y
        a, b = self.half
        # Nodes are left upwards or downwards only: a flat arrow would cross the neighbours of its lane.
        up = 1 if dy > 0 else -1
        if self.round:
            sine = max(-0.5, min(0.5, dx / float(np.hypot(dx, dy))))
            return self.x + a * sine, self.y + up * b * float(np.sqrt(1 - sine**2))
        return self.x + max(-0.85 * a, min(0.85 * a, b * dx / abs(dy))), self.y + up * b


def draw_pipeline(pipeline: Pipeline) -> Figure:
    """Return the picture of a pipeline as a Matplotlib figure that is not registered with pyplot.

    Args:
        pipeline: Any pipeline; an empty one gives a picture of the truth alone.

    >>> from collapse_theory.describe.workflows import Stage, replace
    >>> len(draw_pipeline(replace(1, Stage(T=9), Stage(T=9))).axes)
    1
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places = _layout(pipeline)
    right = max(p.x for p in places.values()) + _PITCH / 2
    bottom = min(p.y for p in places.values()) - _RADIUS - 0.6
    width = max(right + _PITCH / 2, 4.6)
    figure = Figure(figsize=(width, 0.5 - bottom))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    middle = (right - _PITCH / 2) / 2
    axes.set(xlim=(middle - width / 2, middle + width / 2), ylim=(bottom, 0.5))
    axes.set_axis_off()
    for sample in pipeline.samples:
        _arrows_to_sample(axes, sample, places)
    for fit in pipeline.fits:
        for sample, weight in zip(fit.samples, fit.weights, strict=True):
            _arrow(axes, places[sample], places[fit], "" if (weight - 1).is_zero else _math(weight), _INK, "-")
    _shared_inputs(axes, pipeline, places)
    _node(axes, TRUTH, places[TRUTH])
    for node in (*pipeline.samples, *pipeline.fits):
        _node(axes, node, places[node])
    _legend(axes, pipeline)
    return figure


# ---------------------------------------------------------------------- where
def _layout(pipeline: Pipeline) -> dict[Any, _Spot]:
    """Place the nodes: rounds left to right, one slot per node of a lane and round."""
    rounds = _rounds(pipeline)
    lanes: list[list[Any]] = [
        [s for s in pipeline.samples if not s.pool],
        [s for s in pipeline.samples if s.pool],
        list(pipeline.fits),
    ]
    lanes = [lane for lane in lanes if lane] or [[]]
    places: dict[Any, _Spot] = {}
    left = 0.0
    for column in sorted(set(rounds.values())):
        groups = [[node for node in lane if rounds[node] == column] for lane in lanes]
        slots = max(len(g) for g in groups)
        for depth, group in enumerate(groups):
            start = left + (slots - len(group)) / 2 * _PITCH
            for i, node in enumerate(group):
                half = (_RADIUS, _RADIUS) if isinstance(node, Fit) else (_BOX[0] / 2, _BOX[1] / 2)
                places[node] = _Spot(start + i * _PITCH, -(depth + 1) * _LANE, half, round=isinstance(node, Fit))
        left += slots * _PITCH
    labelled = [places[s].x for s in pipeline.samples if TRUTH in s.labellers] or [0.0]
    places[TRUTH] = _Spot((labelled[0] + labelled[-1]) / 2, 0.0, (0.46, 0.27))
    return places


def _rounds(pipeline: Pipeline) -> dict[Sample | Fit, int]:
    """Return the column of each node: fits by their longest chain of labellers, samples where they are first used."""
    rounds: dict[Any, int] = {TRUTH: -1}
    for node in pipeline.nodes:
        if isinstance(node, Features):
            continue
        before: Iterable[Any] = node.samples if isinstance(node, Fit) else (*node.labellers, *node.pool)
        step = 1 if isinstance(node, Sample) and not node.pool else 0
        rounds[node] = max((rounds[b] + step for b in before), default=0)
    for node in reversed(pipeline.nodes):
        if isinstance(node, Sample):
            users = [rounds[f] for f in pipeline.fits if node in f.samples]
            users += [rounds[s] for s in pipeline.samples if node in s.pool]
            rounds[node] = max(rounds[node], min(users, default=rounds[node]))
    del rounds[TRUTH]
    return rounds


# ---------------------------------------------------------------------- arrows
def _arrows_to_sample(axes: Axes, sample: Sample, places: dict[Any, _Spot]) -> None:
    for source in sample.pool:
        _arrow(axes, places[source], places[sample], "", _SHARED, ":")
    if isinstance(sample.source, OneOf):
        share = f"$1/{len(sample.source.labellers)}$"
        for labeller in sample.labellers:
            _arrow(axes, places[labeller], places[sample], share, _LABEL, "--")
    else:
        for labeller, c in sample.resolved.signal:
            _arrow(axes, places[labeller], places[sample], "" if (c - 1).is_zero else _math(c), _LABEL, "--")


def _arrow(axes: Axes, a: _Spot, b: _Spot, text: str, color: str, style: str) -> None:
    start, end = a.towards(b), b.towards(a)
    how = {"arrowstyle": "-|>", "color": color, "linestyle": style, "linewidth": 1.1, "shrinkA": 1, "shrinkB": 1}
    axes.annotate("", end, start, arrowprops=how | {"mutation_scale": 10}, zorder=1)
    if text:  # two thirds of the way, where arrows from one node have spread and those into one have not yet met
        x, y = (s + 0.62 * (e - s) for s, e in zip(start, end, strict=True))
        paper = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"}
        axes.text(x, y, text, color=color, fontsize=8, ha="center", va="center", bbox=paper, zorder=2)


def _shared_inputs(axes: Axes, pipeline: Pipeline, places: dict[Any, _Spot]) -> None:
    """Link the samples of one design, each to the next."""
    designs: dict[Sample, list[Sample]] = {}
    for sample in pipeline.samples:
        designs.setdefault(sample.inputs, []).append(sample)
    for group in designs.values():
        for a, b in pairwise(group):
            p, q = sorted((places[a], places[b]), key=lambda place: place.x)
            near = q.x - p.x < 1.5 * _PITCH
            y = 0.0 if near else 0.4 * _BOX[1]
            bend = "arc3" if near else "arc3,rad=-0.22"
            start, end = (p.x + p.half[0], p.y + y), (q.x - q.half[0], q.y + y)
            how = {"arrowstyle": "-", "color": _SHARED, "linestyle": ":", "linewidth": 2, "connectionstyle": bend}
            axes.annotate("", end, start, arrowprops=how | {"shrinkA": 0, "shrinkB": 0}, zorder=1)


# ---------------------------------------------------------------------- nodes
def _node(axes: Axes, node: Any, place: _Spot) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch, Patch

    a, b = place.half
    if isinstance(node, Fit):
        outline: Patch = Circle((place.x, place.y), a, facecolor=_FILL["fit"])
        lines = [_name(node.name)] + ([] if node.ridge is None else [_quantity(r"\lambda", node.ridge)])
    else:
        sample = isinstance(node, Sample)
        corner, style = (place.x - a, place.y - b), f"round,pad=0,rounding_size={0.12 if sample else 0.26}"
        outline = FancyBboxPatch(corner, 2 * a, 2 * b, style, facecolor=_FILL["sample" if sample else "truth"])
        lines = ["truth"]
        if isinstance(node, Sample):
            lines = [_name(node.name), _quantity("T", node.T)]
            lines += [] if node.noise is None else [_quantity(r"\sigma", node.noise)]
            if node.pool:
                outline.set_facecolor(_FILL["subsample"])
    outline.set(edgecolor=_INK, linewidth=1.1, zorder=3)
    axes.add_patch(outline)
    for i, line in enumerate(lines):
        y, size = place.y + (len(lines) - 1 - 2 * i) * 0.105, 8.5 if i == 0 else 7.5
        text = axes.text(place.x, y, line, fontsize=size, ha="center", va="center", color=_INK, zorder=4)
        extent = text.get_window_extent().width / axes.figure.dpi
        text.set_fontsize(max(size * min(1.0, (2 * a - 0.12) / extent), 4.5))


def _quantity(symbol: str, value: Expr) -> str:
    """Return ``symbol = value`` as mathtext, or the value alone where it says so itself: T_0, lambda + 1."""
    body = _math(value).strip("$")
    own = any(_math(s).strip("$").startswith(symbol) for s in value.free_symbols)
    return f"${body}$" if own else f"${symbol} = {body}$"


def _name(name: str) -> str:
    """Return a node's name: a trailing number becomes an index (m12 -> m_{12}), the rest stays literal text."""
    name = drawable(name)
    stem = name.rstrip("0123456789")
    index = name[len(stem) :]
    return f"{stem}$_{{{index}}}$" if index and stem.isalpha() else name


def _math(value: Expr) -> str:
    """Return an expression as mathtext, or as plain text where mathtext lacks the command."""
    from matplotlib.mathtext import MathTextParser

    short = value.xreplace({x: Float(x, 4) for x in value.atoms(Float)})
    text = f"${latex(short, full_prec=False, symbol_names={s: LATEX[n] for n, s in NOTATION.items() if n in LATEX})}$"
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return show(short)
    return text


def _legend(axes: Axes, pipeline: Pipeline) -> None:
    """Explain the arrows that the picture has."""
    from matplotlib.lines import Line2D

    def line(style: Any, color: str, text: str, width: float = 1.1) -> Line2D:
        return Line2D([], [], linestyle=style, color=color, linewidth=width, label=text)

    handles = [line("-", _INK, "fits on (row weight)")] if pipeline.fits else []
    if pipeline.samples:
        handles.append(line("--", _LABEL, "labels (coefficient)"))
    if any(s.design is not None for s in pipeline.samples):
        handles.append(line(":", _SHARED, "same inputs", 2.0))
    if any(s.pool for s in pipeline.samples):
        handles.append(line(":", _SHARED, "drawn from"))
    if handles:
        style: dict[str, Any] = {"frameon": False, "fontsize": 7.5, "handlelength": 2.2, "borderaxespad": 0.1}
        axes.legend(handles=handles, loc="lower center", ncols=len(handles), columnspacing=1.2, **style)
