"""The files of one theorem and of one derivation."""

from __future__ import annotations

from pathlib import Path

import collapse_theory as ct
from docs.generate.cells import notebook
from docs.generate.derivation_pages import derivation_page
from docs.generate.literate import script
from docs.generate.running import outputs_of
from docs.generate.theorem_pages import page_cells

__all__ = ["DERIVATIONS", "REFERENCE", "THEOREMS", "write_derivation", "write_theorem"]

DOCS = Path(__file__).parents[1]
THEOREMS, DERIVATIONS, REFERENCE = (DOCS / name for name in ("theorems", "derivations", "reference"))


def write_theorem(slug: str) -> str:
    """Write the page of a theorem, and the notebook to download: the same cells without those of the site."""
    cells = page_cells(ct.catalog[slug])
    outputs = outputs_of(cells, slug)
    (THEOREMS / f"{slug}.ipynb").write_text(notebook(cells, outputs), encoding="utf-8")
    kept = [i for i, cell in enumerate(cells) if not cell.site_only]
    moved = {new: outputs[old] for new, old in enumerate(kept) if old in outputs}
    (THEOREMS / "notebooks" / f"{slug}.ipynb").write_text(notebook([cells[i] for i in kept], moved), encoding="utf-8")
    return f"theorems/{slug}"


def write_derivation(name: str) -> str:
    """Run a derivation and write its page."""
    found = script(name)
    (DERIVATIONS / f"{name}.md").write_text(derivation_page(found, found.transcript()), encoding="utf-8")
    return f"derivations/{name}"
