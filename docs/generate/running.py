"""The code cells of a page, run by IPython in this process: no kernel has to start for each of many pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from docs.generate.cells import Cell

__all__ = ["outputs_of"]


def outputs_of(cells: Sequence[Cell], page: str) -> dict[int, list[dict[str, Any]]]:
    """Run the code cells in a fresh namespace and return the value of each, by its place.

    Args:
        cells: The cells of one page.
        page: Its name, for messages.

    Raises:
        RuntimeError: If a cell fails.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    shell.reset(new_session=True)
    found: dict[int, list[dict[str, Any]]] = {}
    for i, cell in enumerate(cells):
        if not cell.runs:
            continue
        with capture_output():  # the prompt and what follows it; the value itself is formatted below
            done = shell.run_cell(cell.source)
        if not done.success:
            raise RuntimeError(f"{page}, cell {i}: {done.error_in_exec or done.error_before_exec}\n{cell.source}")
        data, metadata = shell.display_formatter.format(done.result)
        found[i] = [{"output_type": "display_data", "data": data, "metadata": metadata}]
    return found
