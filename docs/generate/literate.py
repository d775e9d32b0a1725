"""A derivation script as prose and code: its comments at the margin tell the story, its ``step`` lines are what is checked."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

__all__ = ["SCRIPTS", "Part", "Script", "script"]

FOLDER = Path(__file__).parents[2] / "derivations"


def _scripts() -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "transcript"))


SCRIPTS = _scripts()
"""The names of all derivations."""


@dataclass(frozen=True)
class Part:
    """A paragraph of a script, or a piece of its code."""

    text: str
    is_code: bool


@dataclass(frozen=True)
class Script:
    """A derivation.

    Attributes:
        name: Its file without the ending.
        title: The first paragraph of its docstring, formulas between dollars.
        source: All of it.
        parts: Prose and code in turn; what else its docstring says is the first prose.
    """

    name: str
    title: str
    source: str
    parts: tuple[Part, ...]

    def mentions(self, slug: str) -> bool:
        """Return whether it compares with the theorem of that slug, or says that it derives it."""
        return f'"{slug}"' in self.source or f"``{slug}``" in self.source

    def transcript(self) -> list[str]:
        """Run it and return what its steps claim; a step that does not hold raises."""
        printed = io.StringIO()
        kept = sys.path[:], sys.modules.pop("transcript", None)
        sys.path.insert(0, str(FOLDER))  # it imports ``transcript``, whose steps count from one
        try:
            with contextlib.redirect_stdout(printed):
                runpy.run_path(str(FOLDER / f"{self.name}.py"), run_name="__main__")
        finally:
            sys.path[:] = kept[0]
            sys.modules.pop("transcript", None)
        return [line.partition(". ")[2] for line in printed.getvalue().splitlines()]


@cache
def script(name: str) -> Script:
    """Read a derivation.

    >>> script("ridge_replace").parts[1].text[:34]
    '1. The last generator is w0 + delt'
    """
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    docstring = ast.parse(source).body[0]
    if not isinstance(docstring, ast.Expr):
        raise TypeError(f"derivations/{name}.py needs to begin with a docstring")
    said = re.sub(r":math:`([^`]*)`", r"$\1$", ast.literal_eval(docstring.value))
    title, *more = (" ".join(paragraph.split()) for paragraph in said.split("\n\n"))
    told = tuple(Part(paragraph, is_code=False) for paragraph in more)
    return Script(name, title.rstrip("."), source, told + tuple(_parts(source.splitlines()[docstring.end_lineno :])))


def _parts(body: list[str]) -> Iterator[Part]:
    """Yield prose and code: a line that begins with a hash at the margin is prose."""
    for is_prose, lines in groupby(body, key=lambda line: line.startswith("#")):
        text = "\n".join(line.lstrip("# ") if is_prose else line for line in lines).strip("\n")
        if text:
            yield Part(" ".join(text.split()) if is_prose else text, is_code=not is_prose)
