"""The graph of theorems as a picture: general theorems on the left, what they contain, tend to or are bounded by on the right.

A layered layout: a theorem's column is the length of the longest way to it. An edge passes through a free place of every column
between its ends, so that no line crosses a name, and each column is ordered by the places of its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collapse_theory.core.errors import ParseError, shown
from collapse_theory.core.writing import write_file
from collapse_theory.theorems.catalog import catalog
from collapse_theory.theorems.graph import Edge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_theorems", "write_theorems"]

_ROW, _GAP, _LETTER, _PASSING = (
    0.3,
    1.5,
    0.079,
    0.4,
)  # inches: a row, between columns, a letter; a line passing takes less
_SWEEPS = 24
_FORMATS = ("svg", "pdf", "png")
_STYLE: dict[str, tuple[str, Any]] = {
    "equals": ("#22303c", "-"),
    "tends to": ("#b3541e", "-"),
    "bounded by": ("#2f7d4f", "--"),
    "same limit": ("#5b6fb0", ":"),
}

_Node = tuple[str, int]
"""A theorem, or the place at which an edge passes a column: a name and the column."""


def draw_theorems(edges: Iterable[Edge], slugs: Iterable[str]) -> Figure:
    """Return the picture as a Matplotlib figure that is not registered with pyplot.

    Args:
        edges: The relations; those of one kind between two theorems are one line.
        slugs: All theorems; one without a relation stands alone.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    from collapse_theory.present.picture import Picture

    lines = sorted({(e.source, e.target, e.relation.kind) for e in edges})
    column = _columns(sorted(slugs), {(a, b) for a, b, _ in lines})
    routes = [(_route(f"{a} {kind} {b}", a, b, column), kind) for a, b, kind in lines]
    place = _places([(slug, c) for slug, c in column.items()], [route for route, _ in routes])
    widths = [_LETTER * max(len(s) for s in column if column[s] == c) + 0.2 for c in range(max(column.values()) + 1)]
    left = [sum(widths[:c]) + c * _GAP for c in range(len(widths))]
    size = (left[-1] + widths[-1] + 0.4, max(place.values()) + 1.0)
    figure = Picture(figsize=size)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(-0.2, size[0] - 0.2), ylim=(size[1] - 0.5, -0.5))
    axes.set_axis_off()
    box = {"boxstyle": "round,pad=0.22", "facecolor": "#eef3f7", "edgecolor": "#22303c", "linewidth": 0.7}
    names = {
        slug: axes.text(left[c] + 0.1, place[slug, c], slug, fontsize=8, va="center", bbox=box, zorder=3)
        for slug, c in column.items()
    }
    right = {slug: left[c] + 0.2 + names[slug].get_window_extent().width / figure.dpi for slug, c in column.items()}
    for route, kind in routes:
        forward = route[0][1] < route[-1][1]
        way = route if forward else route[::-1]
        shift = 0.04 * (list(_STYLE).index(kind) - 1.5)  # two kinds between two theorems are two lines
        points = [(right[way[0][0]], place[way[0]] + shift)]
        for node in way[1:-1]:
            points += [(left[node[1]], place[node]), (left[node[1]] + widths[node[1]], place[node])]
        points.append((left[way[-1][1]], place[way[-1]] + shift))
        vertices, codes = [points[0]], [Curve.MOVETO]
        for start, end in zip(points[::2], points[1::2], strict=True):  # between two columns
            middle = end[0] - _GAP / 2
            vertices += [] if start == vertices[-1] else [start]
            codes += [Curve.LINETO] * (len(vertices) - len(codes))
            vertices += [(middle, start[1]), (middle, end[1]), end]
            codes += [Curve.CURVE4] * 3
        color, style = _STYLE[kind]
        path = FancyArrowPatch(path=Curve(vertices, codes), arrowstyle="-|>" if forward else "<|-", mutation_scale=8)
        path.set(color=color, linestyle=style, linewidth=0.9, zorder=1)
        axes.add_patch(path)
    handles = [Line2D([], [], color=c, linestyle=s, label=kind) for kind, (c, s) in _STYLE.items()]
    axes.legend(handles=handles, loc="upper right", frameon=False, fontsize=9)
    return figure


