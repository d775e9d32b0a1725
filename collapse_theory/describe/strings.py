"""The short strings of the command line and of pipeline files: values, ranges, spectra and targets.

``0.01,0.1,1`` | ``log:1e-4:10:50`` | ``lin:0:1:11`` | ``0..5`` are values; ``powerlaw:d=300,beta=1.5`` is a spectrum,
``source:r=0.5`` a target, ``flow:time=8`` a filter. The keywords are the fields of a class, so the two cannot drift.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import ParseError, nearest, shown
from collapse_theory.core.reading import as_path, read_array
from collapse_theory.describe.filters import Filter, GradientDescent, GradientFlow
from collapse_theory.describe.grammar import NO_NAMES, formula
from collapse_theory.describe.kernel_functions import KERNELS, Kernel
from collapse_theory.describe.spectra import Eigenvalues, Isotropic, PowerLaw, Spectrum, Spiked
from collapse_theory.describe.targets import Coefficients, Energies, RandomTarget, SourceTarget, Target

__all__ = ["described", "filter_of", "kernel", "overlap", "spectrum", "target", "values"]

_SPECTRA: Mapping[str, Callable[..., Spectrum]] = {"isotropic": Isotropic, "powerlaw": PowerLaw, "spiked": Spiked}
_TARGETS: Mapping[str, Callable[..., Target]] = {"random": RandomTarget, "source": SourceTarget}
_FILTERS: Mapping[str, Callable[..., Filter]] = {"flow": GradientFlow, "descent": GradientDescent}
_MOST = 1_000_000  # values of one range


def values(text: str) -> int | float | np.ndarray:
    """Return the number, list or range that ``text`` denotes.

    Args:
        text: A number or constant formula (``0.5``, ``1/3``), a list (``0.01,0.1,1``), a range of ``count`` points
            (``log:start:stop:count``, ``lin:start:stop:count``; both ends included), or all integers ``first..last``.

    Returns:
        An int or a float, or an array of int64 (if all are integers) or float64.

    Raises:
        ParseError: If the text is none of these.

    >>> values("0.5"), values("3"), values("0..3"), values("lin:0:1:3")
    (0.5, 3, array([0, 1, 2, 3]), array([0. , 0.5, 1. ]))
    >>> values("log:1e-2:1:3")
    array([0.01, 0.1 , 1.  ])
    """
    if not isinstance(text, str):
        raise ParseError(f"values need to be text, got {shown(text)} of type {type(text).__name__}; quote them")
    kind, colon, rest = text.partition(":")
    if colon:
        return _range(kind.strip(), rest, text)
    if ".." in text:
        return _integers(text)
    items = [_number(item, text) for item in text.split(",")]
    return items[0] if len(items) == 1 else np.array(items)


def _number(item: str, text: str) -> int | float:
    if not item.strip():
        raise ParseError(f"values need a number, got an empty item in {shown(text)}; write for example 0.01,0.1,1")
    value = formula(item)
    if value.free_symbols:
        raise ParseError(
            f"values need numbers, got {item.strip()!r} with the symbol {min(map(str, value.free_symbols))}"
        )
    if value.is_Integer:
        if abs(value) >= 2**63:
            raise ParseError(f"values need integers below 2^63, got {item.strip()!r}; write it as a decimal")
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        raise ParseError(f"values need to be finite, got {item.strip()!r}")
    return number


def _range(kind: str, rest: str, text: str) -> np.ndarray:
    if kind not in {"lin", "log"}:
        raise ParseError(
            "range needs the form lin:start:stop:count or log:start:stop:count, got "
            f"{shown(text)}{nearest(kind, ['lin', 'log'])}"
        )
    parts = rest.split(":")
    if len(parts) != 3:
        raise ParseError(f"range needs start:stop:count, got {shown(text)}; write for example {kind}:1e-4:10:50")
    start, stop, count = (_number(p, text) for p in parts)
    if not isinstance(count, int) or not 1 <= count <= _MOST:
        raise ParseError(f"range needs an integer count from 1 to {_MOST}, got {shown(parts[2])} in {shown(text)}")
    if kind == "log":
        if not (start > 0 and stop > 0):
            raise ParseError(f"log range needs positive ends, got {shown(text)}; use lin for a range through zero")
        return np.geomspace(start, stop, count)
    return np.linspace(start, stop, count)


def _integers(text: str) -> np.ndarray:
    match = re.fullmatch(r"\s*([+-]?\d{1,15})\s*\.\.\s*([+-]?\d{1,15})\s*", text)
    if match is None:
        raise ParseError(f"integer range needs the form first..last, got {shown(text)}; write for example 0..5")
    first, last = map(int, match.groups())
    if not first <= last < first + _MOST:
        raise ParseError(f"integer range needs first <= last and at most {_MOST} values, got {shown(text)}")
    return np.arange(first, last + 1)


def spectrum(text: str, base: Path | str = ".") -> Spectrum:
    """Return the spectrum that ``text`` denotes.

    Args:
        text: ``isotropic:d=300``, ``powerlaw:d=300,beta=1.5``, ``spiked:d=100,spikes=20/10/5`` (all also with the other
            fields of their classes) or ``file:PATH`` (.npy, .csv or .txt with one eigenvalue per entry).
        base: Directory that a relative path starts from.

    Raises:
        ParseError: If the text has an unknown kind or keyword, or the file cannot be read.
        DomainError: If a value is out of range.

    >>> spectrum("spiked:d=100,spikes=20/10/5").rank
    100
    """
    return described(text, "spectrum", _SPECTRA, Eigenvalues, Path(base))


def target(text: str, base: Path | str = ".") -> Target:
    """Return the target that ``text`` denotes: ``random:norm2=1``, ``source:r=0.5`` or ``file:PATH`` with the energies.

    ``coefficients:PATH`` is a file with coefficients, which have signs: several truths need them.

    Raises:
        ParseError: If the text has an unknown kind or keyword, or the file cannot be read.
        DomainError: If a value is out of range.

    >>> target("source:r=0.5")
    SourceTarget(r=0.500000000000000, scale=1)
    """
    kind, _, rest = (part.strip() for part in text.partition(":")) if isinstance(text, str) else ("", "", "")
    if kind == "coefficients":
        return Coefficients(read_array(_file(Path(base), rest, "target"), "coefficients"))
    return described(text, "target", _TARGETS, Energies, Path(base))


def overlap(given: Any, base: Path | str = ".") -> Any:
    """Return an overlap of two truths: a number, a formula, or ``file:PATH`` with one product per direction.

    Raises:
        ParseError: If it is text of another kind, or the file cannot be read.

    >>> overlap(0.5), overlap("1/3")
    (0.5, 1/3)
    """
    if not isinstance(given, str):
        return given
    kind, _, rest = (part.strip() for part in given.partition(":"))
    return read_array(_file(Path(base), rest, "overlaps"), "overlaps") if kind == "file" else formula(given)


def filter_of(text: str, names: Mapping[str, Expr] | None = None) -> Filter:
    """Return the spectral filter that ``text`` denotes: ``flow:time=8`` or ``descent:step=0.1,steps=50``.

    Args:
        text: The kind and its values, which may be formulas.
        names: The symbols they may use besides the notation table.

    Raises:
        ParseError: If the text has an unknown kind or keyword.
        PipelineError: If a value is out of range.

    >>> filter_of("flow:time=8"), filter_of("descent:step=0.1,steps=50")
    (GradientFlow(time=8), GradientDescent(step=0.1, steps=50))
    """
    return _built(text, "filter", _FILTERS, lambda x: formula(x, names or NO_NAMES), list(_FILTERS))


def kernel(text: str) -> Kernel:
    """Return the kernel that ``text`` denotes: ``rbf:gamma=0.01`` or ``polynomial:degree=3,gamma=0.01,offset=1``.

    Raises:
        ParseError: If the text has an unknown kind or keyword.
        DomainError: If a value is out of range.

    >>> kernel("polynomial:degree=3")
    PolynomialKernel(degree=3, gamma=None, offset=1)
    """
    return _built(text, "kernel", KERNELS, formula, list(KERNELS))


def _file(base: Path, rest: str, what: str) -> Path:
    return base / as_path(rest, f"{what} file")


def described(
    text: str, what: str, kinds: Mapping[str, Any], from_array: Callable[[np.ndarray], Any], base: Path
) -> Any:
    """Return the object of one of ``kinds`` (``kind:field=VALUE,...``), or what ``from_array`` makes of ``file:PATH``.

    Raises:
        ParseError: If the text has an unknown kind or keyword, or the file cannot be read.
    """
    kind, _, rest = (part.strip() for part in text.partition(":")) if isinstance(text, str) else ("", "", "")
    if kind == "file":
        return from_array(read_array(_file(base, rest, what), what))
    return _built(text, what, kinds, formula, [*kinds, "file"])


def _built(text: str, what: str, kinds: Mapping[str, Any], number: Callable[[str], Expr], known: Sequence[str]) -> Any:
    """Return the object of a kind and its fields, ``kind:field=VALUE,field=VALUE``."""
    if not isinstance(text, str):
        raise ParseError(f"{what} needs to be text, got {shown(text)} of type {type(text).__name__}; quote it")
    kind, _, rest = (part.strip() for part in text.partition(":"))
    if kind not in kinds:
        raise ParseError(f"{what} needs a known kind, got {shown(kind)} in {shown(text)}{nearest(kind, known)}")
    build = kinds[kind]
    keys = {f.name: f.default is MISSING for f in fields(build)}
    given: dict[str, Any] = {}
    for item in filter(None, (i.strip() for i in rest.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if key not in keys:
            raise ParseError(
                f"{what} {shown(kind)} needs known keywords, got {shown(key)} in {shown(text)}{nearest(key, keys)}"
            )
        if not (equals and value) or key in given:
            raise ParseError(
                f"{what} {shown(kind)} needs each keyword once, as {key}=VALUE, got {shown(item)} in {shown(text)}"
            )
        given[key] = [number(x) for x in value.split("/")] if key == "spikes" else number(value)
    missing = [key for key, required in keys.items() if required and key not in given]
    if missing:
        raise ParseError(f"{what} {shown(kind)} needs {', '.join(missing)}, got {shown(text)}; add {missing[0]}=VALUE")
    return build(**given)
