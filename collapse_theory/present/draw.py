"""A pipeline as a picture: who labels what, who fits on what. :mod:`collapse_theory.present.routes` says where things are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sympy import Expr, Float, latex

from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import show
from collapse_theory.describe.pipeline import TRUTH, Features, Fit, GradientFlow, Pipeline, Sample, Truth
from collapse_theory.present.fonts import drawable
from collapse_theory.present.routes import PILL, Arrangement, Arrow, Point, Rail, Spot, arranged
from collapse_theory.symbols import LATEX, NOTATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_pipeline"]

_INK, _LABEL, _POOL = "#22303c", "#b3541e", "#6b7a86"
_FILL = {"truth": "#f6e3b4", "sample": "#e3edf5", "subsample": "#eef0e2", "fit": "#e4efe2"}
_STYLE: dict[str, dict[str, Any]] = {
    "fits on": {"color": _INK, "arrowstyle": "-|>"},
    "labels": {"color": _LABEL, "arrowstyle": "->"},
    "drawn from": {"color": _POOL, "arrowstyle": "->", "linestyle": (0, (2, 1.5))},
}
_BEND = 0.1  # radius of a corner, in inches
_MARGIN = 0.18
_LEGEND = 0.42
_SMALLEST = 4.5  # points
_NARROWEST = 3.4  # room for the legend


def draw_pipeline(pipeline: Pipeline, ax: Axes | None = None) -> Figure:
    """Return the picture of a pipeline as a Matplotlib figure.

    Args:
        pipeline: Any pipeline; an empty one gives the words "empty pipeline".
        ax: Axes to draw into, which are emptied of their frame; None makes a figure that shows itself in a notebook and that
            pyplot does not know.

    Raises:
        DomainError: If ``ax`` is no axes.

    >>> from collapse_theory.describe.workflows import Stage, replace
    >>> len(draw_pipeline(replace(1, Stage(T=9), Stage(T=9))).axes)
    1
    """
    from matplotlib.axes import Axes

    layout = arranged(pipeline)
    left, right, low, high = _extent(layout)
    axes = instance(ax, Axes | None, "ax", "pass axes of Matplotlib, or None", DomainError)
    if axes is None:
        from collapse_theory.present.picture import Picture

        axes = Picture(figsize=(right - left, high - low)).add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    axes.set_axis_off()
    figure: Figure = axes.get_figure(root=True)
    room = axes.get_window_extent()
    pen = _Pen(axes, min(room.width / (right - left), room.height / (high - low)) / figure.dpi)
    for arrow in layout.arrows.values():
        pen.arrow(arrow)
    for rail in layout.rails:
        pen.rail(rail)
    for sample, (spot, shares) in layout.truths.items():
        pen.truth(spot, layout.places[sample], shares)
    for node, spot in layout.places.items():
        pen.node(node, spot)
    pen.legend(layout, (left + right) / 2, low)
    return figure


def _extent(layout: Arrangement) -> tuple[float, float, float, float]:
    """Return the left, right, lower and upper end of the picture, its legend included."""
    spots = [*layout.places.values(), *(spot for spot, _ in layout.truths.values())]
    points = [(p.x + i * p.half[0], p.y + i * p.half[1]) for p in spots for i in (-1, 1)]
    lines: list[Arrow | Rail] = [*layout.arrows.values(), *layout.rails]
    points += [q for x in lines for piece in x.pieces for q in piece] or [(0.0, 0.0)]
    xs, ys = zip(*points, strict=True)
    short = max(0.0, _NARROWEST - (max(xs) - min(xs)) - 2 * _MARGIN) / 2
    return (min(xs) - _MARGIN - short, max(xs) + _MARGIN + short, min(ys) - _MARGIN - _LEGEND, max(ys) + _MARGIN)


class _Pen:
    """Axes and the size of letters in them: 1 where an inch of the layout is an inch of the figure."""

    def __init__(self, axes: Axes, scale: float) -> None:
        self.axes, self.scale = axes, scale

    def line(self, points: Sequence[Point], style: Mapping[str, Any]) -> None:
        """Draw a line with round corners and the head of its style."""
        from matplotlib.patches import FancyArrowPatch

        size: dict[str, Any] = {
            "mutation_scale": 9 * self.scale,
            "linewidth": 1.1 * self.scale,
            "shrinkA": 0,
            "shrinkB": 0,
        }
        self.axes.add_patch(FancyArrowPatch(path=_rounded(points), zorder=1, capstyle="butt", **style, **size))

    def arrow(self, arrow: Arrow, start: Sequence[Point] = ()) -> None:
        """Draw an arrow and its coefficient."""
        style = _STYLE[arrow.kind]
        self.line([*start, *arrow.points], style)
        if not (arrow.coefficient - 1).is_zero:
            self.text(*arrow.text, _math(arrow.coefficient), 7.5, color=style["color"], paper=True)

    def rail(self, rail: Rail) -> None:
        """Draw a rail: what joins it and what leaves it bends the way it goes, downwards."""
        plain = {**_STYLE[rail.leaves[0].kind], "arrowstyle": "-"}
        (x, top), (_, bottom) = rail.trunk
        self.line([(x, top - _BEND), (x, bottom + _BEND)], plain)
        for points in rail.joins:
            self.line([*points, (x, points[-1][1] - 2 * _BEND)], plain)
        for arrow in rail.leaves:
            self.arrow(arrow, [(x, arrow.points[0][1] + 2 * _BEND)])

    def truth(self, spot: Spot, sample: Spot, shares: Mapping[Truth, Expr]) -> None:
        """Draw the truth, or several, beside a sample that they label."""
        from matplotlib.patches import FancyBboxPatch

        start, end = spot.x + spot.half[0], sample.x - sample.half[0]
        self.line([(start, spot.y), (end, spot.y)], _STYLE["labels"])
        (a, b), corner = PILL, (spot.x - PILL[0], spot.y - PILL[1])
        outline = FancyBboxPatch(corner, 2 * a, 2 * b, "round,pad=0,rounding_size=0.15", facecolor=_FILL["truth"])
        self.outlined(outline)
        names = ", ".join("truth" if x == TRUTH else _name(x.name) for x in shares)
        self.text(spot.x, spot.y, names, 7.5, width=2 * a - 0.08)
        share = next(iter(shares.values()))
        if len(shares) == 1 and not (share - 1).is_zero:
            self.text((start + end) / 2 - 0.03, spot.y, _math(share), 7.5, color=_LABEL, paper=True)

    def node(self, node: Sample | Fit, spot: Spot) -> None:
        from matplotlib.patches import Circle, FancyBboxPatch, Patch

        a, b = spot.half
        if isinstance(node, Fit):
            outline: Patch = Circle((spot.x, spot.y), a, facecolor=_FILL["fit"])
            lines = [_name(node.name), *_how(node)]
        else:
            fill = _FILL["subsample" if node.pool else "sample"]
            corner = (spot.x - a, spot.y - b)
            outline = FancyBboxPatch(corner, 2 * a, 2 * b, "round,pad=0,rounding_size=0.12", facecolor=fill)
            rows = _quantity("T", node.T) if node.design is None else f"inputs of {_name(node.inputs.name)}"
            lines = [_name(node.name), rows] + ([] if node.noise is None else [_quantity(r"\sigma", node.noise)])
        self.outlined(outline)
        for i, line in enumerate(lines):
            y, size = spot.y + (len(lines) - 1 - 2 * i) * 0.105, 8.5 if i == 0 else 7.5
            self.text(spot.x, y, line, size, width=2 * a - 0.12)

    def outlined(self, outline: Any) -> None:
        outline.set(edgecolor=_INK, linewidth=1.1 * self.scale, zorder=3)
        self.axes.add_patch(outline)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        color: str = _INK,
        width: float | None = None,
        paper: bool = False,
    ) -> None:
        """Write centred text: no wider than ``width`` inches, or on white paper where it lies on a line."""
        how: dict[str, Any] = {"ha": "center", "va": "center", "color": color, "zorder": 2 if paper else 4}
        if paper:
            how["bbox"] = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        written = self.axes.text(x, y, text, fontsize=size * self.scale, **how)
        if width is not None:
            extent = written.get_window_extent().width / self.axes.figure.dpi / self.scale
            share = min(1.0, width / extent)
            if size * share < _SMALLEST:  # no letters that nobody can read
                share = _SMALLEST / size
                written.set_text("…" if "$" in text else f"{text[: int(len(text) * width / extent / share) - 1]}…")
            written.set_fontsize(size * share * self.scale)

    def legend(self, layout: Arrangement, x: float, low: float) -> None:
        """Explain the arrows that the picture has."""
        from matplotlib.lines import Line2D

        kinds = {e.kind for e in layout.arrows} | {r.edges[0].kind for r in layout.rails}
        kinds |= {"labels"} if layout.truths else set()
        words = {"fits on": "fits on (row weight)", "labels": "labels (coefficient)", "drawn from": "drawn from"}
        handles = []
        for kind in (k for k in _STYLE if k in kinds):
            style, width = _STYLE[kind], 1.1 * self.scale
            line = {"color": style["color"], "linestyle": style.get("linestyle", "-"), "linewidth": width}
            handles.append(Line2D([], [], label=words[kind], **line))
        if not handles:
            self.text(x, low + _LEGEND / 2, "empty pipeline", 8.5)
            return
        style = {"frameon": False, "fontsize": 7.5 * self.scale, "handlelength": 2.0, "borderaxespad": 0.1}
        self.axes.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(x, low), bbox_transform=self.axes.transData,
            ncols=2, columnspacing=1.2, labelspacing=0.3, **style,
        )  # fmt: skip


def _rounded(points: Sequence[Point]) -> Any:
    """Return a line through points with round corners."""
    from matplotlib.path import Path

    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        ends = []
        for end in (before, after):
            dx, dy = end[0] - corner[0], end[1] - corner[1]
            length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
            share = min(_BEND / length, 0.5)
            ends.append((corner[0] + share * dx, corner[1] + share * dy))
        vertices += [ends[0], corner, ends[1]]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])


def _quantity(symbol: str, value: Expr) -> str:
    """Return ``symbol = value`` as mathtext, or the value alone where it says so itself: T_0, lambda + 1."""
    body = _math(value).strip("$")
    own = any(_math(s).strip("$").startswith(symbol) for s in value.free_symbols)
    return f"${body}$" if own else f"${symbol} = {body}$"


def _how(fit: Fit) -> list[str]:
    """Return what is written into a fit: its ridge or its filter, and its features."""
    out = [] if fit.ridge is None else [_quantity(r"\lambda", fit.ridge)]
    if fit.filter is not None:
        names = ("t",) if isinstance(fit.filter, GradientFlow) else (r"\eta", "k")
        out += [_quantity(name, e) for name, e in zip(names, fit.filter.parameters, strict=True)]
    if isinstance(fit.features, Features):
        out.append(f"on {_name(fit.features.name)}")
    elif fit.features is not None:
        out.append(_quantity("m", fit.features))
    return out


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
    named = {s: LATEX[n] for n, s in NOTATION.items() if n in LATEX}
    text = f"${latex(short, full_prec=False, symbol_names=named, fold_short_frac=True)}$"
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return show(short)
    return text
