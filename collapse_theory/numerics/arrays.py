"""Values of quantities as arrays that broadcast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import real_values

__all__ = ["broadcast_shape", "float64_array", "namespace"]


def float64_array(name: str, value: Any) -> np.ndarray:
    """Return the value of a quantity as a float64 array of its shape; see :func:`.real_values` for what is refused.

    >>> float64_array("T", [3, 4])
    array([3., 4.])
    """
    return real_values(value, name)


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


def namespace(*values: Any) -> Any:
    """Return the library whose arrays these are: NumPy, unless one of them brings another (the array API standard).

    >>> namespace(1.5, np.zeros(2)) is np
    True
    """
    for x in values:
        if not isinstance(x, np.ndarray | np.generic) and hasattr(x, "__array_namespace__"):
            return x.__array_namespace__()
    return np
