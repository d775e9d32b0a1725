"""The book of derivations compiles, with every theorem, a table of contents and an index of symbols."""

import re
import shutil

import pytest

import collapse_theory as ct
from docs.generate.book import book, compile_book
from docs.generate.literate import SCRIPTS, script

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        shutil.which("pdflatex") is None or shutil.which("makeindex") is None,
        reason="needs pdflatex and makeindex (Debian: texlive-latex-base texlive-latex-recommended texlive-binaries)",
    ),
]


def test_the_book_compiles(tmp_path):
    scripts = [script(name) for name in SCRIPTS]
    short = min(scripts, key=lambda s: len(s.source))
    source = book(scripts, {short.name: short.transcript()})
    assert all(source.count(rf"\label{{thm:{slug}}}") == 1 for slug in ct.catalog)
    assert compile_book(source, tmp_path).stat().st_size > 100_000
    contents = (tmp_path / "derivations.toc").read_text()
    assert contents.count("{chapter}") >= len(SCRIPTS)
    index = (tmp_path / "derivations.ind").read_text()
    assert {"lam", "sigma0", "T"} <= set(re.findall(r"\\texttt *\{(\w+)\}", index))
    assert "undefined" not in (tmp_path / "derivations.log").read_text()
