"""Every exception the package raises on purpose, and the one way their texts are written."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "CollapseTheoryError",
    "ConvergenceError",
    "DomainError",
    "NoEquivalentError",
    "NonCommutingError",
    "ParseError",
    "PipelineError",
    "ValidationWarning",
    "nearest",
    "shown",
]


class CollapseTheoryError(Exception):
    """Base of all errors raised on purpose; catching it never hides a bug."""


class DomainError(CollapseTheoryError, ValueError):
    """An argument lies outside the conditions of a theorem or the range of a quantity."""


class NoEquivalentError(DomainError):
    """A matrix expression has no deterministic equivalent at these values."""


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


def nearest(name: Any, valid: Iterable[str]) -> str:
    """Return ``'; did you mean ...?'`` for a misspelt name, else the list of valid ones.

    >>> nearest("sgima", ["sigma", "lam"])
    "; did you mean 'sigma'?"
    >>> nearest("q", ["sigma", "lam"])
    '; valid: lam, sigma'
    """
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1) if isinstance(name, str) and len(name) <= _LENGTH else []
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(valid) or 'none'}"


class _Bounded(reprlib.Repr):
    """A ``repr`` of bounded length and depth, whatever a caller hands in."""

    def repr_int(self, x: int, level: int) -> str:
        """Return an integer, or its size: Python refuses to print one of many thousand digits."""
        return super().repr_int(x, level) if x.bit_length() < _PRINTED_BITS else f"<int of {x.bit_length()} bits>"


_PRINTED_BITS = 4096
_LENGTH = 240
_BOUNDED = _Bounded()
_BOUNDED.maxlevel, _BOUNDED.maxlist, _BOUNDED.maxtuple, _BOUNDED.maxdict = 3, 8, 8, 8
_BOUNDED.maxstring, _BOUNDED.maxlong, _BOUNDED.maxother = 120, 60, 160


def shown(value: Any) -> str:
    """Return what was received, for a message: its ``repr`` at a bounded length. Never raises and never prints megabytes.

    >>> shown("lam"), shown([0.5] * 1000)
    ("'lam'", '[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ...]')
    >>> shown(10**5000)
    '<int of 16610 bits>'
    """
    text = _BOUNDED.repr(value)
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 20]}...{text[-17:]}"
