r"""Quadrature of the directions of a long or endless power law: a few hundred nodes for any number of directions.

The sum over directions :math:`\sum_{j=1}^df(s_j)`, :math:`s_j=cj^{-\beta}`, is taken in four parts.

* **Head.** The first N directions as they are. Gregory's formula turns the sum beyond into an integral: with the backward
  difference :math:`\nabla`, :math:`g(j)=f(s_j)` and Gregory's coefficients :math:`|G_k|=\frac12,\frac1{12},\frac1{24},\dots`,

  .. math:: \sum_{j\ge N}g(j)=\int_N^\infty g\,dj+g(N)-\sum_{k\ge1}|G_k|\nabla^{k-1}g(N),

  so that only the weights of the last few directions of the head change. They are positive up to order 7, which float64 takes; at
  order q they grow like :math:`2^q`, which costs a sum in mpmath about a seventh of its digits.
* **Panels** in the logarithm of j, with Gauss-Legendre nodes. A function of s that is rational with poles at :math:`-\kappa` is
  analytic in a strip of half-width :math:`\pi` around the real axis of :math:`\log s`, whatever :math:`\kappa`: n nodes on a panel
  of half-width h leave a relative error of about :math:`\rho^{-2n}`, :math:`\log\rho=\operatorname{arsinh}(\pi/h)`.
* **Tail** of an endless law, :math:`s\le s_J`. In :math:`y=(j/J)^{-\beta}` it is an integral of :math:`f(s_Jy)` against a power of
  y over (0, 1), to which Gauss-Jacobi nodes belong. Where :math:`4s_J\le\kappa` the nearest pole is four lengths away. A sum of
  :math:`f\sim f(0)\ne0` over all directions diverges, and f counts through :math:`f(s)/s`.
* **Foot** of a finite law: its last directions, the head reflected, so that the weights add up to d.

All is built in mpmath; float64 takes rounded values.

Source: Davis, Rabinowitz, Methods of Numerical Integration, 1984, sections 2.9 (Gregory) and 4.6; Trefethen, Is Gauss quadrature
better than Clenshaw-Curtis?, SIAM Review 2008 (the rate). The relation of derivative and neighbours of a Jacobi polynomial: Szegő,
Orthogonal Polynomials, 1939, section 4.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from collapse_theory.core.precision import exact_context

__all__ = ["Directions", "Extent", "Power", "gauss_jacobi", "gregory", "power_law_directions", "usable_length"]

_HALF_PANEL = 3.0  # in log s: wider ones save few nodes and lean more on the analyticity of f far away
_APART = 4  # the ridge over the eigenvalue at which the tail begins
_GUARD_BITS = 40
_START_BITS = 40  # of the roots in float64


@dataclass(frozen=True)
class Power:
    """A law ``factor * j**exponent`` of the directions j = 1, 2, ...; numbers of an mpmath context."""

    factor: Any
    exponent: Any


@dataclass(frozen=True)
class Extent:
    """What nodes stand for beyond themselves.

    Attributes:
        directions: Number of directions, an integer or infinity.
        tail: Places of the farthest and the nearest node of the tail; empty for a finite law. Ridges of at least four times
            the nearest are resolved.
        energetic: Places of those nodes for the energies, where a form diverges unless its function vanishes at zero.
        floors: Of a compressed list (:mod:`.compression`), the lower ends of its panels, ascending, and infinity.
        above: The exact number of directions at or above each of these.
    """

    directions: int | float
    tail: tuple[int, ...] = ()
    energetic: tuple[int, ...] = ()
    floors: Any = None
    above: Any = None


@dataclass(frozen=True)
class Directions:
    """Nodes of a power law, with weights of the counting measure and of the energies; numbers of an mpmath context."""

    values: list[Any]
    counts: list[Any]
    energies: list[Any] | None
    extent: Extent


@dataclass(frozen=True)
class _Orders:
    """How many nodes of each kind a number of digits takes.

    Attributes:
        differences: Order of Gregory's formula.
        panel: Nodes of a panel.
        tail: Nodes of the tail.
    """

    differences: int
    panel: int
    tail: int

    @classmethod
    def of(cls, bits: int) -> _Orders:
        """Return the orders for a precision; up to order 7 all of Gregory's weights are positive."""
        digits = bits * math.log10(2)
        rate = 2 * math.log10(math.exp(math.asinh(math.pi / _HALF_PANEL)))
        far = 2 * _APART + 1
        tail_rate = 2 * math.log10(far + math.sqrt(far * far - 1))
        differences = 7 if bits <= _FEW_BITS else math.ceil(digits / 2)
        return cls(differences, *(math.ceil(1.25 * digits / x) + 5 for x in (rate, tail_rate)))

    def head(self, bits: int, beta: float) -> int:
        r"""Return the number of directions of the head.

        The derivatives of g at N grow like :math:`m!/R^m`, R the distance to the nearest pole of :math:`f(cj^{-\beta})`, at an
        angle of :math:`\pi/\beta`, or to j = 0. The first neglected difference of order q is about :math:`(q/eR)^q`.
        """
        q, digits = self.differences, bits * math.log10(2)
        reach = 400 if bits <= _FEW_BITS else 1.2 * q / math.e * 10 ** (digits / q)
        return math.ceil(reach / math.sin(min(math.pi / beta, math.pi / 2)))


