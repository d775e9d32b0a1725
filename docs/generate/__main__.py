"""Write the generated pages of the documentation: ``python -m docs.generate``.

They go to ``docs/theorems``, ``docs/derivations`` and ``docs/reference``, which no commit holds. Several processes make them.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import collapse_theory as ct
from collapse_theory.present.theorem_map import write_theorems
from collapse_theory.theorems.graph import edges
from docs.generate.derivation_pages import derivation_index
from docs.generate.literate import SCRIPTS, script
from docs.generate.pages import DERIVATIONS, REFERENCE, THEOREMS, write_derivation, write_theorem
from docs.generate.reference_pages import (
    api_index,
    api_page,
    api_rooms,
    bibliography,
    command_page,
    estimator_page,
    files_page,
)
from docs.generate.theorem_pages import theorem_index


def reference() -> Iterator[tuple[str, str]]:
    """Yield the files of the reference by name."""
    yield "command_line.md", command_page()
    yield "files.md", files_page()
    yield "references.bib", bibliography()
    yield "api.md", api_index()
    yield "estimator.md", estimator_page()
    for room, names in api_rooms().items():
        yield f"{room}.md", api_page(room, names)


def main() -> None:
    """Write all pages."""
    for folder in (THEOREMS, DERIVATIONS, REFERENCE):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (THEOREMS / "notebooks").mkdir()
    for name, text in reference():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    (THEOREMS / "index.md").write_text(theorem_index(ct.catalog.values()), encoding="utf-8")
    write_theorems(edges(), THEOREMS / "graph.svg")
    (DERIVATIONS / "index.md").write_text(derivation_index(map(script, SCRIPTS)), encoding="utf-8")
    start = time.perf_counter()
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        pages = [*pool.map(write_theorem, ct.catalog), *pool.map(write_derivation, SCRIPTS)]
    sys.stdout.write(f"{len(pages)} pages in {time.perf_counter() - start:.0f} s\n")


if __name__ == "__main__":
    main()
