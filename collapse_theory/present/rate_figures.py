r"""Rates as pictures: the phases in the ridge exponent and the rows of generators, and the crossover of a curve.

The regions are cut out exactly: each case of the exponent is a union of intersections of half planes, and a polygon with rational
corners is clipped by each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from sympy import Expr, Ge, Gt, Le, Lt, Piecewise, Rational, S, Symbol, latex
from sympy.core.relational import Relational
from sympy.logic.boolalg import And, Boolean, Or, to_dnf

from collapse_theory.core.errors import DomainError, ParseError, shown
from collapse_theory.core.writing import write_file
from collapse_theory.derive.rates import Rates
from collapse_theory.present.picture import Picture
from collapse_theory.symbols import beta, ell, r

__all__ = ["draw_rates", "phase_regions", "write_rates"]

_FORMATS = ("svg", "pdf", "png")
_DISTINCT = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Okabe and Ito, *Color Universal Design* (2008)."""
_TINT = 0.45  # of the colour in a region, light enough for black letters
_FAR = 1000  # above every corner of a phase diagram
_POINTS = 41  # of a curve
_DECADES = 3  # on each side of the crossovers

Corner = tuple[Any, Any]


def draw_rates(found: Rates, **values: Any) -> Figure:
    """Return the picture of a rate as a Matplotlib figure that is not registered with pyplot.

    Args:
        found: A rate with one symbol beside ``ell``: the phases in both. Or one whose exponents are numbers, ``ell`` too: the
            test error over T, with the slopes of its terms and where they cross.
        **values: For the second, one value per symbol that does not change with T.

    Raises:
        DomainError: If there are other symbols, a value is missing, or the curve has no crossover.
    """
    outer = [x for x in found.scales.symbols if x != found.scales.inner]
    if found.scales.inner is not None and len(outer) == 1:
        if values:
            raise DomainError(f"a picture of phases needs no values, got {', '.join(values)}; leave them out")
        return _phases(found, outer[0])
    if not found.scales.symbols:
        return _crossover(found, values)
    raise DomainError(
        "a picture needs ell and one more symbol (phases, for example b=b), or numbers for all exponents, ell too (a curve), got "
        f"the symbols {', '.join(map(str, found.scales.symbols))}"
    )


