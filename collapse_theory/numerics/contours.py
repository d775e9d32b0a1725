r"""Contours around the spectrum of a sample covariance, and the weights of a spectral filter on them.

A fit that is stopped early leaves the share :math:`e(x)=1-f(x)` of a direction unlearned: :math:`e^{-tx}` by gradient flow,
:math:`(1-\eta x)^k` by gradient descent. With :math:`\frac{dz}{2\pi i}` and nodes at the midpoints of :math:`n` steps in an angle
:math:`\theta`, of which those below the real axis are the conjugates of those above,

.. math:: \oint e(z)\,\frac{\phi(z)}z\,\frac{dz}{2\pi i}\simeq2\operatorname{Re}\sum_{\operatorname{Im}z_a>0}w_a\phi(z_a),\qquad
   w_a=\frac{e(z_a)}{z_a}\,\frac{z'(\theta_a)}{in}.

* **Short**: the ellipse :math:`z=\frac{x_+}2(1+\cosh(a+i\theta))` around :math:`[0,x_+]`, its vertices :math:`\delta` beyond the
  ends, where :math:`|e|\le e^c` for :math:`\delta=(e^{c/k}-1)/\eta`, or :math:`c/t`. The error falls like :math:`e^{-na}`.
* **Long**: the parabola :math:`\zeta=-N(0.1309-0.1194\theta^2+0.25i\theta)` with :math:`z=\zeta/t`, whose error is about
  :math:`2.85^{-N}` at :math:`n=N` for every spectrum. For descent :math:`x=e^{-\zeta/k}` and :math:`z=(1\mp x)/\eta`, the sum of
  both signs.

The noise of the labels meets :math:`f^2=(1-e)^2`. On a closed contour that has no pole; on a parabola, which is open, the constant
part is left out, since its integral over a closed contour vanishes, and :math:`2e-e^2` has a parabola for each of its terms.

Source: Weideman, Trefethen, Parabolic and hyperbolic contours for computing the Bromwich integral, Mathematics of Computation 2007;
ellipses, Trefethen, Weideman, The exponentially convergent trapezoidal rule, SIAM Review 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError
from collapse_theory.numerics.jets import Jet, value_of

__all__ = ["Contour", "Descent", "Flow", "Plane", "openness", "refuse_divergence"]

_RATE = math.log(2.85)  # of the parabola
_SCALE = 32  # its N in float64
_FEW_STEPS = 2  # times the scale, up to which both parabolas of a descent could meet


@dataclass(frozen=True)
class Contour:
    """Nodes above the real axis and the weights of a filter on them, shape (n, m); weights may be dual numbers.

    Attributes:
        z: Nodes of the mean.
        w: Their weights.
        z_noise: Nodes of the noise.
        v: Their weights.
    """

    z: np.ndarray
    w: Any
    z_noise: np.ndarray
    v: Any


@dataclass(frozen=True)
class Plane:
    """The complex numbers of an arithmetic, and how fine a contour in them is.

    Attributes:
        nodes: Nodes ``n`` of a contour, even.
        context: The mpmath context; None is float64.
    """

    nodes: int
    context: Any = None

    @classmethod
    def in_digits(cls, context: Any) -> Plane:
        """Return the plane of an mpmath context, with as many nodes as a parabola takes for its precision."""
        return cls(2 * math.ceil(context.prec * math.log(2) / _RATE / 2), context)

    def for_ellipses(self, least: float) -> Plane:
        r"""Return the plane with as many nodes as ellipses take for the precision.

        The rule repeats what is inside, :math:`e^{-na}`, and the Taylor series of the filter's square, :math:`(2c)^n/n!`.

        Args:
            least: The least ``a`` of them.
        """
        digits, n = self.context.prec * math.log(2), 2
        while n * least < digits + 2 * self.growth or n * (math.log(n / (2 * self.growth)) - 1) < digits:
            n += 2
        return replace(self, nodes=n)

    @property
    def growth(self) -> float:
        """The logarithm ``c`` of how large a filter may be on an ellipse."""
        return _GROWTH if self.context is None else _GROWTH_IN_DIGITS

    @property
    def scale(self) -> int:
        """``N`` of a parabola."""
        return _SCALE if self.context is None else self.nodes

    @property
    def least(self) -> float:
        """The least ``a`` of an ellipse that has no more nodes than a parabola."""
        return _LEAST if self.context is None else _LEAST_IN_DIGITS

    def function(self, name: str) -> Callable[[Any], Any]:
        """Return an elementary function on arrays."""
        if self.context is None:
            return getattr(np, name)
        return np.vectorize(getattr(self.context, name), otypes=[object])

    def log1p(self, x: Any) -> Any:
        """Return the logarithm of ``1 + x``, to all digits where ``x`` is small."""
        if self.context is not None:
            return self.function("log")(1 + x)
        return np.log1p(2 * x.real + abs(x) ** 2) / 2 + 1j * np.arctan2(x.imag, 1 + x.real)

    def array(self, x: Any) -> Any:
        """Return an array of its numbers."""
        return np.asarray(x) if self.context is None else np.vectorize(self.context.convert, otypes=[object])(x)

    @property
    def angles(self) -> Any:
        """The midpoints in ``(0, pi)``, shape (m,)."""
        half = np.arange(self.nodes // 2)
        if self.context is None:
            return (half + 0.5) * (2 * np.pi / self.nodes)
        return self.array(half) * (2 * self.context.pi / self.nodes) + self.context.pi / self.nodes

    @property
    def i(self) -> Any:
        """The imaginary unit."""
        return 1j if self.context is None else self.context.mpc(0, 1)

    def ellipse(self, edge: Any, beyond: Any) -> tuple[Any, Any]:
        """Return nodes and measure of the ellipse around ``[0, edge]`` with vertices so far beyond, shapes (n, 1)."""
        half, theta, i = self.array(edge) / 2, self.angles, self.i
        root = self.function("sqrt")
        long, short = half + beyond, root(beyond) * root(beyond + 2 * half)
        c, s = self.function("cos")(theta), self.function("sin")(theta)
        return half + long * c + i * (short * s), (short * c + i * (long * s)) / self.nodes

    def parabola(self) -> tuple[Any, Any]:
        """Return nodes and measure of the parabola, shape (m,)."""
        theta, N, i = self.angles, self.scale, self.i
        a, b, c = (self.array(x) for x in _PARABOLA)
        return -N * (a - b * theta**2) + i * (c * N * theta), (i * (2 * b * N * theta) - c * N) / self.nodes


_PARABOLA = (0.1309, 0.1194, 0.25)
_GROWTH, _GROWTH_IN_DIGITS = 3.0, 6.0
_LEAST, _LEAST_IN_DIGITS = 0.5, 1.25


@dataclass(frozen=True)
class Flow:
    """Gradient flow for a time, shape (n, 1).

    Attributes:
        time: The time; a dual number moves it.
    """

    time: Any

    def beyond(self, plane: Plane) -> Any:
        """Return how far beyond the ends of the spectrum an ellipse may go."""
        return plane.growth / value_of(self.time)

    def short(self, plane: Plane, edge: Any) -> np.ndarray:
        """Return where an ellipse takes fewer nodes."""
        return openness(edge, self.beyond(plane)) > plane.least

    def closed(self, plane: Plane, edge: Any) -> Contour:
        """Return the ellipse."""
        z, dz = plane.ellipse(edge, self.beyond(plane))
        return _closed(z, dz, self._left(plane, z))

    def open(self, plane: Plane) -> Contour:
        """Return the parabola."""
        zeta, d_zeta = plane.parabola()
        t = value_of(self.time)
        z = zeta / t
        w, v = (self._left(plane, x, k) * (d_zeta / zeta) for x, k in ((z, 1), (z / 2, 2)))
        return Contour(z, w, np.concatenate([z, z / 2], axis=-1), np.concatenate([2 * w, -1 * v], axis=-1))

    def _left(self, plane: Plane, z: Any, power: int = 1) -> Any:
        """Return a power of ``e``."""
        value = plane.function("exp")(-power * value_of(self.time) * z)
        return Jet(value, -power * z * value * self.time.slope) if isinstance(self.time, Jet) else value


@dataclass(frozen=True)
class Descent:
    """Gradient descent, shapes (n, 1).

    Attributes:
        step: Its step size; a dual number moves it.
        steps: The number of steps, whole numbers of float64.
    """

    step: Any
    steps: np.ndarray

    def beyond(self, plane: Plane) -> Any:
        """Return how far beyond the ends of the spectrum an ellipse may go."""
        return plane.array(np.expm1(plane.growth / self.steps)) / value_of(self.step)

    def short(self, plane: Plane, edge: Any) -> np.ndarray:
        """Return where an ellipse takes fewer nodes, or parabolas could meet."""
        few = self.steps <= _FEW_STEPS * plane.scale
        return np.asarray((openness(edge, self.beyond(plane)) > plane.least) | few)

    def closed(self, plane: Plane, edge: Any) -> Contour:
        """Return the ellipse."""
        z, dz = plane.ellipse(edge, self.beyond(plane))
        steps = plane.array(self.steps)
        return _closed(
            z, dz, self._moved(z, plane.function("exp")(steps * plane.log1p(-value_of(self.step) * z)), steps)
        )

    def open(self, plane: Plane) -> Contour:
        """Return the two parabolas."""
        (z, w), (z2, v) = self._both(plane, 1), self._both(plane, 2)
        return Contour(z, w, np.concatenate([z, z2], axis=-1), np.concatenate([2 * w, -1 * v], axis=-1))

    def _both(self, plane: Plane, power: int) -> tuple[Any, Any]:
        """Return nodes above the axis, of the second sign the conjugates, and the weights of a power of ``e``."""
        zeta, d_zeta = plane.parabola()
        steps, step = plane.array(power * self.steps), value_of(self.step)
        less = -plane.function("expm1")(-zeta / steps)  # 1 - x
        more, rate = 2 - less, (1 - less) * d_zeta / steps
        left = plane.function("exp")(-zeta) * (steps / steps)
        sign = (-1.0) ** (power * self.steps)
        z = np.concatenate([less / step, (more / step).conjugate()], axis=-1)
        value = np.concatenate([left, (left * sign).conjugate()], axis=-1)
        measure = np.concatenate([rate / less, (-rate / more).conjugate()], axis=-1)
        return z, self._moved(z, value, steps) * measure

    def _moved(self, z: Any, value: Any, steps: Any) -> Any:
        """Return a power of ``e`` with its derivative by the step size."""
        if not isinstance(self.step, Jet):
            return value
        return Jet(value, -steps * z / (1 - self.step.value * z) * value * self.step.slope)


def openness(edge: Any, beyond: Any) -> np.ndarray:
    r"""Return ``a`` of an ellipse, :math:`\cosh a=1+2\delta/x_+`."""
    return np.asarray(2 * np.arcsinh(np.sqrt(np.asarray(beyond / edge, dtype=float))))


def _closed(z: Any, dz: Any, left: Any) -> Contour:
    learned = 1 - left
    return Contour(z, left * (dz / z), z, -1 * learned * learned * (dz / z))


def refuse_divergence(step: np.ndarray, edge: np.ndarray) -> None:
    """Refuse a step size at which gradient descent diverges.

    Raises:
        DomainError: If a step is beyond two over the upper edge of the spectrum.
    """
    bad = np.flatnonzero(np.asarray(step * edge, dtype=float) > 2)
    if bad.size:
        got, most = float(np.ravel(step)[bad[0]]), 2 / float(np.ravel(edge)[bad[0]])
        raise DomainError(
            f"step needs to be at most 2 over the upper edge of the spectrum of the sample covariance, {most:.6g}, got {got:.6g}: "
            "gradient descent diverges; take a smaller step"
        )
