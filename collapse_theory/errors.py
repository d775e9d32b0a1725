"""Every exception the package raises on purpose, and the one way their texts are written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CollapseTheoryError",
    "ConvergenceError",
    "DomainError",
    "NonCommutingError",
    "ParseError",
    "PipelineError",
    "ValidationWarning",
    "nearest",
]


class CollapseTheoryError(Exception):
    """Base of all errors raised on purpose; catching it never hides a bug."""


class DomainError(CollapseTheoryError, ValueError):
    """An argument lies outside the conditions of a theorem or the range of a quantity."""


class PipelineError(CollapseTheoryError, ValueError):
    """A pipeline that cannot be built, or that no theory in the package covers."""


class NonCommutingError(CollapseTheoryError, ValueError):
    """Deterministic matrices that do not commute where the theory needs a common eigenbasis."""


class ConvergenceError(CollapseTheoryError, ArithmeticError):
    """An implicit equation was not solved to its tolerance; the message carries the residual."""


class ParseError(CollapseTheoryError, ValueError):
    """Text that is not in the grammar; text is parsed, never evaluated."""


class ValidationWarning(UserWarning):
    """A comparison of theory with simulation too coarse to mean much: errors above 10 % could have passed unseen."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return ``'; did you mean ...?'`` for a misspelt name, else the list of valid ones.

    >>> nearest("sgima", ["sigma", "lam"])
    "; did you mean 'sigma'?"
    >>> nearest("q", ["sigma", "lam"])
    '; valid: lam, sigma'
    """
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(valid) or 'none'}"
