"""Text in any script in a picture: fonts that have its characters, and a plain sign for those that none has."""

from __future__ import annotations

import functools

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

__all__ = ["drawable", "fonts_for"]

_ABSENT = "\u25a1"  # a white square, as readers draw a character they have no font for


def fonts_for(text: str) -> list[str]:
    """Return the default font and, for characters it lacks, installed fonts that have them.

    >>> fonts_for("ridge")
    ['sans-serif']
    """
    found, lacking = ["sans-serif"], set(text) - _default()
    for name, characters in _installed() if lacking else ():
        if lacking & characters:
            found.append(name)
            lacking -= characters
    return found


def drawable(text: str) -> str:
    """Return the text with a white square for every character that no installed font has.

    >>> drawable("ridge")
    'ridge'
    """
    known = _default()
    if set(text) <= known:
        return text
    known = known.union(*(characters for _, characters in _installed()))
    return "".join(c if c in known else _ABSENT if c.isprintable() else " " for c in text)


@functools.cache
def _default() -> frozenset[str]:
    return _characters(font_manager.findfont(font_manager.FontProperties(family=["sans-serif"])))


@functools.cache
def _installed() -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the fonts and their characters; read only when the default font does not do."""
    return tuple((f.name, _characters(f.fname)) for f in sorted(font_manager.fontManager.ttflist, key=lambda f: f.name))


def _characters(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):  # a font that cannot be read has no characters for us
        return frozenset()
