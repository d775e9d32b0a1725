r"""Activations of random features, and what a fit on many inputs sees of them: a linear part and independent noise.

A one-layer network with fixed random weights sees :math:`\varphi(u_j)`, :math:`j\le m`, of pre-activations :math:`u_j=g_j^\top
x/\sqrt{\operatorname{tr}\Sigma}` with i.i.d. :math:`N(0,1)` entries of :math:`g_j`. For inputs in many directions they are
Gaussian of unit variance, and

.. math:: \varphi(u)=\mu_0+\mu_1u+\mu_*\varepsilon,\qquad
   \mu_0=\mathbb E\varphi(u),\quad\mu_1=\mathbb E\,u\varphi(u),\quad\mu_*^2=\mathbb E\big(\varphi(u)-\mu_0-\mu_1u\big)^2,

where :math:`\varepsilon` is uncorrelated with :math:`u`, and as good as independent noise of each feature and row while rows and
features are of the order of the directions, not of their square.

Source: Pennington, Worah, Nonlinear random matrix theory for deep learning, 2017; Mei, Montanari, The generalization error of
random features regression, 2022; Goldt et al., The Gaussian equivalence of generative models for learning with shallow neural
networks, 2022; Hu, Lu, Universality laws for high-dimensional learning with random features, 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, PipelineError, nearest, shown
from collapse_theory.core.numbers import flag, real_array

__all__ = ["Activation"]

_END = 30.0
"""Where the weight of the normal distribution, 1e-196, ends every integral of an activation that has one."""
_EXACT = 1e-10
"""Largest relative error of a coefficient."""
_LINEAR = 1e-9
"""Smallest part of an activation, in units of all of it, that is told from round-off."""


def _erf(u: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return np.asarray(erf(u))


def _relu(u: np.ndarray) -> np.ndarray:
    return np.maximum(u, 0.0)


_NAMED: dict[str, Callable[[np.ndarray], np.ndarray]] = {"relu": _relu, "erf": _erf, "tanh": np.tanh}


@dataclass(frozen=True)
class Activation:
    r"""An activation of random features: ``"relu"``, ``"erf"``, ``"tanh"``, a polynomial, or any function.

    Args:
        function: A name; the coefficients of a polynomial, of rising powers; or a function of an array of pre-activations, of
            unit variance, that returns one of its shape.
        gaussian: Whether simulations draw its Gaussian equivalent instead: see :attr:`equivalent`.

    Raises:
        PipelineError: If it is none of these, has no linear part, or a coefficient is not found to ten digits.

    >>> relu = Activation("relu")
    >>> round(relu.mean, 6), round(relu.linear, 6), round(relu.residual, 6)
    (0.398942, 0.5, 0.301405)
    >>> cubic = Activation([0, 1, 0, 1])  # u + u^3 = 4u + (u^3 - 3u), of which the rest has the variance 3!
    >>> round(cubic.linear, 12), round(cubic.residual**2, 12)
    (4.0, 6.0)
    """

    function: str | tuple[float, ...] | Callable[[np.ndarray], np.ndarray]
    gaussian: bool = False

    def __post_init__(self) -> None:
        """Check that the coefficients exist."""
        given: Any = self.function
        flag(self.gaussian, "gaussian")
        if isinstance(given, str):
            if given not in _NAMED:
                raise PipelineError(
                    f"activation needs to be one of {', '.join(_NAMED)}, coefficients of a polynomial or a function, got "
                    f"{shown(given)}{nearest(given, _NAMED)}"
                )
        elif not callable(given):
            object.__setattr__(self, "function", _polynomial(given))
        if abs(self.linear) <= _LINEAR * math.hypot(self.linear, self.residual):
            raise PipelineError(
                f"activation needs a linear part, E[u phi(u)] of standard normal u other than 0, got {shown(given)}: a fit on many "
                "directions learns nothing from it; add a linear term"
            )

    @staticmethod
    def of(value: Any) -> Activation:
        """Return ``value`` as an activation."""
        return value if isinstance(value, Activation) else Activation(value)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Return its values.

        Raises:
            PipelineError: If a function does not return finite numbers of the shape of its argument.
        """
        f: Any = self.function
        if isinstance(f, str):
            return _NAMED[f](u)
        if isinstance(f, tuple):
            return np.asarray(np.polynomial.polynomial.polyval(u, f))
        try:
            with np.errstate(all="ignore"):  # what is not finite is said below
                out = np.asarray(f(u), dtype=float)
        except (TypeError, ValueError) as e:
            raise PipelineError(
                f"activation needs a function of arrays, got {shown(f)}: {e}; use NumPy's functions"
            ) from e
        if out.shape != u.shape or not np.isfinite(out).all():
            raise PipelineError(
                f"activation needs finite values in the shape of its argument {u.shape}, got shape {out.shape} from {shown(f)}; "
                "use NumPy's functions"
            )
        return out

    @property
    def mean(self) -> float:
        r""":math:`\mu_0`, which features are without."""
        return self._coefficients[0]

    @property
    def linear(self) -> float:
        r""":math:`\mu_1`, what is seen of the inputs."""
        return self._coefficients[1]

    @property
    def residual(self) -> float:
        r""":math:`\mu_*`, the standard deviation of what is as good as noise."""
        return self._coefficients[2]

    @property
    def equivalent(self) -> Activation:
        r"""Its Gaussian equivalent, :math:`\mu_1u+\mu_*\varepsilon` with independent noise: what the theory is about."""
        return replace(self, gaussian=True)

    @cached_property
    def _coefficients(self) -> tuple[float, float, float]:
        return self._found() if callable(self.function) else _remembered(self)

    def _found(self) -> tuple[float, float, float]:
        mean, linear = self._expected(lambda u, f: [f, u * f])
        _, rest = self._expected(lambda u, f: [f**2, (f - mean - linear * u) ** 2])
        return mean, linear, math.sqrt(rest) if rest > (_LINEAR * linear) ** 2 else 0.0

    def _expected(self, of: Callable[[np.ndarray, np.ndarray], list[np.ndarray]]) -> list[float]:
        """Return means under the standard normal law, each half on its own: activations have kinks at zero."""
        from scipy.integrate import quad_vec

        def weighted(size: float) -> np.ndarray:
            u = np.array([size, -size])
            each = np.array(of(u, self(u))) * math.exp(-size * size / 2) / math.sqrt(2 * math.pi)
            return np.concatenate([each.sum(axis=1), np.abs(each).sum(axis=1)])

        found, error = quad_vec(weighted, 0.0, _END, epsabs=0.0, epsrel=1e-13, norm="max", limit=300, points=(1.0, 4.0))
        values, sizes = np.split(found, 2)
        if not error <= _EXACT * sizes.max():
            raise PipelineError(
                f"activation needs coefficients to ten digits, got {values[0]:.6g} with an error of {error:.1e} from "
                f"{shown(self.function)}; use a function that is piecewise smooth"
            )
        return [float(x) for x in values]

    def __repr__(self) -> str:
        f = list(self.function) if isinstance(self.function, tuple) else self.function
        return f"Activation({f!r})" + (".equivalent" if self.gaussian else "")


@lru_cache(maxsize=64)
def _remembered(phi: Activation) -> tuple[float, float, float]:
    return phi._found()


def _polynomial(given: Any) -> tuple[float, ...]:
    if not isinstance(given, Sequence | np.ndarray):
        raise PipelineError(
            f"activation needs to be a name, coefficients of a polynomial or a function, got {shown(given)}; "
            f"names are {', '.join(_NAMED)}"
        )
    try:
        return tuple(float(x) for x in real_array(given, "activation"))
    except DomainError as e:
        raise PipelineError(str(e)) from e
