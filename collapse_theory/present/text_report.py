"""The report of a text: unigram or bigram models trained on it, then on what they generate. CSV and figure."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from collapse_theory.errors import ParseError, nearest
from collapse_theory.families.text import TextPoint, as_csv, bigram, read_tokens, text_collapse, unigram
from collapse_theory.present.files import whole_folder
from collapse_theory.present.text_figure import draw_text_collapse

__all__ = ["TextSettings", "largest_z", "read_text_settings", "write_text_report"]

_MODELS = ("unigram", "bigram")


@dataclass(frozen=True)
class TextSettings:
    """A report file with ``text = "PATH"``.

    Attributes:
        text: The text, relative to the file.
        model: "unigram" or "bigram".
        unit: "word" or "character".
        rows: Rows of each round; None is the length of the text.
        generations: Generations on synthetic data.
        runs: Simulated runs.
        seed: Seed.
    """

    text: str
    model: str = "unigram"
    unit: str = "word"
    rows: int | None = None
    generations: int = 10
    runs: int = 20
    seed: int = 0


def read_text_settings(path: Path) -> TextSettings | None:
    """Return the settings of a report file about a text, or None if it has no ``text`` (a pipeline file, or unreadable).

    Raises:
        ParseError: If a key is unknown or a value of the wrong type.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None  # the reader of pipeline files says what is wrong with it
    if "text" not in content:
        return None
    valid = [f.name for f in fields(TextSettings)]
    for key, value in content.items():
        if key not in valid:
            raise ParseError(f"{path.name} has no key {key!r} beside text{nearest(key, valid)}")
        kind = str if key in {"text", "model", "unit"} else int
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ParseError(f"{key} in {path.name} needs to be of type {kind.__name__}, got {value!r}; correct it")
    if content.get("model", "unigram") not in _MODELS:
        raise ParseError(f"model in {path.name} needs to be unigram or bigram, got {content['model']!r}; choose one")
    return TextSettings(**{**content, "text": str(path.parent / content["text"])})


def write_text_report(settings: TextSettings, folder: Path) -> tuple[list[TextPoint], list[Path]]:
    """Compute the table of a text and write ``text.csv``, ``text.pdf`` and ``text.png``, whole or not at all.

    Args:
        settings: From :func:`read_text_settings`.
        folder: Where the report goes.

    Raises:
        DomainError: If the text cannot be read or a number is out of range.
    """
    tokens = read_tokens(settings.text, settings.unit)
    contexts = (unigram if settings.model == "unigram" else bigram)(tokens, settings.rows)
    points = text_collapse(contexts, settings.generations, settings.runs, settings.seed)
    with whole_folder(folder) as scratch:
        (scratch / "text.csv").write_text(as_csv(points), encoding="utf-8")
        figure = draw_text_collapse(points)
        figure.savefig(scratch / "text.pdf")
        figure.savefig(scratch / "text.png", dpi=160)
        names = sorted(p.name for p in scratch.iterdir())
    return points, [folder / name for name in names]


def largest_z(points: Sequence[TextPoint]) -> float:
    """Return the largest z-score of the points with exact theory."""
    scores: list[Any] = [abs(p.simulated - p.theory) / p.sem for p in points if p.lower == p.upper and p.sem > 0]
    return float(max(scores, default=0.0))
