"""Numbers and arrays as a user may give them for a quantity, checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from collapse_theory.errors import DomainError

__all__ = ["broadcast_shape", "float64_array"]


def float64_array(name: str, value: Any) -> np.ndarray:
    """Return real numbers as float64.

    Args:
        name: The argument's name, for the message.
        value: A real number of any kind (Python, NumPy, SymPy, mpmath), or an array of them.

    Raises:
        DomainError: If it is text, a truth value, complex, missing, or not a number. Never silently converted.

    >>> float64_array("T", [3, 4])
    array([3., 4.])
    """
    want = f"{name} needs to be a real number or an array of real numbers, got {value!r}; convert it first"
    try:
        given = np.asarray(value)
        out = given.astype(np.float64) if given.dtype.kind in "iufO" else None
    except (TypeError, ValueError, OverflowError) as e:
        raise DomainError(want) from e
    objects = given.ravel().tolist() if given.dtype.kind == "O" else []
    if out is None or any(isinstance(x, str | bytes | bool | None) for x in objects):
        raise DomainError(want)
    return out


def broadcast_shape(arrays: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Return the common shape of the arguments.

    Raises:
        DomainError: If they do not broadcast.
    """
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError as e:
        shapes = ", ".join(f"{name}: {a.shape}" for name, a in arrays.items() if a.ndim)
        raise DomainError(f"arguments need shapes that broadcast, got {shapes}; add axes of length 1") from e
