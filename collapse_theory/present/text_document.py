r"""The LaTeX document of a text's collapse: setting, theory, figure, table, sources."""

from __future__ import annotations

from collections.abc import Sequence

from collapse_theory.families import closed_forms
from collapse_theory.families.categorical import Categorical
from collapse_theory.families.closed_forms import VarianceForm
from collapse_theory.families.text import QUANTITIES, Context, TextPoint
from collapse_theory.present.document import document, escape, figure, long_table
from collapse_theory.present.latex import to_latex
from collapse_theory.symbols import T0, T, n

__all__ = ["text_document"]

_DIGITS = 5


def text_document(
    name: str, model: str, unit: str, runs: int, contexts: Sequence[Context], points: Sequence[TextPoint]
) -> str:
    """Return the document.

    Args:
        name: Of the text.
        model: "unigram" or "bigram".
        unit: "word" or "character".
        runs: Simulated runs.
        contexts: The truth.
        points: From :func:`~collapse_theory.families.text.text_collapse`.
    """
    return document(
        f"Recursive training on {name}",
        _setting(model, unit, contexts),
        r"\section{Theory}",
        _theory(),
        r"\section{Theory against simulation}",
        figure(
            "figure.pdf",
            f"Theory (lines), where it is not exact with its bounds (shaded), and simulation ({runs} runs; bars are two "
            "standard errors).",
            "fig:text",
        ),
        _finding(points),
        _table(points),
        references=Categorical.references,
    )


def _setting(model: str, unit: str, contexts: Sequence[Context]) -> str:
    rows = sum(c.rows for c in contexts)
    tokens = sum(len(c.family.p) for c in contexts)
    where = (
        f"one distribution over {tokens} tokens"
        if model == "unigram"
        else f"{len(contexts)} contexts, each with its own next-token distribution ({tokens} pairs in all)"
    )
    return (
        f"The truth is the {escape(model)} model of the text by {escape(unit)}: {where}. Every round draws $T={rows}$ "
        "rows in total; generation 0 is fitted to rows of the truth."
    )


def _theory() -> str:
    law = Categorical.law
    forms = {"replace": _generation(closed_forms.replace(law), 1),
             "accumulate": _generation(closed_forms.accumulate(law), 1),
             "keep the real data": _generation(closed_forms.keep_real(law), 0)}  # fmt: skip
    lines = [rf"c_n &= {form} && \text{{({name})}}" for name, form in forms.items()]
    return (
        r"With $T$ rows per context, the model of generation $n$ has the diversity "
        r"$\mathbb{E}[1-\sum\hat p^2]=(1-c_n)(1-\sum p^2)$, exactly, where"
        "\n\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}\n"
        r"Distinct tokens and total variation depend on the whole law of a token's count. They are exact where a finite "
        rf"sum exists; elsewhere the line is the leading order between the two bounds \cite{{{','.join(Categorical.references)}}}."
    )


def _generation(form: VarianceForm, clean: int) -> str:
    return to_latex(form.variance.subs({n: n + clean, T0: T}))


def _finding(points: Sequence[TextPoint]) -> str:
    exact = [p for p in points if p.exact]
    worst = max(exact, key=lambda p: abs(p.z))
    return (
        f"Of {len(points)} points, {len(exact)} have an exact theory. Their largest $z$-score is ${worst.z:+.2f}$ "
        f"({escape(worst.quantity)}, {escape(worst.workflow)}, generation {worst.generation})."
    )


def _table(points: Sequence[TextPoint]) -> str:
    rows = []
    for p in sorted(points, key=lambda p: (QUANTITIES.index(p.quantity), p.workflow, p.generation)):
        bounds = "exact" if p.exact else f"{p.lower:.{_DIGITS}g} to {p.upper:.{_DIGITS}g}"
        simulated = rf"${p.simulated:.{_DIGITS}g}\pm{p.sem:.1g}$"
        rows.append([p.quantity, escape(p.workflow), str(p.generation), f"{p.theory:.{_DIGITS}g}", bounds, simulated])
    return long_table("llrrrr", ["quantity", "workflow", "generation", "theory", "bounds", "simulation"], rows)
