"""Checkpoints of a simulation: finished trials in a file that is always whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.reading import read_text
from collapse_theory.core.writing import target_file, write_file
from collapse_theory.simulate.trial import digest

__all__ = ["Checkpoint"]

_FORMAT = "collapse-theory simulation 1"


@dataclass(frozen=True)
class Checkpoint:
    """A JSON file with the errors of the first trials of one problem.

    Attributes:
        path: The file; its folder must exist.
        problem: Digest of everything the errors depend on: pipeline, values, inputs, seed.
    """

    path: Path
    problem: str

    def load(self) -> np.ndarray:
        """Return the errors of the finished trials in trial order, empty if there is no file yet.

        Raises:
            DomainError: If the file is damaged, of another kind, or of another problem. It is left as it is.
        """
        if not target_file(self.path, "checkpoint").exists():
            return np.empty(0)
        text = read_text(self.path, "checkpoint", error=DomainError)
        try:
            record = json.loads(text)
            problem, errors = record["problem"], np.array(record["errors"], dtype=np.float64)
            whole = (
                record["format"] == _FORMAT
                and errors.ndim == 1
                and bool(np.isfinite(errors).all())
                and record["check"] == digest(problem, errors)
            )
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            whole = False
        if not whole:
            raise DomainError(
                f"checkpoint needs a whole file written by simulate, got {shown(str(self.path))}, damaged; {_REMEDY}"
            )
        if problem != self.problem:
            raise DomainError(
                "checkpoint needs to be of the same pipeline, values, inputs, target and seed, "
                f"got {shown(str(self.path))} of another problem; {_REMEDY}"
            )
        return errors

    def save(self, errors: np.ndarray) -> None:
        """Replace the file by one with these errors; a kill at any moment leaves the old file or the new one.

        Raises:
            DomainError: If it cannot be written.
        """
        record = {
            "format": _FORMAT,
            "problem": self.problem,
            "errors": errors.tolist(),
            "check": digest(self.problem, errors),
        }
        write_file(self.path, json.dumps(record), "checkpoint")


_REMEDY = "give another path, or delete the file to start again"
