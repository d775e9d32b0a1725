"""The report of a text: unigram or bigram models trained on it, then on what they generate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from collapse_theory.core.errors import ParseError, nearest, shown
from collapse_theory.core.reading import read_toml
from collapse_theory.core.writing import whole_folder, write_file
from collapse_theory.families.text import TextPoint, as_csv, bigram, read_tokens, text_collapse, unigram
from collapse_theory.present.report import REPORT_FILES, compile_tex, plain, save_figure, write_json
from collapse_theory.present.text_document import text_document
from collapse_theory.present.text_figure import draw_text_collapse

__all__ = ["TextSettings", "largest_z", "read_text_settings", "text_data", "write_text_report"]

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
    """Return the settings of a report file about a text, or None if it has no ``text`` (a pipeline file).

    Raises:
        ParseError: If the file cannot be read, a key is unknown or a value of the wrong type.
    """
    content = read_toml(path, "report file")
    if "text" not in content:
        return None
    valid = [f.name for f in fields(TextSettings)]
    for key, value in content.items():
        if key not in valid:
            raise ParseError(f"{path.name} has no key {shown(key)} beside text{nearest(key, valid)}")
        kind = str if key in {"text", "model", "unit"} else int
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ParseError(
                f"{key} in {path.name} needs to be of type {kind.__name__}, got {shown(value)}; correct it"
            )
    if content.get("model", "unigram") not in _MODELS:
        raise ParseError(f"model in {path.name} needs to be unigram or bigram, got {content['model']!r}; choose one")
    return TextSettings(**{**content, "text": str(path.parent / content["text"])})


def write_text_report(
    settings: TextSettings, folder: Path, progress: Callable[[str, int, int], None] = lambda *_: None
) -> tuple[list[TextPoint], list[Path]]:
    """Compare theory and simulation on a text and write the same files as for a study; whole or not at all.

    Args:
        settings: From :func:`read_text_settings`.
        folder: Where the report goes; existing files of the same names are replaced.
        progress: See :func:`~collapse_theory.families.text.text_collapse`.

    Returns:
        The points and the files written.

    Raises:
        DomainError: If the text cannot be read or a number is out of range.
    """
    tokens = read_tokens(settings.text, settings.unit)
    contexts = (unigram if settings.model == "unigram" else bigram)(tokens, settings.rows)
    with whole_folder(folder, REPORT_FILES) as (scratch, _):
        points = text_collapse(contexts, settings.generations, settings.runs, settings.seed, progress)
        save_figure(draw_text_collapse(points), scratch / "figure")
        write_file(scratch / "report.csv", as_csv(points), "report")
        write_json(text_data(settings, points), scratch / "report.json")
        document = text_document(
            Path(settings.text).name, settings.model, settings.unit, settings.runs, contexts, points
        )
        write_file(scratch / "report.tex", document, "report")
        compile_tex(scratch / "report.tex")
        names = sorted(p.name for p in scratch.iterdir())
    return points, [folder / name for name in names]


def text_data(settings: TextSettings, points: Sequence[TextPoint]) -> dict[str, Any]:
    """Return settings and points as plain data for JSON."""
    rows = [{k: plain(v) if isinstance(v, float) else v for k, v in asdict(p).items()} for p in points]
    return {**asdict(settings), "text": Path(settings.text).name, "points": rows}


def largest_z(points: Sequence[TextPoint]) -> float:
    """Return the largest z-score of the points with exact theory."""
    return max((abs(p.z) for p in points if p.exact), default=0.0)
