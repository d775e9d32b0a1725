"""One page per derivation: the script as prose and code, and what its steps claimed when it ran."""

from __future__ import annotations

from collections.abc import Iterable

import collapse_theory as ct
from docs.generate.cells import escaped, fenced
from docs.generate.literate import Script
from docs.generate.theorem_pages import scripts_of

__all__ = ["derivation_index", "derivation_page", "theorems_of"]


def derivation_page(script: Script, claims: Iterable[str]) -> str:
    """Return the page of a derivation in Markdown.

    Args:
        script: The derivation.
        claims: What its steps claim, in order; see :meth:`~docs.generate.literate.Script.transcript`.
    """
    proved = [f"[{slug}](../theorems/{slug}.ipynb)" for slug in theorems_of(script)]
    told = [fenced(part.text, "python") if part.is_code else _prose(part.text) for part in script.parts]
    checked = "\n".join(f"{i}. `{claim}`" for i, claim in enumerate(claims, 1))
    return "\n\n".join([
        f"# {_prose(script.title)}",
        *([f"Of {', '.join(proved)}."] if proved else []),
        f"`python derivations/{script.name}.py` runs it; a step that does not hold stops it.",
        *told,
        "## The steps, as checked when this page was made",
        checked,
    ]) + "\n"  # fmt: skip


def derivation_index(scripts: Iterable[Script]) -> str:
    """Return the page that lists all derivations, in Markdown."""
    listed = list(scripts)
    rows = [f"| [{escaped(s.name)}]({s.name}.md) | {_prose(s.title)} |" for s in listed]
    return "\n".join([
        "# Derivations",
        "",
        ("Literate scripts: numbered steps in words and code, each checked as it runs, ending in equality with what the package "
        "gives. `make book` prints them all as one PDF with an index of symbols."),
        "",
        "| script | derives |",
        "|---|---|",
        *rows,
        "",
        "```{toctree}",
        ":hidden:",
        ":maxdepth: 1",
        "",
        *(f"{s.name} <{s.name}>" for s in listed),
        "```",
        "",
    ])  # fmt: skip


def theorems_of(script: Script) -> list[str]:
    """Return the theorems whose derivation it is, or one of those.

    >>> from docs.generate.literate import script
    >>> theorems_of(script("ols_accumulate"))
    ['ols-accumulate', 'ols-accumulate-limit']
    """
    return [slug for slug in ct.catalog if script.name in scripts_of(slug)]


def _prose(text: str) -> str:
    """Return prose of a script in Markdown: names in double quotes of code, formulas between dollars, the rest as it is."""
    pieces = text.split("``")
    return "".join(f"`{x}`" if i % 2 else escaped(x) for i, x in enumerate(pieces))
