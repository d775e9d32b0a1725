"""Everything the package writes: files and folders that appear whole or not at all.

A file is written beside its target, synced, and renamed over it. A folder of files is made in a *workshop* beside it, a
hidden folder that one run at a time may hold. Both are held by a lock of the operating system, which ends with the process
however it ends: what a killed run has left is thus told from what a live one is working on, and the next run removes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from collapse_theory.core.errors import DomainError, shown

try:
    import fcntl
except ImportError:  # no such locks: leftovers are then kept rather than guessed
    fcntl = None  # type: ignore[assignment]

__all__ = ["target_file", "whole_folder", "write_file"]

_PART = ".part"
_READY = "ready"
_MADE = "made"


def target_file(path: Path, what: str) -> Path:
    """Return where a file is to be written, links followed, or raise if nothing can be written there.

    Raises:
        DomainError: If it is a folder, a link to nothing, or in no existing folder.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise DomainError(
                f"{what} needs a file or a free name, got {shown(str(path))}, a link to nothing; remove the link"
            )
        place = path.resolve()
        if place.exists() and not place.is_file():
            raise DomainError(
                f"{what} needs a file, got {shown(str(path))}, which is a folder or a device; choose another name"
            )
        if not place.parent.is_dir():
            raise DomainError(
                f"{what} needs a file that can be written, got {shown(str(path))} in no existing folder; make the folder first"
            )
    except (OSError, RuntimeError) as e:  # links in a circle, a name too long
        raise DomainError(
            f"{what} needs a file that can be written, got {shown(str(path))} ({e}); choose another name"
        ) from e
    return place


def write_file(path: Path, content: str | bytes, what: str) -> None:
    """Replace a file by one with this content; a kill at any moment leaves the old file or the new one.

    Args:
        path: The file.
        content: Text, written as UTF-8, or bytes.
        what: What messages call it.

    Raises:
        DomainError: If it cannot be written; the old file is then as it was.
    """
    place = target_file(path, what)
    try:
        _sweep(place)
        with _part(place) as (handle, part):
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, place)  # noqa: PTH105 - one call to make fail in a test
    except OSError as e:
        raise DomainError(
            f"{what} needs a file that can be written, got {shown(str(path))} ({e}); free or choose another place"
        ) from e


@contextmanager
def _part(place: Path) -> Iterator[tuple[int, Path]]:
    """Yield a locked new file beside its target; it is gone afterwards unless it was renamed."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{place.name[:100]}.", suffix=_PART, dir=place.parent)
        part = Path(name)
        # Another run may have taken it for a leftover between its making and its lock: then it is unlinked, make a new one.
        if _lock(handle) and part.exists():
            break
        os.close(handle)
    try:
        with contextlib.suppress(OSError):  # mkstemp makes it private; a file is as readable as the one it replaces
            os.fchmod(handle, place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~_umask())
        yield handle, part
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sweep(place: Path) -> None:
    """Remove the parts of this file that killed runs have left."""
    if fcntl is None:
        return
    for left in place.parent.glob(f".{_escaped(place.name[:100])}.*{_PART}"):
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_RDONLY)
            try:
                if _lock(handle):
                    left.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _lock(handle: int) -> bool:
    """Take the lock of an open file or folder; False if another process has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: as without the module
        return True
    return True


@contextmanager
def whole_folder(folder: Path, names: Collection[str] = ()) -> Iterator[tuple[Path, Path]]:
    """Yield a scratch folder whose files move into ``folder`` when the block succeeds, and vanish when it fails.

    A new folder appears by one rename. In one that exists each file is replaced by a rename, and a run that is killed
    between two of them is completed by the next run.

    Args:
        folder: Where the files go; other files there stay.
        names: Every name that the writer may make: those that an earlier run has left and this one does not make are
            removed, so that no folder mixes two runs.

    Yields:
        The scratch folder, and the workshop it is in: what is put there is kept for the next run if the block fails.

    Raises:
        DomainError: If ``folder`` is a file or a link to nothing, cannot be written, or another run is at work on it.
    """
    _check_folder(folder, names)
    place = folder.resolve()
    workshop = place.parent / f".{place.name}.partial"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = _held(workshop, folder)
    except OSError as e:
        raise DomainError(
            f"output needs a folder that can be written, got {shown(str(folder))}: {e}; choose another"
        ) from e
    try:
        if (workshop / _READY).exists():
            _deliver(workshop / _READY, place, names)
        scratch = workshop / _MADE
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield scratch, workshop
            scratch.rename(workshop / _READY)
            _deliver(workshop / _READY, place, names)
            shutil.rmtree(workshop, ignore_errors=True)
        except OSError as e:
            raise DomainError(
                f"output needs files that can be written, got {shown(str(folder))}: {e}; free space or choose another folder"
            ) from e
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            for kept in (*workshop.glob("*"), workshop):
                with contextlib.suppress(OSError):  # only what is empty
                    kept.rmdir()
    finally:
        os.close(handle)


def _check_folder(folder: Path, names: Collection[str]) -> None:
    try:
        if folder.is_symlink() and not folder.exists():
            raise DomainError(f"output needs a folder, got {shown(str(folder))}, a link to nothing; remove the link")
        if folder.exists() and not folder.is_dir():
            raise DomainError(f"output needs to be a folder, got the file {shown(str(folder))}; choose another name")
        for name in sorted(names):
            if (folder / name).is_dir():
                raise DomainError(
                    f"output needs {name} to be a file or absent, got a folder in {shown(str(folder))}; move it"
                )
        if folder.is_dir() and not os.access(folder, os.W_OK):
            raise DomainError(f"output needs a folder that can be written, got {shown(str(folder))}; choose another")
    except (OSError, RuntimeError) as e:
        raise DomainError(
            f"output needs a folder that can be written, got {shown(str(folder))}: {e}; choose another"
        ) from e


def _held(workshop: Path, folder: Path) -> int:
    """Make or take over the workshop and hold its lock; the handle must be closed at the end."""
    while True:
        workshop.mkdir(exist_ok=True)
        try:
            handle = os.open(workshop, os.O_RDONLY)
        except FileNotFoundError:
            continue  # its holder has just finished and removed it
        if not _lock(handle):
            os.close(handle)
            raise DomainError(
                f"output needs a folder that no other run is writing, got {shown(str(folder))}; wait for it or choose another"
            )
        if workshop.exists() and os.path.samestat(os.fstat(handle), workshop.stat()):
            return handle
        os.close(handle)


def _deliver(ready: Path, place: Path, names: Collection[str]) -> None:
    """Move finished files to their place, and remove what an earlier run has made and this one has not."""
    if not place.exists():
        ready.rename(place)
        return
    # A run that was interrupted here has moved some already: what may go is what is neither here nor was delivered.
    listed = ready / ".names"
    made: set[str]
    if listed.exists():
        made = set(listed.read_text(encoding="utf-8").splitlines())
    else:
        made = {p.name for p in ready.iterdir()}
        write_file(listed, "\n".join(sorted(made)), "output")
    for p in sorted(ready.iterdir()):
        if p != listed:
            p.replace(place / p.name)
    for name in sorted(set(names) - made):
        (place / name).unlink(missing_ok=True)
    shutil.rmtree(ready)
