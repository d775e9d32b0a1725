"""A page as cells, written as a Jupyter notebook: what a reader sees on the site and runs from a download."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cell", "escaped", "fenced", "notebook"]


@dataclass(frozen=True)
class Cell:
    """A cell of a page.

    Attributes:
        source: Markdown or Python.
        runs: Whether it is Python.
        site_only: Whether it is left out of the download, since only Sphinx understands its roles.
    """

    source: str
    runs: bool = False
    site_only: bool = False


def escaped(text: str) -> str:
    r"""Return plain text as Markdown that shows it as it is; formulas between dollars stay formulas.

    >>> print(escaped("sigma**2 <= T_0, and $w_0$"))
    sigma\*\*2 \<= T\_0, and $w_0$
    """
    parts = re.split(r"(\$[^$]+\$)", text)
    return "".join(x if i % 2 else re.sub(r"([\\`*_\[\]<>^~|#])", r"\\\1", x) for i, x in enumerate(parts))


def fenced(source: str, language: str) -> str:
    """Return a block of code in Markdown.

    >>> print(fenced("1 + 1", "python"))
    ```python
    1 + 1
    ```
    """
    return f"```{language}\n{source.rstrip()}\n```"


def notebook(cells: Iterable[Cell], outputs: Mapping[int, list[dict[str, Any]]]) -> str:
    """Return a Jupyter notebook (format 4.5) as text.

    Args:
        cells: The cells.
        outputs: The outputs of cells that were run, by their place.

    >>> json.loads(notebook([Cell("# Title"), Cell("1 + 1", runs=True)], {}))["cells"][1]["cell_type"]
    'code'
    """
    found: list[dict[str, Any]] = []
    for i, cell in enumerate(cells):
        entry: dict[str, Any] = {"id": f"cell-{i}", "metadata": {}, "source": cell.source}
        if cell.runs:
            found.append({**entry, "cell_type": "code", "execution_count": len(found), "outputs": outputs.get(i, [])})
        else:
            found.append({**entry, "cell_type": "markdown"})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": found, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1)
