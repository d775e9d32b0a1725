"""Checkpoints of a simulation: finished trials in a file that is always whole."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collapse_theory.errors import DomainError
from collapse_theory.simulate.protocol import digest

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
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return np.empty(0)
        except (OSError, UnicodeDecodeError) as e:
            raise DomainError(f"checkpoint needs a readable file, got {str(self.path)!r} ({e}); {_REMEDY}") from e
        try:
            record = json.loads(text)
            problem, errors = record["problem"], np.array(record["errors"], dtype=np.float64)
            whole = record["format"] == _FORMAT and errors.ndim == 1 and record["check"] == digest(problem, errors)
        except (ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            raise DomainError(
                f"checkpoint needs a whole file written by simulate, got {str(self.path)!r}, damaged; {_REMEDY}"
            )
        if problem != self.problem:
            raise DomainError(
                "checkpoint needs to be of the same pipeline, values, inputs, target and seed, "
                f"got {str(self.path)!r} of another problem; {_REMEDY}"
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
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent)
            part = Path(name)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(record, file)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self.path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as e:
            raise DomainError(
                f"checkpoint needs a file that can be written, got {str(self.path)!r} ({e}); "
                "give a path in an existing folder"
            ) from e


_REMEDY = "give another path, or delete the file to start again"