def write_theorems(edges: Iterable[Edge], path: Path) -> None:
    """Write the picture of all theorems of the catalogue.

    Args:
        edges: The relations.
        path: Where to; its ending, svg, pdf or png, says how.

    Raises:
        ParseError: If the ending is another one, or the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in _FORMATS:
        raise ParseError(f"FILE needs to end in {', '.join(_FORMATS)}, got {shown(str(path))}; name a picture")
    picture = BytesIO()
    draw_theorems(edges, catalog).savefig(picture, format=kind, dpi=150)
    write_file(path, picture.getvalue(), "picture")


def _columns(slugs: list[str], arrows: set[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each theorem; an arrow that would close a circle counts the other way."""
    ahead: dict[str, set[str]] = {slug: set() for slug in slugs}

    def reaches(a: str, b: str) -> bool:
        return a == b or any(reaches(x, b) for x in ahead[a])

    for a, b in sorted(arrows):
        if reaches(b, a):
            ahead[b].add(a)
        else:
            ahead[a].add(b)
    depth: dict[str, int] = {}

    def from_end(slug: str) -> int:
        if slug not in depth:
            depth[slug] = max((from_end(x) + 1 for x in ahead[slug]), default=0)
        return depth[slug]

    last = max(map(from_end, slugs), default=0)
    return {slug: last - depth[slug] for slug in slugs}


def _route(name: str, a: str, b: str, column: dict[str, int]) -> list[_Node]:
    """Return an edge as places in neighbouring columns."""
    start, end = column[a], column[b]
    step = 1 if end >= start else -1
    return [(a, start), *((name, c) for c in range(start + step, end, step)), (b, end)]


def _places(theorems: list[_Node], routes: list[list[_Node]]) -> dict[_Node, float]:
    """Return the height of every place: columns are ordered by the middle of their neighbours, from both sides in turn."""
    nodes = sorted({*theorems, *(node for route in routes for node in route)}, key=lambda x: (x[1], x[0]))
    tall = {node: _ROW if node in set(theorems) else _PASSING * _ROW for node in nodes}
    beside: dict[_Node, list[_Node]] = {node: [] for node in nodes}
    for route in routes:
        for a, b in pairwise(route):
            beside[a].append(b)
            beside[b].append(a)
    columns = [[x for x in nodes if x[1] == c] for c in range(max(x[1] for x in nodes) + 1)]
    height = {node: i * _ROW for column in columns for i, node in enumerate(column)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else columns[::-1]:
            wish = {x: _mean([height[y] for y in beside[x]] or [height[x]]) for x in column}
            column.sort(key=lambda x: (wish[x], x[0]))
            height |= _apart(column, wish, tall)
    lowest = min(height.values())
    return {node: y - lowest for node, y in height.items()}


def _apart(column: list[_Node], wish: dict[_Node, float], tall: dict[_Node, float]) -> dict[_Node, float]:
    """Return heights as near to the wishes as the order and the room each needs allow: neighbours that meet move as one."""
    blocks: list[tuple[float, list[_Node], float]] = []  # sum of the wishes for the first place, members, room
    for node in column:
        total, members, room = wish[node] - tall[node] / 2, [node], tall[node]
        while blocks and blocks[-1][0] / len(blocks[-1][1]) + blocks[-1][2] > total / len(members):
            before, first, space = blocks.pop()
            total, members, room = before + total - space * len(members), first + members, space + room
        blocks.append((total, members, room))
    out: dict[_Node, float] = {}
    for total, members, _ in blocks:
        y = total / len(members)
        for node in members:
            out[node] = y + tall[node] / 2
            y += tall[node]
    return out


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
