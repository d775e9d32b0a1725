"""The functions that occur in compiled expressions, on JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from collapse_theory.numerics.kernels import float64_kernels, geometric_sum
from collapse_theory.numerics.magnitude import input_sum

__all__ = ["jax_functions"]

_FEW = 1e-4
_TERMS = 5  # of the series at small x, of which the n-th falls like (n x)**k/(k + 2)!


@jax.custom_jvp
def _geometric_sum(x: Any, n: Any) -> Any:
    r"""Return :math:`f=\sum_{k<n}(1-x)^k`, with derivatives at its ends and near them.

    .. math:: x\,\partial_xf=n(1-x)^{n-1}-f,\qquad x\,\partial_nf=-(1-x)^n\log(1-x).

    For small x the first is the series :math:`\sum_k(-1)^kk\binom n{k+1}x^{k-1}`, because its two terms cancel.
    """
    return geometric_sum(x, n)


@_geometric_sum.defjvp
def _moved(at: tuple[Any, Any], along: tuple[Any, Any]) -> tuple[Any, Any]:
    (x, n), (dx, dn) = at, along
    f = _geometric_sum(x, n)
    few, end = abs(n * x) < _FEW, x == 1
    safe, left = jnp.where(few, 1.0, x), jnp.where(end, 1.0, 1 - x)
    by_x = (n * jnp.where(end, 1.0 * (n == 1), left ** (n - 1)) - f) / safe
    series, binomial = 0 * x, n
    for k in range(1, _TERMS):
        binomial = binomial * (n - k) / (k + 1)
        series = series + (-1) ** k * k * binomial * x ** (k - 1)
    ratio = -jnp.log1p(-jnp.where(end, 0.0, x)) / jnp.where(x == 0, 1.0, x)
    by_n = jnp.where(end, 0.0, left**n * jnp.where(x == 0, 1.0, ratio))
    return f, jnp.where(few, series, by_x) * dx + by_n * dn


@cache
def jax_functions() -> Mapping[str, Callable[..., Any]]:
    """Return the functions by the names that expressions are printed with."""
    own = {name: getattr(jnp, name) for name in dir(jnp) if not name.startswith("_")}
    special = {**float64_kernels(), "GeometricSum": _geometric_sum, "InputSum": input_sum}
    return {**own, **special}
