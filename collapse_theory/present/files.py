"""Files that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collapse_theory.errors import DomainError

__all__ = ["whole_folder"]


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder whose files move into ``folder`` when the block succeeds, and vanish when it fails.

    Raises:
        DomainError: If ``folder`` exists and is a file, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise DomainError(f"output needs to be a folder, got the file {str(folder)!r}; choose another name")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as e:
        raise DomainError(f"output needs a folder that can be written, got {str(folder)!r}: {e}; choose another") from e
    try:
        yield scratch
        folder.mkdir(exist_ok=True)
        for made in sorted(scratch.iterdir()):
            made.replace(folder / made.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