_FEW_BITS = 64


def usable_length(beta: float, bits: int) -> int:
    """Return the least number of directions that nodes for a number of bits stand for: head, foot and a panel between."""
    orders = _Orders.of(bits)
    return 2 * (orders.head(bits, beta) + orders.differences + 1)


def power_law_directions(
    law: Power, energies: Power | None, d: int | float, mp: Any, *, bits: int, octaves: int
) -> Directions:
    """Return the nodes of a power law.

    Args:
        law: Eigenvalues, of negative exponent; below -1 for an endless law.
        energies: Energies; None without a target.
        d: Number of directions, an integer of at least :func:`usable_length`, or infinity.
        mp: The context, with a few more bits than needed.
        bits: Precision of the quadrature.
        octaves: How far below its largest eigenvalue an endless law is resolved, in powers of two.
    """
    beta, orders = -law.exponent, _Orders.of(bits)
    N, ends = orders.head(bits, float(beta)), [_fraction(w, mp) for w in gregory(orders.differences)]
    logs = [mp.log(j) for j in range(1, N + 1)]
    counts = [mp.mpf(1)] * (N - len(ends)) + ends[::-1]
    last = logs[-1]
    stop = max(last, octaves * mp.ln2 / beta) if d == math.inf else mp.log(int(d) - len(ends) + 1)
    inner, weights = _panels(last, stop, beta, orders.panel, mp)
    logs, counts = logs + inner, counts + weights
    if d != math.inf:
        logs += [mp.log(int(d) - len(ends) + 1 + i) for i in range(len(ends))]
        counts += ends
    values = [law.factor * mp.exp(law.exponent * x) for x in logs]
    energy = None if energies is None else [
        w * energies.factor * mp.exp(energies.exponent * x) for x, w in zip(logs, counts, strict=True)
    ]  # fmt: skip
    if d != math.inf:
        return Directions(values, counts, energy, Extent(d))
    return _with_tail(values, counts, energy, stop, law, energies, orders.tail, mp)


def _panels(start: Any, stop: Any, beta: Any, order: int, mp: Any) -> tuple[list[Any], list[Any]]:
    """Return nodes in the logarithm of j and their weights in the measure dj."""
    if stop <= start:
        return [], []
    number = int(mp.ceil(beta * (stop - start) / (2 * _HALF_PANEL)))
    width = (stop - start) / number
    y, w = gauss_jacobi(order, mp.mpf(0), mp)
    logs = [start + width * (k + t) for k in range(number) for t in y]
    return logs, [width * w[i % order] * mp.exp(x) for i, x in enumerate(logs)]


def _with_tail(
    values: list[Any],
    counts: list[Any],
    energy: list[Any] | None,
    stop: Any,
    law: Power,
    energies: Power | None,
    order: int,
    mp: Any,
) -> Directions:
    """Return the nodes with those of the tail behind ``stop``; the counting measure and the energies have their own."""
    beta, J = -law.exponent, mp.exp(stop)
    edge = law.factor * mp.exp(law.exponent * stop)
    none = [mp.mpf(0)] * order
    # sum_j f ~ (J/beta) int_0^1 f(edge y) y^(-1/beta - 1) dy, where f(s) = s g(s)
    y, w = gauss_jacobi(order, -1 / beta, mp)
    tail = (len(values), len(values) + order - 1)
    values, counts = values + [edge * t for t in y], counts + [J / beta * c / t for t, c in zip(y, w, strict=True)]
    if energies is None or energy is None:
        return Directions(values, counts, None, Extent(math.inf, tail))
    power = -(energies.exponent + 1) / beta - 1
    vanishing = power <= -1  # the energies alone have no sum
    y, w = gauss_jacobi(order, power + 1 if vanishing else power, mp)
    total = J / beta * energies.factor * mp.exp(energies.exponent * stop)
    energetic = (len(values), len(values) + order - 1) if vanishing else ()
    energy = energy + none + [total * (c / t if vanishing else c) for t, c in zip(y, w, strict=True)]
    return Directions(values + [edge * t for t in y], counts + none, energy, Extent(math.inf, tail, energetic))


