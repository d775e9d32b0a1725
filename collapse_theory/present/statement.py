"""A theorem as a LaTeX theorem environment."""

from __future__ import annotations

from collapse_theory.families.linear import Linear
from collapse_theory.present.document import escape
from collapse_theory.present.environments import REGIMES
from collapse_theory.theorems.theorem import Theorem

__all__ = ["claim", "theorem_statement"]


def theorem_statement(theorem: Theorem) -> str:
    r"""Return the ``theorem`` environment of a catalogue entry.

    >>> from collapse_theory.theorems.catalog import catalog
    >>> theorem_statement(catalog["ols-replace"]).splitlines()[0]
    '\\begin{theorem}[Replace: n least-squares generators, least squares downstream]\\label{thm:ols-replace}'
    """
    cite = rf"\cite{{{','.join(theorem.sources)}}}"
    return "\n".join([
        rf"\begin{{theorem}}[{escape(theorem.title)}]\label{{thm:{theorem.slug}}}",
        f"{theorem.hypotheses}.",
        rf"Then the {claim(theorem)}",
        r"\[",
        theorem.error.latex(),
        r"\]",
        rf"{cite}",
        r"\end{theorem}",
    ])  # fmt: skip


def claim(theorem: Theorem) -> str:
    r"""Return what the formula of a theorem is, as the beginning of a sentence that the formula ends.

    >>> from collapse_theory.theorems.catalog import catalog
    >>> claim(catalog["ols-replace"])
    'expected excess risk $E=\\mathbb{E}\\|\\hat w-w_0\\|_\\Sigma^2$ is exactly'
    """
    formula = theorem.error
    quantity = (formula.family or Linear()).quantity if formula.measured == "test error" else f"{formula.measured} $E$"
    return f"{quantity} {REGIMES[formula.regime]}"
