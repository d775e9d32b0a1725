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
_SHORT = 1e-8
_LN2 = math.log(2)


def polynomial(table: np.ndarray, row: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the polynomials, of an even degree, of the given rows at z; arguments as of :func:`.octaves.horner`."""
    out = np.empty(z.size)
    half = table.shape[0] // 2  # even and odd powers apart: neither sum waits for the other
    for i in range(z.size):
        square, r = z[i] * z[i], row[i]
        even, odd = table[2 * half, r], 0.0
        for k in range(half - 1, -1, -1):
            even = even * square + table[2 * k, r]
            odd = odd * square + table[2 * k + 1, r]
        out[i] = even + z[i] * odd
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
        table: The polynomials of the small part, of an even degree, shape (octaves + 2, degree + 1).
        rough_steps: How many steps take a part of the polynomial.
        rough_terms: Its terms.
    """
    out, per_end = np.full(rows.size, np.nan), 1 / ends
    last, rough_half = table.shape[1] // 2, rough_terms // 2  # even and odd powers apart
    for i in range(rows.size):
        plain, more = spare[i] == np.inf, spare[i]
        low, size = 0, ends.size
        while size > 0:  # without a branch on the outcome, which no processor can foresee
            middle = low + size // 2
            phi = load[i] * per_end[middle]
            if not plain:
                phi = 2 * phi / (more + math.sqrt(more * more + 4 * phi))
            above = (rows[i] - directions[middle]) + edges[middle] < phi
            low = middle + 1 if above else low
            size = size - size // 2 - 1 if above else size // 2
        if low == 0 or low == ends.size:
            continue
        base, left, x, coefficients = ends[low - 1], rows[i] - directions[low - 1], 0.5, table[low]
        for step in range(_STEPS):
            half = last if step >= rough_steps else rough_half
            z = 2 * x - 1
            square, even, odd, rise, bend = z * z, coefficients[2 * half], 0.0, 0.0, 0.0
            for k in range(half - 1, -1, -1):
                rise, bend = rise * square + even, bend * square + odd
                even = even * square + coefficients[2 * k]
                odd = odd * square + coefficients[2 * k + 1]
            value, slope = even + z * odd, odd + 2 * z * (rise + z * bend)
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

    how: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}}  # a product and a sum in one
    compiled: Callable[..., Any]
    try:
        compiled = njit(cache=True, **how)(f)
    except RuntimeError:  # nowhere to write: every process compiles its own
        compiled = njit(**how)(f)
    return compiled


def compiled_polynomial() -> Callable[..., Any] | None:
    """Return :func:`polynomial` compiled; None without numba."""
    return _compiled(polynomial)


def compiled_roots() -> Callable[..., Any] | None:
    """Return :func:`roots` compiled; None without numba."""
    return _compiled(roots)
