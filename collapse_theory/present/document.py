r"""The LaTeX document of a study: setting, formulas, figure, table, verdict, sources."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from collapse_theory.present.bibliography import BIBLIOGRAPHY
from collapse_theory.study.report_study import Point, Series, Study

__all__ = ["bibliography_items", "document", "escape", "figure", "long_table", "study_document"]

_PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage{iftex}
\ifPDFTeX
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\else
\usepackage{fontspec}
\fi
\usepackage{amsmath,amssymb,graphicx,booktabs,longtable}
\usepackage[a4paper,margin=2.3cm]{geometry}
\usepackage[hidelinks]{hyperref}
\allowdisplaybreaks
"""
_DASHES = "–—‘’“”„‚…"  # beyond Latin-1, but in every font of pdfLaTeX
_LATIN = 0xFF  # the last character of Latin-1, which every font has
_SPECIAL = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
            "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip
_REGIMES = {
    "exact": "exact for every finite size",
    "proportional": "asymptotic as the dimension and the numbers of rows grow together",
    "leading order": "exact to leading order in the numbers of rows",
}
_KINDS = {"gaussian": "Gaussian inputs", "real": "real inputs", "rows": "rows drawn from the models"}


def escape(text: str) -> str:
    r"""Return plain text safe for LaTeX.

    >>> escape("50% of a_b")
    '50\\% of a\\_b'
    """
    return "".join(_SPECIAL.get(c, c) for c in text if c.isprintable() or c == " ")


def beyond_latin(text: str) -> str:
    """Return the characters of a text that the fonts of pdfLaTeX do not have, each once, in order.

    >>> beyond_latin("naïve 模型 模")
    '模型'
    """
    return "".join(dict.fromkeys(c for c in text if ord(c) > _LATIN and c not in _DASHES and c.isprintable()))


def _declared(body: str) -> str:
    """Return what makes pdfLaTeX set such a character as its code point in a frame, rather than stop or drop it.

    A Unicode engine sets the character itself if its font has it. The text of the source is the same for both.
    """
    points = [f"{ord(c):04X}" for c in beyond_latin(body)]
    lines = [rf"\DeclareUnicodeCharacter{{{p}}}{{\fbox{{\tiny U+{p}}}}}" for p in points]
    return "\n".join([r"\ifPDFTeX", *lines, r"\fi"]) if lines else ""


def study_document(study: Study) -> str:
    """Return the document."""
    return document(
        study.settings.title,
        _setting(study),
        r"\section{Theory}",
        *_formulas(study),
        r"\section{Theory against simulation}",
        _figure(study),
        _findings(study),
        _table(study),
        references=study_sources(study),
    )


def study_sources(study: Study) -> list[str]:
    """Return the keys of the sources of a study's formulas."""
    return sorted({k for s in study.series if s.formula is not None for k in s.formula.references})


def document(title: str, *parts: str, references: Iterable[str]) -> str:
    """Return a standalone document.

    Args:
        title: Plain text.
        *parts: LaTeX, in order; empty ones are left out.
        references: Keys of the bibliography.
    """
    begin = "\n".join([r"\date{}", r"\begin{document}", r"\maketitle"])
    body = [
        rf"\title{{{escape(title)}}}",
        begin,
        *parts,
        bibliography_items(sorted(set(references))),
        r"\end{document}",
    ]
    every = [_PREAMBLE, _declared("".join(body)), *body]
    return "\n\n".join(part for part in every if part) + "\n"


def figure(file: str, caption: str, label: str, size: str = r"width=\linewidth") -> str:
    """Return a centred float of one picture; the caption is LaTeX."""
    return (
        rf"\begin{{figure}}[htb]\centering\includegraphics[{size}]{{{file}}}"
        rf"\caption{{{caption}}}\label{{{label}}}\end{{figure}}"
    )


