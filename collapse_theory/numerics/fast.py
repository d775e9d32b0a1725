"""The loops over points of :mod:`.octaves`, one point after the other, for numba (an optional extra, ``fast``) to compile.

The same tables, bisection and iteration. They are compiled at the first call and kept on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

__all__ = ["compiled_polynomial", "compiled_roots", "polynomial", "roots"]

_STEPS = 40
_SHORT = 1e-9
_LN2 = math.log(2)


def polynomial(table: np.ndarray, row: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the polynomials of the given rows at z; arguments as of :func:`.octaves.horner`."""
    out = np.empty(z.size)
    last = table.shape[0] - 1
    for i in range(z.size):
        value = table[last, row[i]]
        for k in range(last - 1, -1, -1):
            value = value * z[i] + table[k, row[i]]
        out[i] = value
    return out


def roots(
    rows: np.ndarray,
    load: np.ndarray,
    spare: np.ndarray,
    ends: np.ndarray,
    directions: np.ndarray,
    edges: np.ndarray,
    table: np.ndarray,
    rough_steps: int,
    rough_terms: int,
) -> np.ndarray:
    """Return the roots inside octaves; NaN for all others and where the iteration does not settle.

    Args:
        rows: What the degrees of freedom are subtracted from, shape (n,).
        load: T lam, or of random features lam T m; shape (n,).
        spare: How many more of the one than of the other of rows and features; infinite without features; shape (n,).
        ends: Ends of the octaves.
        directions: Directions above the boundary of each octave.
        edges: The small part of the degrees of freedom at the ends.
        table: The polynomials of the small part, shape (degree + 1, octaves + 2).
        rough_steps: How many steps take a part of the polynomial.
        rough_terms: Its terms.
    """
    out = np.full(rows.size, np.nan)
    last = table.shape[0] - 1
    for i in range(rows.size):
        plain, more = spare[i] == np.inf, spare[i]
        low, high = 0, ends.size
        while low < high:
            middle = (low + high) // 2
            phi = load[i] / ends[middle]
            if not plain:
                phi = 2 * phi / (more + math.sqrt(more * more + 4 * phi))
            if (rows[i] - directions[middle]) + edges[middle] < phi:
                low = middle + 1
            else:
                high = middle
        if low == 0 or low == ends.size:
            continue
        base, left, x = ends[low - 1], rows[i] - directions[low - 1], 0.5
        for step in range(_STEPS):
            top = last if step >= rough_steps else rough_terms - 1
            z, value, slope = 2 * x - 1, table[top, low], 0.0
            for k in range(top - 1, -1, -1):
                slope = slope * z + value
                value = value * z + table[k, low]
            phi = fall = load[i] / (base * 2.0**x)
            if not plain:
                phi = 2 * phi / (more + math.sqrt(more * more + 4 * phi))
                fall = phi * (more + phi) / (more + 2 * phi)
            following = min(max(x - (left + value - phi) / (2 * slope + _LN2 * fall), 0.0), 1.0)
            moved = abs(following - x)
            x = following
            if step >= rough_steps and moved < _SHORT:
                out[i] = base * 2.0**x
                break
    return out


@cache
def _compiled(f: Callable[..., Any]) -> Callable[..., Any] | None:
    if find_spec("numba") is None:
        return None
    from numba import njit

    compiled: Callable[..., Any] = njit(cache=True, nogil=True)(f)
    return compiled


def compiled_polynomial() -> Callable[..., Any] | None:
    """Return :func:`polynomial` compiled; None without numba."""
    return _compiled(polynomial)


def compiled_roots() -> Callable[..., Any] | None:
    """Return :func:`roots` compiled; None without numba."""
    return _compiled(roots)