def write_rates(found: Rates, path: Path, **values: Any) -> None:
    """Write the picture of a rate.

    Args:
        found: As in :func:`draw_rates`.
        path: Where to; its ending, svg, pdf or png, says how.
        **values: As in :func:`draw_rates`.

    Raises:
        ParseError: If the ending is another one.
        DomainError: As in :func:`draw_rates`, or if the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in _FORMATS:
        raise ParseError(f"FILE needs to end in {', '.join(_FORMATS)}, got {shown(str(path))}; name a picture")
    picture = BytesIO()
    draw_rates(found, **values).savefig(picture, format=kind, dpi=150)
    write_file(path, picture.getvalue(), "picture")


# ---------------------------------------------------------------------- phases
def _phases(found: Rates, outer: Symbol) -> Figure:
    width = found.scales.laws.beta
    if width.free_symbols:
        raise DomainError(f"a picture of phases needs a number for beta, got {width}; give it")
    frame, regions = phase_regions(found, outer)
    top = max(y for _, y in frame)
    figure = Picture(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for i, (exponent, polygons) in enumerate(regions.items()):
        colour = tuple(1 - _TINT * (1 - c) for c in to_rgb(_DISTINCT[i % len(_DISTINCT)]))
        for polygon in polygons:
            axes.fill(*np.array(polygon, dtype=float).T, facecolor=colour, edgecolor=colour, linewidth=0.5)
        largest = max(polygons, key=_area)
        axes.text(*_centre(largest), f"${latex(-exponent)}$", ha="center", va="center", fontsize=10, zorder=4)
    for one, two in _borders(regions):
        axes.plot(*np.array([one, two], dtype=float).T, color="0.15", linewidth=1.1, solid_capstyle="round")
    _best_ridge(axes, found, outer, frame)
    axes.set(xlim=(0, float(width)), ylim=(float(min(y for _, y in frame)), float(top)))
    axes.set_xlabel(r"ridge exponent $\ell$,  $\lambda=T^{-\ell}$")
    axes.set_ylabel(rf"${latex(outer)}$" + (r",  $T_0=T^{b}$" if outer.name == "b" else ""))
    given = ", ".join(rf"${latex(x)}={latex(e)}$" for x, e in ((beta, width), (r, found.scales.laws.r)))
    axes.set_title(f"{found.formula.name}, {given}: the power of $T$ in the test error", fontsize="medium")
    figure.legend(loc="outside lower center", frameon=False, fontsize="small")
    return figure


def phase_regions(found: Rates, outer: Symbol) -> tuple[list[Corner], dict[Expr, list[list[Corner]]]]:
    """Return the frame of a phase diagram, and the convex polygons of each exponent, which tile it; corners are exact.

    Args:
        found: A rate in ``ell`` and one more symbol.
        outer: That symbol.

    Raises:
        DomainError: If a boundary is not straight.
    """
    names = ell, outer
    frame = _frame(found, names, _top(found, names))
    return frame, _regions(found.exponent, names, frame)


def _frame(found: Rates, names: tuple[Symbol, Symbol], top: Any) -> list[Corner]:
    """Return the part of the plane that is drawn: ``0 <= ell <= beta``, and what the formula presupposes."""
    width = found.scales.laws.beta
    low = S.Zero if names[1].is_nonnegative else -top
    frame = [(S.Zero, low), (width, low), (width, top), (S.Zero, top)]
    for fact in found.scales.facts:
        if fact.free_symbols <= set(names):
            frame = _clipped(frame, fact, names)
    return frame


def _top(found: Rates, names: tuple[Symbol, Symbol]) -> Any:
    """Return where the axis of the outer exponent ends: above the last corner."""
    far = _frame(found, names, Rational(_FAR))
    corners = {y for polygons in _regions(found.exponent, names, far).values() for p in polygons for _, y in p}
    corners = {y for y in corners if abs(y) < _FAR}
    return max([*(Rational(7, 5) * y for y in corners), S.One])


def _regions(e: Expr, names: tuple[Symbol, Symbol], frame: list[Corner]) -> dict[Expr, list[list[Corner]]]:
    """Return the convex polygons of each exponent."""
    cases = [(x.expr, x.cond) for x in e.args] if isinstance(e, Piecewise) else [(e, S.true)]
    regions: dict[Expr, list[list[Corner]]] = {}
    for value, condition in cases:
        for conditions in _conjunctions(condition):
            polygon = frame
            for c in conditions:
                polygon = _clipped(polygon, _above(c), names)
            if _area(polygon):
                regions.setdefault(value, []).append(polygon)
    return regions


def _conjunctions(condition: Boolean) -> list[tuple[Boolean, ...]]:
    """Return the intersections that a condition is the union of."""
    dnf = to_dnf(condition)
    return [And.make_args(part) if part != S.true else () for part in Or.make_args(dnf)]


def _above(c: Boolean) -> Expr:
    """Return what is not negative where an inequality holds, its boundary added."""
    if not isinstance(c, Relational) or not isinstance(c, (Ge, Gt, Le, Lt)):
        raise DomainError(f"a picture of phases needs inequalities, got {c}")
    return (c.lhs - c.rhs) if isinstance(c, (Ge, Gt)) else (c.rhs - c.lhs)


def _clipped(polygon: Sequence[Corner], above: Expr, names: tuple[Symbol, Symbol]) -> list[Corner]:
    """Return the part of a convex polygon where an affine expression is not negative (Sutherland and Hodgman)."""
    slopes = [above.diff(x) for x in names]
    constant = above.xreplace(dict.fromkeys(names, S.Zero))
    if any(not s.is_Rational for s in (*slopes, constant)):
        raise DomainError(f"a picture of phases needs boundaries that are straight, got {above} = 0")
    out: list[Corner] = []
    for p, q in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        u, v = (slopes[0] * x + slopes[1] * y + constant for x, y in (p, q))
        if u >= 0:
            out.append(p)
        if u * v < 0:
            share = u / (u - v)
            out.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
    return out


def _area(polygon: Sequence[Corner]) -> Any:
    """Return the area of a polygon."""
    turned = [*polygon[1:], *polygon[:1]]
    return abs(sum((p[0] * q[1] - q[0] * p[1] for p, q in zip(polygon, turned, strict=True)), S.Zero)) / 2


def _centre(polygon: Sequence[Corner]) -> tuple[float, float]:
    """Return the centre of gravity."""
    turned = [*polygon[1:], *polygon[:1]]
    cross = [(p, q, p[0] * q[1] - q[0] * p[1]) for p, q in zip(polygon, turned, strict=True)]
    whole = 3 * sum(c for *_, c in cross)
    x, y = (float(sum((p[i] + q[i]) * c for p, q, c in cross) / whole) for i in (0, 1))
    return x, y


def _borders(regions: Mapping[Expr, Sequence[Sequence[Corner]]]) -> list[tuple[Corner, Corner]]:
    """Return the segments along which two regions meet, cut at all corners."""
    corners = {p for polygons in regions.values() for polygon in polygons for p in polygon}
    sides: dict[frozenset[Corner], set[Expr]] = {}
    for name, polygons in regions.items():
        for polygon in polygons:
            for p, q in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
                on = sorted(x for x in corners if _between(p, x, q))
                for one, two in pairwise(on):
                    sides.setdefault(frozenset((one, two)), set()).add(name)
    return [(one, two) for (one, two), names in ((tuple(s), n) for s, n in sides.items()) if len(names) > 1]


def _between(p: Corner, x: Corner, q: Corner) -> bool:
    """Return whether a point is on a segment."""
    across = (q[0] - p[0]) * (x[1] - p[1]) - (q[1] - p[1]) * (x[0] - p[0])
    return bool(across == 0 and all(min(a, b) <= c <= max(a, b) for a, c, b in zip(p, x, q, strict=True)))


def _best_ridge(axes: Axes, found: Rates, outer: Symbol, frame: list[Corner]) -> None:
    """Draw the ridge exponent of the fastest rate, over the outer exponent."""
    best = S(found.optimal_ell)
    cases = [(x.expr, x.cond) for x in best.args] if isinstance(best, Piecewise) else [(best, S.true)]
    low, high = min(y for _, y in frame), max(y for _, y in frame)
    label = "best ridge exponent"
    for value, condition in cases:
        for conditions in _conjunctions(condition):
            # A strip of the plane whose corners have the ends of the range as ordinates.
            strip: list[Corner] = [(S.Zero, low), (S.One, low), (S.One, high), (S.Zero, high)]
            for c in conditions:
                strip = _clipped(strip, _above(c), (ell, outer))
            if not _area(strip):
                continue
            ends = (min(y for _, y in strip), max(y for _, y in strip))
            x = [float(value.xreplace({outer: y})) for y in ends]
            axes.plot(
                x, [float(y) for y in ends], color="black", linewidth=2.6, linestyle=(0, (5, 2)), label=label, zorder=3
            )
            label = "_nolegend_"


# ---------------------------------------------------------------------- a curve
def _crossover(found: Rates, values: Mapping[str, Any]) -> Figure:
    curve = found.curve(**values)
    terms = {name: (c, e) for name, (c, e, _) in curve.terms().items()}
    crossings = _crossings([(float(c), float(e)) for c, e in terms.values()])
    if not crossings:
        raise DomainError(
            f"a picture of a crossover needs terms that change places at some T > 10, got none at "
            f"ell={found.arguments.get('ell')}; give another ell, or a smaller noise"
        )
    low = max(min(crossings) / 10**_DECADES, 10.0)
    rows = np.unique(np.round(np.geomspace(low, max(crossings) * 10**_DECADES, _POINTS)))
    exact = [float(curve.value(int(t), None)) for t in rows]
    figure = Picture(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(rows, exact, color="black", linewidth=2.2, label="test error", zorder=3)
    styles = ((0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)))
    for i, (name, (c, e)) in enumerate(terms.items()):
        axes.loglog(
            rows, float(c) * rows ** float(e), color=_DISTINCT[(0, 5, 2, 3, 1)[i % 5]], linewidth=1.6, linestyle=styles[i % 3],
            label=rf"{name.replace('_', ' ')}: ${_scientific(float(c))}\,T^{{{e}}}$",
        )  # fmt: skip
    for at in crossings:
        height = max(float(c) * at ** float(e) for c, e in terms.values())
        axes.plot([at], [height], marker="o", markersize=9, markerfacecolor="white", markeredgecolor="black", zorder=5)
        axes.annotate(
            rf"$T_\times={_scientific(at)}$", (at, height), xytext=(-4, -20), textcoords="offset points", ha="right",
            fontsize=10,
        )  # fmt: skip
    axes.set_ylim(min(exact) / 3, max(exact) * 3)
    axes.set_xlabel("rows $T$")
    axes.set_ylabel("test error (excess risk)")
    laws = found.scales.laws
    size = r"\infty" if laws.dimension is None else "T" if laws.dimension == 1 else f"T^{{{laws.dimension}}}"
    axes.set_title(
        rf"{found.formula.name}, $\beta={latex(laws.beta)}$, $r={latex(laws.r)}$, $d={size}$"
        rf", $\lambda=T^{{{-S(found.arguments['ell'])}}}$",
        fontsize="medium",
    )
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _scientific(x: float) -> str:
    """Return a number in LaTeX, to three digits."""
    digits, exponent = f"{x:.2e}".split("e")
    return f"{x:.3g}" if -2 <= int(exponent) <= 2 else rf"{digits}\cdot10^{{{int(exponent)}}}"


def _crossings(terms: Iterable[tuple[float, float]]) -> list[float]:
    """Return where the largest of some powers of T changes, beyond T = 10."""
    lines = sorted((e, np.log(c)) for c, e in terms if c > 0)
    found: list[float] = []
    at = np.log(10.0)
    here = max(lines, key=lambda x: x[0] * at + x[1])
    while True:
        later = [((here[1] - c) / (e - here[0]), e, c) for e, c in lines if e > here[0]]
        later = [x for x in later if x[0] > at]
        if not later:
            return found
        at, *line = min(later)
        here = (line[0], line[1])
        found.append(float(np.exp(at)))
