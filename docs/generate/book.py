r"""The book of derivations: every script as a chapter, after the theorems that it derives, with an index of symbols.

``make book`` writes ``docs/_build/book/derivations.pdf``. Code is set by Pygments; a symbol is indexed where a script uses it and
where a theorem has it. Theorems without a script of their own come last.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pygments import highlight
from pygments.formatters import LatexFormatter
from pygments.lexers import PythonLexer

import collapse_theory as ct
from collapse_theory.present.bibliography import BIBLIOGRAPHY
from collapse_theory.present.document import bibliography_items, escape
from collapse_theory.present.glossary import WORDS
from collapse_theory.present.printer import to_latex
from collapse_theory.symbols import NOTATION
from docs.generate.literate import SCRIPTS, Script, script
from docs.generate.theorem_pages import scripts_of

__all__ = ["book", "compile_book", "main"]

TARGET = Path(__file__).parents[1] / "_build" / "book"

_PREAMBLE = r"""\documentclass[10pt,openany]{book}
\usepackage{amsmath,amssymb,amsthm,fancyvrb,color,makeidx}
\usepackage[a4paper,margin=2.2cm]{geometry}
\usepackage[hidelinks]{hyperref}
\allowdisplaybreaks
\emergencystretch=3em
\pagestyle{plain}
\newtheorem{theorem}{Theorem}[chapter]
\renewcommand{\indexname}{Index of symbols}
\fvset{fontsize=\scriptsize,frame=leftline,framesep=2mm}
\makeindex
"""


def book(scripts: Iterable[Script], claims: Mapping[str, Iterable[str]]) -> str:
    """Return the LaTeX of the book.

    Args:
        scripts: The derivations, in the order of the chapters.
        claims: What the steps of each claim, by its name; see :meth:`~docs.generate.literate.Script.transcript`.
    """
    listed = list(scripts)
    first = {slug: next(iter(scripts_of(slug)), None) for slug in ct.catalog}
    chapters = [
        _chapter(s, [slug for slug, home in first.items() if home == s.name], claims.get(s.name, ())) for s in listed
    ]
    rest = [slug for slug, home in first.items() if home is None]
    return "\n\n".join([
        _PREAMBLE + LatexFormatter().get_style_defs(),
        r"\title{Derivations}\author{collapse-theory}\date{}",
        r"\begin{document}\maketitle\tableofcontents",
        r"\chapter*{How to read this}\addcontentsline{toc}{chapter}{How to read this}",
        (r"Each chapter is a script that runs: prose, code, and steps that were checked when this book was made. A step that does "
        r"not hold stops the script. Names in formulas of the prose are those of the code: \texttt{sigma0} is $\sigma_0$."),
        *chapters,
        r"\chapter{Theorems of the shared calculus}",
        r"These follow by the same calculus as their neighbours; they have no script of their own.",
        *map(_theorem, rest),
        bibliography_items(BIBLIOGRAPHY),
        r"\cleardoublepage\phantomsection\addcontentsline{toc}{chapter}{Index of symbols}\printindex",
        r"\end{document}",
    ]) + "\n"  # fmt: skip


def _chapter(s: Script, slugs: list[str], claims: Iterable[str]) -> str:
    steps = [rf"\item \texttt{{{escape(claim)}}}" for claim in claims]
    checked = [r"\section*{Checked}\begin{enumerate}\raggedright", *steps, r"\end{enumerate}"] if steps else []
    told = [_code(part.text) if part.is_code else _prose(part.text) for part in s.parts]
    head = rf"\chapter{{{_prose(s.title)}}}\label{{script:{s.name}}}"
    run = rf"\noindent\texttt{{python derivations/{escape(s.name)}.py}}"
    return "\n\n".join([head, run, *map(_theorem, slugs), *told, *checked])


def _theorem(slug: str) -> str:
    theorem = ct.catalog[slug]
    return "\n".join([theorem.statement(), *(_indexed(name) for name in NOTATION if name in theorem.parameters)])


def _code(text: str) -> str:
    used = [name for name in NOTATION if re.search(rf"(?<![\w.\"]){name}(?![\w\"=])", text)]
    return highlight(text, PythonLexer(), LatexFormatter()) + "".join(_indexed(name) for name in used)


def _indexed(name: str) -> str:
    """Return the entry of a symbol in the index: its sign, its name in code, its meaning."""
    meaning = f": {WORDS[name]}" if name in WORDS else ""
    return rf"\index{{{name}@${to_latex(NOTATION[name])}$ (\texttt{{{name}}}){meaning}}}%" + "\n"


def _prose(text: str) -> str:
    """Return prose of a script in LaTeX: names in double quotes of code, formulas between dollars, the rest as it is."""
    pieces = re.split(r"(\$[^$]+\$|``[^`]+``)", text)
    return "".join(
        x if x.startswith("$") else rf"\texttt{{{escape(x.strip('`'))}}}" if x.startswith("``") else _words(x)
        for x in pieces
    )


def _words(text: str) -> str:
    """Return plain text in LaTeX; relations are signs of formulas, which the roman font does not have."""
    return re.sub(r"[<>|]", r"$\g<0>$", escape(text))


def compile_book(source: str, folder: Path) -> Path:
    """Compile the book, with its table of contents and its index.

    Raises:
        RuntimeError: If a step fails; the message ends as its output does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "derivations.tex").write_text(source, encoding="utf-8")
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "derivations.tex"]
    for command in (latex, ["makeindex", "-q", "derivations.idx"], latex, latex):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return folder / "derivations.pdf"


def main() -> None:
    """Run every derivation and write the book."""
    scripts = [script(name) for name in SCRIPTS]
    source = book(scripts, {s.name: s.transcript() for s in scripts})
    sys.stdout.write(f"{compile_book(source, TARGET)}\n")


if __name__ == "__main__":
    main()
