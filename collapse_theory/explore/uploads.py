"""A matrix from the page, and what :func:`.diagnose` says of it for the fit that is shown."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from collapse_theory.check.diagnose import diagnose
from collapse_theory.core.errors import DomainError, ParseError, shown
from collapse_theory.core.reading import read_array
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import subject

__all__ = ["MOST_BYTES", "diagnosis", "matrix"]

MOST_BYTES = 1 << 26
"""Of an uploaded file."""

_BLANKS = re.compile(r"\s*[,;]\s*|\s+")


def matrix(name: str, content: bytes) -> np.ndarray:
    r"""Return the rows of a .npy, .csv or .txt file.

    Args:
        name: Of the file; its ending says what it is.
        content: Of the file. Cells of text are separated by commas, semicolons or blanks, a line each row.

    Raises:
        ParseError: If it is none of these, or rows have different lengths.

    >>> matrix("X.csv", b"1,2\n3,4\n5,6").shape
    (3, 2)
    """
    if len(content) > MOST_BYTES:
        raise ParseError(f"a matrix needs at most {MOST_BYTES} bytes, got {len(content)}; send fewer rows")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"matrix{Path(name).suffix}"
        file.write_bytes(content)
        try:
            found = read_array(file, "matrix")
        except ParseError as e:
            raise ParseError(str(e).replace(f"{folder}/", "")) from e
    if file.suffix == ".npy":
        return found
    widths = {len(_BLANKS.split(line.strip())) for line in content.decode("utf-8-sig").splitlines() if line.strip()}
    if len(widths) != 1:
        raise ParseError(
            f"matrix needs rows of one length, got {sorted(widths)} numbers in {shown(name)}; complete them"
        )
    return found.reshape(-1, widths.pop())


def diagnosis(state: State, name: str, content: bytes) -> dict[str, Any]:
    """Return whether the theory can be trusted on a matrix, for the rows and the ridge of the tested fit.

    Raises:
        ParseError: If the file holds no matrix.
        DomainError: If it is none that can be diagnosed, or the state has no tested fit.
    """
    about = subject(state.pipeline)
    values = about.values(state)
    pipe = about.pipeline(values)
    if pipe is None:
        raise DomainError(f"a diagnosis needs the rows of a fit, got {about.title}, a limit; choose a pipeline")
    fit = pipe.fits[-1]
    rows, ridge = (
        float(e.subs({x: values[x.name] for x in e.free_symbols})) if e is not None else 0.0 for e in (fit.N, fit.ridge)
    )
    found = diagnose(matrix(name, content), T=rows, lam=ridge)
    return {
        "verdict": found.verdict, "reason": found.reason, "T": rows, "lam": ridge, "N": found.N, "columns": found.columns,
        "scores": {k: v if np.isfinite(v) else None for k, v in found.scores.items()},
    }  # fmt: skip
