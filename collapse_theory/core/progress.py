"""A progress bar on the standard error stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["counting_bar"]


@contextmanager
def counting_bar(what: str, total: int, done: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves the bar to a number of finished things; without ``shown`` it does nothing.

    Args:
        what: What is counted.
        total: How many there are.
        done: How many are finished at the start.
        shown: Whether there is a bar.
    """
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda finished: bar.update(task, completed=finished)
