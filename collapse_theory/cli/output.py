"""What commands print: JSON for programs, tables for people, errors on the standard error stream."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from collapse_theory.core.errors import CollapseTheoryError

__all__ = ["BAD_INPUT", "FAILED_CHECK", "guarded", "hint", "print_json", "print_table", "progress_bar", "say"]

FAILED_CHECK, BAD_INPUT = 1, 2
_WIDE = 200  # columns assumed when the output is not a terminal, so that tables in files are not cut


def say(text: str) -> None:
    """Print text as it is, at once: a server says its address and goes on."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def hint(text: str) -> None:
    """Print what a user may want to know beside the result, if anything, on the standard error stream."""
    if text:
        sys.stderr.write(f"note: {text}\n")


def print_json(value: Any) -> None:
    """Print a value as strict JSON; arrays become lists, infinities text."""
    say(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def print_table(head: Iterable[str], rows: Iterable[Iterable[Any]], title: str | None = None) -> None:
    """Print a table, numbers to six digits."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(f"{x:.6g}" if isinstance(x, float) else str(x) for x in row))
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (what, done, total) that moves a bar on the standard error stream."""
    bar = Progress(
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=None)

        def move(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield move


@contextmanager
def guarded() -> Iterator[None]:
    """Turn the package's errors into a message and exit code 2."""
    try:
        yield
    except CollapseTheoryError as e:
        sys.stderr.write(f"error: {e}\n")
        raise typer.Exit(BAD_INPUT) from e
