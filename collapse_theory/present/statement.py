"""A theorem as a LaTeX theorem environment."""

from __future__ import annotations

from collapse_theory.families.linear import Linear
from collapse_theory.present.environments import REGIMES
from collapse_theory.theorems.theorem import Theorem

__all__ = ["theorem_statement"]


def theorem_statement(theorem: Theorem) -> str:
    r"""Return the ``theorem`` environment of a catalogue entry.

    >>> from collapse_theory.theorems.catalog import catalog
    >>> theorem_statement(catalog["ols-replace"]).splitlines()[0]
    '\\begin{theorem}[Replace: n least-squares generators, least squares downstream]\\label{thm:ols-replace}'
    """
    formula = theorem.error
    quantity = (formula.family or Linear()).quantity if formula.measured == "test error" else f"{formula.measured} $E$"
    cite = rf"\cite{{{','.join(theorem.sources)}}}"
    return "\n".join([
        rf"\begin{{theorem}}[{theorem.title}]\label{{thm:{theorem.slug}}}",
        f"{theorem.hypotheses}.",
        rf"Then the {quantity} {REGIMES[formula.regime]}",
        r"\[",
        formula.latex(),
        r"\]",
        rf"{cite}",
        r"\end{theorem}",
    ])  # fmt: skip
