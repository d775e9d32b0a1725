"""Arguments that are no numbers: objects of a class, and one of a few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from collapse_theory.core.errors import CollapseTheoryError, PipelineError, nearest, shown

__all__ = ["choice", "instance", "word"]


def instance(value: Any, kind: Any, name: str, remedy: str, error: type[CollapseTheoryError] = PipelineError) -> Any:
    """Return ``value`` if it is of the class.

    Args:
        value: What was given.
        kind: The class, or a union of classes.
        name: The argument's name, for the message.
        remedy: The end of the message.
        error: The exception to raise.

    Raises:
        PipelineError: Or ``error``, if it is not.

    >>> instance(3, int, "n", "count")
    3
    """
    if not isinstance(value, kind):
        raise error(
            f"{name} needs to be a {getattr(kind, '__name__', kind)}, got {shown(value)} of type {type(value).__name__}; {remedy}"
        )
    return value


def word(value: Any, name: str, error: type[CollapseTheoryError] = PipelineError) -> str:
    """Return ``value`` if it is text of ordinary length, as a name or a choice is.

    Raises:
        PipelineError: Or ``error``, if it is not.

    >>> word("Sigma1", "covariance")
    'Sigma1'
    """
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise error(f"{name} needs to be a name, got {shown(value)} of type {type(value).__name__}; give short text")
    return value


def choice(value: Any, name: str, valid: Iterable[str]) -> str:
    """Return ``value`` if it is one of the valid words.

    Raises:
        PipelineError: If it is not.

    >>> choice("fresh", "design", ("fresh", "fixed"))
    'fresh'
    """
    valid = tuple(valid)
    if not isinstance(value, str) or value not in valid:
        hint = nearest(value, valid) if isinstance(value, str) and len(value) <= _LONGEST else "; choose one of them"
        raise PipelineError(f"{name} needs to be one of {', '.join(valid)}, got {shown(value)}{hint}")
    return value


_LONGEST = 200