def long_table(columns: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table that may break across pages; its cells are LaTeX."""
    return "\n".join([
        r"{\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\begin{{longtable}}{{{columns}}}",
        r"\toprule",
        " & ".join(head) + r" \\ \midrule \endhead",
        *(" & ".join(cells) + r" \\" for cells in rows),
        r"\bottomrule",
        r"\end{longtable}}",
    ])  # fmt: skip


def _setting(study: Study) -> str:
    settings, first = study.settings, escape(study.series[0].name)
    where = f"the spectrum {escape(repr(settings.spectrum))} and the target {escape(repr(settings.target))}"
    if settings.data is not None:
        where = f"spectrum and target energies estimated from data ({escape(settings.data.description)})"
    swept = "" if study.sweep is None else rf" The sweep varies \texttt{{{escape(study.sweep)}}}."
    measured = (
        r"The test error is the excess risk $\mathbb{E}\|\hat w-w_0\|_\Sigma^2$ of the last fit, without the label noise of "
        f"the test point, for {where}."
    )
    if settings.spectrum is None:
        families = dict.fromkeys(c.family or settings.family or "" for c in settings.curves)
        measured = (
            f"What is measured is the {escape(settings.measured)} of the last fit of {escape('; '.join(families))}."
        )
    return (
        rf"{measured}{swept} Figure~\ref{{fig:pipeline}} shows the pipeline of \emph{{{first}}}."
        "\n\n" + figure("pipeline.pdf", "Who labels which samples, who fits on what.", "fig:pipeline",
                      r"width=\linewidth,height=0.45\textheight,keepaspectratio")
    )  # fmt: skip


def _formulas(study: Study) -> list[str]:
    out: list[str] = []
    seen: dict[str, str] = {}
    for s in study.series:
        if s.formula is None:
            out.append(rf"\paragraph{{{escape(s.name)}}} A value without a formula: {escape(s.method)}.")
            continue
        body = s.formula.latex()
        if body in seen:
            out.append(rf"\paragraph{{{escape(s.name)}}} As for {escape(seen[body])}.")
            continue
        seen[body] = s.name
        last = (
            ""
            if study.sweep is None
            else f" At the last point of the sweep ({escape(study.sweep)} = {s.points[-1].x:g}):"
        )
        cite = rf" \cite{{{','.join(s.formula.references)}}}" if s.formula.references else ""
        out.append(
            rf"\paragraph{{{escape(s.name)}}} The formula is {_REGIMES.get(s.formula.regime, s.formula.regime)}{cite}.{last}"
            "\n\\[\n" + body + "\n\\]"
        )
    return out


def _figure(study: Study) -> str:
    caption = "Test error: theory (lines)"
    if study.settings.inputs:
        kinds = " and ".join(_KINDS[k] for k in study.settings.inputs)
        caption += f" and Monte Carlo with {kinds} ({study.settings.trials} trials each; bars are two standard errors)"
    if any(s.optimum is not None for s in study.series):
        caption += "; stars are the least errors of the curves"
    return figure("figure.pdf", f"{caption}.", "fig:study", r"width=0.9\linewidth")


def _findings(study: Study) -> str:
    out = [_optima(study)] if any(s.optimum is not None for s in study.series) else []
    for kind in ("gaussian", "rows"):
        largest = study.largest(kind, lambda c: c.z)
        if largest is not None:
            series, point, c = largest
            out.append(
                f"Largest $z$-score with {_KINDS[kind]}: ${c.z:+.2f}$ ({_where(study, series, point)}; relative gap "
                rf"${100 * c.relative_gap:+.2f}\,\%$, finite-size allowance ${_percent(c.allowance)}$, "
                rf"detectable error ${_percent(c.detectable)}$)."
            )
            break
    largest = study.largest("real", lambda c: c.relative_gap)
    if largest is not None:
        series, point, c = largest
        out.append(
            rf"Largest gap with real inputs: ${100 * c.relative_gap:+.1f}\,\%$ ({_where(study, series, point)}; $z={c.z:+.2f}$)."
        )
    out.extend(
        rf"\paragraph{{{escape(s.name)}: {s.diagnosis.verdict}.}} {escape(f'{s.diagnosis.reason} {s.diagnosis.comparison}')}"
        for s in study.series
        if s.diagnosis is not None
    )
    return "\n\n".join(out)


def _optima(study: Study) -> str:
    """Return where each curve is least."""
    rows = (
        f"{escape(s.name)}: {s.optimum[1]:.4g} at {s.optimum[0]:.4g}" for s in study.series if s.optimum is not None
    )
    return rf"Least errors over \texttt{{{escape(study.sweep or '')}}}, from the exact derivative: {'; '.join(rows)}."


def _where(study: Study, series: Series, point: Point) -> str:
    at = "" if study.sweep is None else f", {escape(study.sweep)} = {point.x:g}"
    return f"{escape(series.name)}{at}"


def _table(study: Study) -> str:
    kinds = study.settings.inputs
    columns = "lrr" + "rr" * len(kinds)
    head = ["series", escape(study.sweep or ""), "theory"]
    for kind in kinds:
        head += [_KINDS[kind], "gap"]
    rows = []
    for s in study.series:
        for p in s.points:
            if kinds and not p.checks:
                continue
            cells = [escape(s.name), "" if math.isnan(p.x) else f"{p.x:.4g}", f"{p.theory:.5g}"]
            for kind in kinds:
                c = p.checks.get(kind)
                cells += ["", ""] if c is None else [
                    rf"${c.simulation.mean:.5g}\pm{c.simulation.sem:.2g}$", rf"${100 * c.relative_gap:+.1f}\,\%$"]  # fmt: skip
            rows.append(cells)
    return long_table(columns, head, rows)


def _percent(share: float) -> str:
    return rf"{100 * share:.2g}\,\%" if math.isfinite(share) else r"\infty"


def bibliography_items(keys: Iterable[str]) -> str:
    """Return the list of sources of a document; nothing if there are none."""
    keys = list(keys)
    if not keys:
        return ""
    items = []
    for key in keys:
        b = BIBLIOGRAPHY[key]
        people = b.authors.split(" and ")
        names = ", ".join(" ".join(reversed(p.split(", "))) for p in people[:4]) + (
            " et al." if len(people) > 4 else ""
        )
        where = f"{b.journal}. " if b.journal else ""
        where += f"arXiv:{b.arxiv}" if b.arxiv else ""
        items.append(rf"\bibitem{{{key}}} {names}. \emph{{{b.title}}}. {where} ({b.year}).")
    return "\\begin{thebibliography}{99}\n" + "\n".join(items) + "\n\\end{thebibliography}"
