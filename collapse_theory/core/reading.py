"""The one way in for files: regular ones of a bounded size, read whole and never run.

A path that a user gives may be a folder, a device, a pipe that nobody writes to, gigabytes long, or written to break its
parser. Each ends here in an error that names the file.
"""

from __future__ import annotations

import os
import re
import stat
import tokenize
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from collapse_theory.core.errors import CollapseTheoryError, ParseError, shown

__all__ = ["as_path", "parse_toml", "read_array", "read_text", "read_toml"]

_TOML_BYTES = 1 << 20
_NUMBERS_BYTES = 1 << 28
_PATH = 4096  # the longest path of the operating system
_NESTED = 32  # tables and lists within each other
_DOTTED = 64  # parts of a dotted key, each of which is a table in the one before


def as_path(path: Any, name: str, error: type[CollapseTheoryError] = ParseError) -> Path:
    """Return a path that the operating system can be asked about.

    Raises:
        ParseError: Or ``error``, if it is no text, empty, or has a NUL character.

    >>> as_path("out", "output").name
    'out'
    """
    given = path
    try:
        given = os.fspath(path)
    except TypeError:
        given = None
    if not isinstance(given, str) or not given or "\0" in given or not _encodes(given):
        raise error(f"{name} needs to be a path, got {shown(path)}; give the name of a file")
    return Path(given)


def _encodes(path: str) -> bool:
    if len(path) > _PATH:
        return False
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def read_text(path: Path, what: str, most: int = _NUMBERS_BYTES, error: type[CollapseTheoryError] = ParseError) -> str:
    """Return the UTF-8 text of a regular file of at most ``most`` bytes.

    Args:
        path: The file.
        what: What messages call it.
        most: Largest size in bytes.
        error: The exception to raise.

    Raises:
        ParseError: Or ``error``, if there is no such file, it is a folder or a device, too large, or not UTF-8.
    """
    _regular(path, what, most, error)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise error(f"{what} needs to be readable UTF-8 text, got {shown(str(path))}: {e}; check the file") from e


def _regular(path: Path, what: str, most: int, error: type[CollapseTheoryError]) -> None:
    try:
        found = path.stat()
    except FileNotFoundError as e:
        raise error(f"{what} needs to exist, got {shown(str(path))}; check the path") from e
    except (OSError, ValueError) as e:
        raise error(f"{what} needs to be a readable file, got {shown(str(path))}: {e}; check the path") from e
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise error(f"{what} needs to be a readable file, got {shown(str(path))}, which is {kind}; give a file")
    if found.st_size > most:
        raise error(f"{what} needs at most {most} bytes, got {shown(str(path))} with {found.st_size}; split it")


def read_toml(path: Path, what: str = "pipeline file") -> dict[str, Any]:
    """Return the content of a TOML file with tables and lists at most 32 deep.

    Raises:
        ParseError: If the file cannot be read, is no TOML, or is nested more deeply.
    """
    return parse_toml(read_text(path, what, _TOML_BYTES), str(path), what)


def parse_toml(text: str, name: str, what: str = "pipeline file") -> dict[str, Any]:
    """Return the content of TOML text with tables and lists at most 32 deep; messages call it ``name``.

    Raises:
        ParseError: If it is no TOML, too long, or nested more deeply.

    >>> parse_toml("T = 600", "mine")
    {'T': 600}
    """
    if len(text) > _TOML_BYTES:
        raise ParseError(f"{what} needs at most {_TOML_BYTES} bytes, got {shown(name)} with more; split it")
    longest = max(map(_parts, text.splitlines()), default=0)
    if longest > _DOTTED:  # the time of a parser is quadratic in them
        raise ParseError(f"{what} needs dotted names of at most {_DOTTED} parts, got {shown(name)} with {longest}")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ParseError(f"{what} needs to be readable TOML, got {shown(name)}: {e}") from e
    except (ValueError, OverflowError) as e:  # an integer of thousands of digits, a date that does not exist
        raise ParseError(f"{what} needs values of ordinary size, got {shown(name)}: {e}") from e
    except RecursionError as e:
        raise ParseError(f"{what} needs tables and lists at most {_NESTED} deep, got {shown(name)} deeper") from e
    level: list[Any] = [content]
    for _ in range(_NESTED):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise ParseError(f"{what} needs tables and lists at most {_NESTED} deep, got {shown(name)} deeper")
    return content


def _parts(line: str) -> int:
    """Return the number of parts of the longest dotted name in a line, strings counted as one part."""
    if line.count(".") < _DOTTED:
        return 0
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "q", line)
    return max(name.count(".") + 1 for name in re.split(r"[,=\[\]{}#\s]+", re.sub(r"[ \t]*\.[ \t]*", ".", bare)))


def read_array(path: Path, what: str) -> np.ndarray:
    """Return the numbers of a .npy, .csv or .txt file, in whatever type they were saved.

    Cells of text files are separated by commas, semicolons or blanks; an empty one is an error, as is a header. A pickled
    array is refused since unpickling runs code, and an array that is not wholly in the file is not begun.

    Raises:
        ParseError: If the file cannot be read or holds something else.
    """
    if path.suffix not in {".npy", ".csv", ".txt"}:
        raise ParseError(f"{what} file needs to be .npy, .csv or .txt, got {shown(str(path))}; convert it")
    if path.suffix != ".npy":
        return _cells(read_text(path, f"{what} file"), path, what)
    _regular(path, f"{what} file", _NUMBERS_BYTES, ParseError)
    try:
        # Mapping the file checks its size against its header before anything of that size is allocated.
        return np.array(np.lib.format.open_memmap(path, mode="r"))
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, RecursionError) as e:
        raise ParseError(f"{what} file needs to hold an array of numbers, got {shown(str(path))}: {e}") from e
    except (KeyError, AttributeError, tokenize.TokenError) as e:  # a header that is Python, but not of an array
        raise ParseError(f"{what} file needs the header of an array, got {shown(str(path))}: {e}") from e


def _cells(text: str, path: Path, what: str) -> np.ndarray:
    numbers: list[float] = []
    for at, line in enumerate(text.rstrip().splitlines(), start=1):
        cells = re.split(r"\s*[,;]\s*|\s+", line.strip())
        for cell in cells if line.strip() else []:
            try:
                numbers.append(float(cell))
            except ValueError as e:
                got = shown(cell) if cell else "an empty cell"
                raise ParseError(
                    f"{what} file needs to hold numbers, got {got} in line {at} of {shown(str(path))}; correct it"
                ) from e
    return np.array(numbers)
