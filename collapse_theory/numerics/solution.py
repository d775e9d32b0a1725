"""What a solver returns: a root, whether it is one, how well its equation holds there, and what that took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from collapse_theory.core.errors import ConvergenceError

__all__ = ["Solution", "Status"]


class Status(Enum):
    """How an iteration ended; the value says it in words."""

    SETTLED = "settled"
    CAPPED = "did not settle within the cap on Newton steps"
    UNDEFINED = "left the domain of its equation"


@dataclass(frozen=True)
class Solution:
    """The outcome of an iteration.

    Attributes:
        value: The roots, shape (n,): of n equations in one unknown, or of one system in n.
        status: Whether they are accepted; see :mod:`.newton` for the rule.
        residual: Relative residual of each of n equations, shape (n,), or the largest of a system.
        steps: Newton steps taken.

    >>> Solution(np.ones(1), Status.SETTLED, np.zeros(1), 3).checked("a ridge", "change it")
    array([1.])
    >>> Solution(np.ones(1), Status.CAPPED, np.ones(1), 400).checked("a ridge", "change it")
    Traceback (most recent call last):
        ...
    collapse_theory.core.errors.ConvergenceError: a ridge did not settle within the cap on Newton steps: relative residual 1.0e+00 \
after 400 steps; change it
    """

    value: Any
    status: Status
    residual: Any
    steps: int

    @property
    def largest(self) -> float:
        """The largest relative residual."""
        return float(np.max(self.residual, initial=0.0))

    @property
    def worst(self) -> int:
        """The place of the equation with the largest residual."""
        return int(np.argmax(self.residual))

    def checked(self, what: str, remedy: str, **at: Any) -> Any:
        """Return the roots if they are accepted.

        Args:
            what: What was solved for.
            remedy: What the user can do.
            **at: The arguments that matter; of n equations one entry for each, and that of the worst is shown.

        Raises:
            ConvergenceError: If they are not.
        """
        if self.status is Status.SETTLED:
            return self.value
        shown = {name: x[self.worst] if np.ndim(self.residual) else x for name, x in at.items()}
        where = " at " + ", ".join(f"{name}={x}" for name, x in shown.items()) if at else ""
        raise ConvergenceError(
            f"{what}{where} {self.status.value}: relative residual {self.largest:.1e} after {self.steps} steps; {remedy}"
        )
