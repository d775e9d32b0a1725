r"""Where the nodes and arrows of a pipeline's picture are.

Generations go from top to bottom, a row or more each, in lanes: samples on the left, fits on the right, subsamples between;
so the picture is as wide for a hundred generations as for one. The truth, which labels everywhere, stands beside each sample
that it labels.

An arrow is drawn straight where it meets nothing. Whatever is used again later travels on a *rail*, a vertical line left or
right of the lanes with a branch to each node that uses it. Two sources whose remaining uses are the same share a rail, so
accumulated data are one line: who is on a rail above a branch is in what the branch leads to. Each rail takes the side and the
track on which it crosses least of what is there.

Source: nodes in a row with arcs on two sides are a book embedding with two pages (Bernhart, Kainen 1979); a pipeline may need more,
and some crossings then remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from sympy import Expr, Rational, S

from collapse_theory.describe.pipeline import Fit, Labels, OneOf, Pipeline, Sample, Truth

__all__ = ["PILL", "Arrangement", "Arrow", "Rail", "Spot", "Transfer", "arranged", "crossings", "generations"]

BOX = (0.57, 0.36)  # half width and height of a sample, in inches
RADIUS = 0.40
PILL = (0.30, 0.15)  # of the truth
_PITCH = 1.30  # from row to row
_CHANNEL = 0.90  # between lanes
_STUB = 0.50  # from the truth to its sample
_TRACK = 0.20  # from rail to rail
_LEVELS = {"from the left": 1, "straight": 2, "from the right": 3}  # of what runs between two rows, from above
_LEVEL = 0.145
_TRACKS = 8
_SWEEPS = 2  # in which every rail is placed anew

Kind = Literal["fits on", "labels", "drawn from"]
Point = tuple[float, float]
Node = Sample | Fit


@dataclass(frozen=True)
class Spot:
    """The centre of a node and its half width and height."""

    x: float
    y: float
    half: tuple[float, float]


@dataclass(frozen=True)
class Transfer:
    """Who gives what to whom: rows to a fit, labels to a sample, rows to a subsample."""

    source: Node
    target: Node
    coefficient: Expr
    kind: Kind


@dataclass(frozen=True)
class Arrow:
    """A line of straight pieces that leads to a node, and the place of its coefficient."""

    kind: Kind
    coefficient: Expr
    points: tuple[Point, ...]
    text: Point

    @property
    def pieces(self) -> tuple[tuple[Point, Point], ...]:
        """The straight pieces."""
        return tuple(pairwise(self.points))


@dataclass(frozen=True)
class Rail:
    """A line that several edges share.

    Attributes:
        edges: What travels on it.
        trunk: Its ends, the upper one first.
        joins: From each source to the trunk.
        leaves: From the trunk to each target.
    """

    edges: tuple[Transfer, ...]
    trunk: tuple[Point, Point]
    joins: tuple[tuple[Point, ...], ...]
    leaves: tuple[Arrow, ...]

    @property
    def pieces(self) -> tuple[tuple[Point, Point], ...]:
        """All its straight pieces."""
        branches = (*self.joins, *(a.points for a in self.leaves))
        return (self.trunk, *(piece for points in branches for piece in pairwise(points)))


@dataclass(frozen=True)
class Arrangement:
    """A picture: nodes, the truths beside their samples with their coefficients, single arrows with their edges, and rails."""

    places: dict[Node, Spot]
    truths: dict[Sample, tuple[Spot, dict[Truth, Expr]]]
    arrows: dict[Transfer, Arrow]
    rails: list[Rail]


def arranged(pipeline: Pipeline) -> Arrangement:
    """Return the picture of a pipeline.

    >>> from collapse_theory.describe.workflows import Stage, accumulate
    >>> picture = arranged(accumulate(6, Stage(T=9)))
    >>> len(picture.arrows), len(picture.rails), crossings(picture)
    (7, 1, 0)
    """
    places = _places(pipeline)
    truths = {}
    for s in pipeline.samples:
        shares = {x: c for x, c in _labels(s).items() if isinstance(x, Truth)}
        if shares:
            at = places[s]
            truths[s] = (Spot(at.x - BOX[0] - _STUB - PILL[0], at.y + 0.12, PILL), shares)
    arrows, shared = _split(list(_edges(pipeline)), places, generations(pipeline))
    return Arrangement(places, truths, arrows, _on_rails(shared, arrows, places))


def crossings(layout: Arrangement) -> int:
    """Return how often arrows and rails cross or lie on one another."""
    lines = [*(a.pieces for a in layout.arrows.values()), *(r.pieces for r in layout.rails)]
    return sum(_meets(a, b) for i, a in enumerate(lines) for b in lines[:i])


# ---------------------------------------------------------------------- nodes
def generations(pipeline: Pipeline) -> dict[Node, int]:
    """Return the generation of each node: fits by their longest chain of labellers, samples where they are first used."""
    found: dict[Any, int] = dict.fromkeys(pipeline.truths, -1)
    for node in _nodes(pipeline):
        before: Iterable[Any] = node.samples if isinstance(node, Fit) else (*node.labellers, *node.pool)
        step = 1 if isinstance(node, Sample) and not node.pool else 0
        found[node] = max((found[b] + step for b in before), default=0)
    for node in reversed(_nodes(pipeline)):
        if isinstance(node, Sample):
            users = [found[f] for f in pipeline.fits if node in f.samples]
            users += [found[s] for s in pipeline.samples if node in s.pool]
            found[node] = max(found[node], min(users, default=found[node]))
    return {node: g for node, g in found.items() if not isinstance(node, Truth)}


def _nodes(pipeline: Pipeline) -> list[Node]:
    """Return the samples and fits; features are written into the fits that see them."""
    return [node for node in pipeline.nodes if isinstance(node, (Sample, Fit))]


def _places(pipeline: Pipeline) -> dict[Node, Spot]:
    """Place the nodes: a row for each sample, and what uses samples of its own generation beside the last of them."""
    generation = generations(pipeline)
    middle = BOX[0] + _CHANNEL + BOX[0]
    right = (middle + BOX[0] if any(s.pool for s in pipeline.samples) else BOX[0]) + _CHANNEL + RADIUS
    order = {f: i for i, f in enumerate(pipeline.fits)}
    places: dict[Node, Spot] = {}
    row = 0

    def first_use(s: Sample) -> tuple[int, bool]:
        users = [order[f] for f in pipeline.fits if s in f.samples]
        return min(users, default=len(order)), not any(isinstance(m, Fit) for m in s.labellers)

    for g in sorted(set(generation.values())):
        here = [node for node in _nodes(pipeline) if generation[node] == g]
        samples = sorted((s for s in here if isinstance(s, Sample) and not s.pool), key=first_use)
        drawn = [s for s in here if isinstance(s, Sample) and s.pool]
        fits = [f for f in here if isinstance(f, Fit)]
        rows: dict[Node, int] = {s: row + i for i, s in enumerate(samples)}
        for lane in (drawn, fits):
            next_row = row
            for node in lane:
                before = node.samples if isinstance(node, Fit) else node.pool
                rows[node] = max(next_row, *(rows.get(s, row) for s in before))
                next_row = rows[node] + 1
        for node, at in rows.items():
            x = right if isinstance(node, Fit) else middle if node.pool else 0.0
            places[node] = Spot(x, -at * _PITCH, (RADIUS, RADIUS) if isinstance(node, Fit) else BOX)
        row = max(rows.values()) + 1
    return places


# ---------------------------------------------------------------------- edges
def _labels(sample: Sample) -> dict[Any, Expr]:
    if isinstance(sample.source, OneOf):
        return dict.fromkeys(sample.labellers, Rational(1, len(sample.source.labellers)))
    return dict(sample.source)


def _edges(pipeline: Pipeline) -> Iterator[Transfer]:
    for node in _nodes(pipeline):
        if isinstance(node, Fit):
            for s, weight in zip(node.samples, node.weights, strict=True):
                yield Transfer(s, node, weight, "fits on")
        elif node.pool:
            for s in node.pool:
                yield Transfer(s, node, S.One, "drawn from")
        else:
            for m, c in _labels(node).items():
                if not isinstance(m, Truth):
                    yield Transfer(m.sample if isinstance(m, Labels) else m, node, c, "labels")


def _split(
    edges: list[Transfer], places: dict[Node, Spot], generation: dict[Node, int]
) -> tuple[dict[Transfer, Arrow], list[list[Transfer]]]:
    """Return the edges that go straight, and the others by rail."""
    by_source: dict[tuple[Node, Kind], list[Transfer]] = {}
    for e in sorted(edges, key=lambda e: (_order(places[e.source]), _order(places[e.target]))):
        by_source.setdefault((e.source, e.kind), []).append(e)
    straight: dict[Transfer, Arrow] = {}
    rails: list[list[Transfer]] = []
    for (source, kind), uses in by_source.items():
        if len(uses) == 1 or _same_uses(rails, uses, places[source], places) is None:
            a, b = source, uses[0].target
            near = (kind == "labels" and isinstance(a, Fit)) or (
                generation[a] == generation[b] and places[a].x < places[b].x
            )
            arrow = _straight(uses[0], places)
            if near and _free(uses[0], arrow, straight, places):
                straight[uses[0]] = arrow
                uses = uses[1:]
        if uses:
            shared = _same_uses(rails, uses, places[source], places)
            if shared is None:
                shared = []
                rails.append(shared)
            shared += uses
    return straight, rails


def _order(spot: Spot) -> tuple[float, float]:
    """Return what orders places along the lanes: from above, then from the left."""
    return -spot.y, spot.x


def _same_uses(
    rails: list[list[Transfer]], uses: list[Transfer], at: Spot, places: dict[Node, Spot]
) -> list[Transfer] | None:
    """Return the rail whose uses below a place are the same, with the same coefficients."""
    wanted = {(e.kind, e.target, e.coefficient) for e in uses}
    for rail in rails:
        below = (e for e in rail if _order(places[e.target]) > _order(at))
        if {(e.kind, e.target, e.coefficient) for e in below} == wanted:
            return rail
    return None


def _straight(e: Transfer, places: dict[Node, Spot]) -> Arrow:
    """Return an edge on its own: from a lane to the right, or from a fit down to the row of a sample and left to it."""
    a, b = places[e.source], places[e.target]
    if e.kind != "labels":
        start, end = (a.x + a.half[0], a.y), (b.x - b.half[0], b.y)
        return Arrow(e.kind, e.coefficient, (start, end), ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    down, into = a.x + 0.12, b.x + 0.08
    level = _level(b.y + _PITCH, "straight")
    points = ((down, _below(a, down)), (down, level), (into, level), (into, b.y + b.half[1]))
    return Arrow(e.kind, e.coefficient, points, (b.x + BOX[0] + _CHANNEL / 2, level))


def _below(spot: Spot, x: float) -> float:
    """Return where a vertical line leaves a node downwards."""
    if spot.half[0] == spot.half[1]:
        return spot.y - math.sqrt(RADIUS**2 - (x - spot.x) ** 2)
    return spot.y - spot.half[1]


def _level(row: float, use: str) -> float:
    """Return the height of a line between a row and the next."""
    return row - BOX[1] - _LEVELS[use] * _LEVEL


def _free(e: Transfer, arrow: Arrow, others: dict[Transfer, Arrow], places: dict[Node, Spot]) -> bool:
    """Whether an arrow meets no other arrow and no node."""
    if any(_meets(arrow.pieces, x.pieces) for x in others.values()):
        return False
    return not any(_meets(arrow.pieces, _outline(p)) for x, p in places.items() if x not in (e.source, e.target))


def _outline(p: Spot) -> tuple[tuple[Point, Point], ...]:
    (x, y), (a, b) = (p.x, p.y), p.half
    corners = [(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b), (x - a, y - b)]
    return tuple(pairwise(corners))


# ---------------------------------------------------------------------- rails
def _port(node: Node, p: Spot, x: float, *, left: bool, out: bool) -> tuple[Point, ...]:
    """Return the points from a node to a rail at ``x``: sideways from the outer lane, else between two rows."""
    step = -0.06 if out else 0.06
    if left and isinstance(node, Sample) and not node.pool:
        y = p.y - 0.19 + step
        return (p.x - p.half[0], y), (x, y)
    if not left and isinstance(node, Fit):
        y = p.y + 2 * step
        return (p.x + math.sqrt(RADIUS**2 - (2 * step) ** 2), y), (x, y)
    if left:
        own, y = p.x - 0.2 + step, _level(p.y, "from the left") + (0.0 if isinstance(node, Fit) else 0.05)
        return (own, _below(p, own)), (own, y), (x, y)
    own, y = p.x + 0.36 + step, _level(p.y + _PITCH, "from the right")
    return (own, p.y + p.half[1]), (own, y), (x, y)


def _rail(edges: list[Transfer], places: dict[Node, Spot], x: float, *, left: bool) -> Rail:
    """Return a rail on a track; a coefficient is written where it leaves the rail."""
    joins = [_port(s, places[s], x, left=left, out=True) for s in dict.fromkeys(e.source for e in edges)]
    leaves = []
    for target, e in {e.target: e for e in edges}.items():
        p = places[target]
        points = _port(target, p, x, left=left, out=False)
        side = -1 if left else 1
        text = p.x + side * (p.half[0] + 0.22)
        if len(points) > 2:  # between the rows, in the channel beside the target
            text = p.x - p.half[0] - 0.65 * _CHANNEL if left else p.x + p.half[0] + 0.75 * _CHANNEL
        leaves.append(Arrow(e.kind, e.coefficient, tuple(reversed(points)), (text, points[-1][1])))
    ends = [points[-1][1] for points in joins] + [a.points[0][1] for a in leaves]
    return Rail(tuple(edges), ((x, max(ends)), (x, min(ends))), tuple(joins), tuple(leaves))


def _on_rails(shared: list[list[Transfer]], arrows: dict[Transfer, Arrow], places: dict[Node, Spot]) -> list[Rail]:
    """Place the rails, short ones first, each where it crosses least; then each anew, in case a later one gave way."""
    left = -BOX[0] - _STUB - 2 * PILL[0] - 0.15
    right = max((p.x + p.half[0] for p in places.values()), default=0.0) + 0.25
    found: dict[int, Rail] = {}

    def height(i: int) -> float:
        ys = [places[x].y for e in shared[i] for x in (e.source, e.target)]
        return round(max(ys) - min(ys), 6)

    for _ in range(_SWEEPS):
        for i in sorted(range(len(shared)), key=height):
            others = [*(a.pieces for a in arrows.values()), *(r.pieces for k, r in found.items() if k != i)]
            ways = [_rail(shared[i], places, left - k * _TRACK, left=True) for k in range(_TRACKS)]
            ways += [_rail(shared[i], places, right + k * _TRACK, left=False) for k in range(_TRACKS)]
            costs = [(sum(_meets(way.pieces, x) for x in others), k % _TRACKS) for k, way in enumerate(ways)]
            found[i] = ways[min(range(len(ways)), key=costs.__getitem__)]
    return [found[i] for i in sorted(found)]


# ---------------------------------------------------------------------- geometry
def _meets(a: Iterable[tuple[Point, Point]], b: Iterable[tuple[Point, Point]]) -> int:
    """Return how often pieces cross; one that lies on another counts several times, since it hides it."""
    b = tuple(b)
    return sum(_crosses(p, q) for p in a for q in b)


def _crosses(p: tuple[Point, Point], q: tuple[Point, Point]) -> int:
    sides = [_turn(*p, q[0]), _turn(*p, q[1]), _turn(*q, p[0]), _turn(*q, p[1])]
    if all(abs(x) < _FLAT for x in sides):
        k = 0 if abs(p[0][0] - p[1][0]) > _FLAT else 1
        (a, b), (c, d) = sorted((p[0][k], p[1][k])), sorted((q[0][k], q[1][k]))
        return _HIDDEN if min(b, d) - max(a, c) > _FLAT else 0
    return int(_apart(sides[0], sides[1]) and _apart(sides[2], sides[3]))


_HIDDEN = 5


def _apart(x: float, y: float) -> bool:
    return (x > _FLAT and y < -_FLAT) or (x < -_FLAT and y > _FLAT)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


_FLAT = 1e-9