@lru_cache(maxsize=16)
def gregory(order: int) -> tuple[Fraction, ...]:
    """Return the weights of ``g(N), g(N - 1), ...`` in a sum up to N that leaves an integral from N on.

    >>> [str(w) for w in gregory(1)]
    ['5/12', '13/12']
    """
    G = [Fraction(1)]  # of z / log(1 + z)
    for n in range(1, order + 2):
        G.append(-sum((G[i] * Fraction((-1) ** (n - i), n - i + 1) for i in range(n)), Fraction(0)))
    c = [abs(x) for x in G[1:]]
    return tuple(
        1 - (-1) ** i * sum((c[k] * math.comb(k, i) for k in range(i, order + 1)), Fraction(0))
        for i in range(order + 1)
    )


def gauss_jacobi(n: int, b: Any, mp: Any) -> tuple[list[Any], list[Any]]:
    r"""Return nodes, ascending, and weights of the integral :math:`\int_0^1g(y)\,y^b\,dy`, exact up to degree :math:`2n-1`.

    Newton's iteration on the Jacobi polynomial from the roots of float64; the weights are :math:`1/(4y(1-y)P_n'^2)`.

    Args:
        n: Number of nodes.
        b: Exponent, above -1, of the context ``mp``.
        mp: The context.
    """
    y, w = _rule(n, b._mpf_, mp.prec)
    return [mp.make_mpf(x) for x in y], [mp.make_mpf(x) for x in w]


@lru_cache(maxsize=64)
def _rule(n: int, exponent: Any, bits: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    from scipy.special import roots_jacobi

    with exact_context(bits + _GUARD_BITS) as mp:
        b = mp.make_mpf(exponent)
        start = [mp.mpf(float(t)) for t in roots_jacobi(n, 0, float(b))[0]]
        values, slopes = _jacobi(n, b, np.array(start, dtype=object))
        found = [_refined(n, b, *at, mp) for at in zip(start, values, slopes, strict=True)]
        return tuple(((1 + x) / 2)._mpf_ for x, _ in found), tuple((1 / ((1 - x * x) * p**2))._mpf_ for x, p in found)


def _refined(n: int, b: Any, x: Any, value: Any, slope: Any, mp: Any) -> tuple[Any, Any]:
    r"""Return the root of the Jacobi polynomial next to x, and the slope there.

    The derivatives follow from :math:`(1-x^2)P''+(b-(b+2)x)P'+n(n+b+1)P=0`, differentiated k times; Newton's iteration runs on the
    Taylor series, which costs no further recurrence in n.

    Source: Glaser, Liu, Rokhlin, A fast algorithm for the calculation of the roots of special functions, SIAM Journal on Scientific
    Computing 2007.
    """
    derivatives = [value, slope]
    step = abs(value / slope) * n * n  # in units of the distance between roots, the ratio of the terms
    order = math.ceil(mp.prec / max(1, -mp.log(step, 2))) + 2 if step else 2
    for k in range(order):
        rise = ((2 * k + b + 2) * x - b) * derivatives[-1]
        derivatives.append((rise - (n * (n + b + 1) - k * (k - 1) - k * (b + 2)) * derivatives[-2]) / (1 - x * x))
    terms = [c / mp.factorial(k) for k, c in enumerate(derivatives)][::-1]
    h = mp.mpf(0)
    for _ in range(math.ceil(math.log2(mp.prec / _START_BITS)) + 2):  # each squares the distance
        p, q = mp.polyval(terms, h, derivative=True)
        h = h - p / q
    return x + h, mp.polyval(terms, h, derivative=True)[1]


def _jacobi(n: int, b: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Jacobi polynomial with exponents 0 and b, and its derivative; arrays first, or mpmath prints them to say no."""
    before, value = 0 * x + 1, (x - 1) * ((b + 2) / 2) + 1
    for k in range(2, n + 1):
        a = 2 * k + b
        unit = 2 * k * (k + b) * (a - 2)
        p, q, r = (a - 1) * a * (a - 2) / unit, (a - 1) * b * b / unit, 2 * (k - 1) * (k + b - 1) * a / unit
        before, value = value, (x * p - q) * value - before * r
    a = 2 * n + b
    return value, (value * (x * a + b) * (-n) + before * (2 * n * (n + b))) / ((1 - x * x) * a)


def _fraction(x: Fraction, mp: Any) -> Any:
    return mp.mpf(x.numerator) / x.denominator
