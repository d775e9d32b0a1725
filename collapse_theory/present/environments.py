r"""The lines of a formula in a LaTeX environment: inside a display, as a display, or as a theorem."""

from __future__ import annotations

from collections.abc import Sequence

from collapse_theory.core.arguments import word
from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.families.linear import Linear

__all__ = ["ENVIRONMENTS", "REGIMES", "enclosed"]

ENVIRONMENTS = ("aligned", "align", "align*", "equation", "equation*", "theorem")
REGIMES = {
    "exact": "is exactly",
    "proportional": r"is, as $d$ and the numbers of rows tend to infinity together, asymptotically",
    "leading order": "is, to leading order in the numbers of rows,",
    "upper bound": "is at most",
    "lower bound": "is at least",
    "scaling": "scales as",
}


def enclosed(
    lines: Sequence[str], conditions: Sequence[str], notes: Sequence[str], formula: ErrorFormula, environment: str
) -> str:
    """Return the lines in an environment.

    Args:
        lines: The lines of the formula.
        conditions: Its conditions.
        notes: What its symbols mean, in lines.
        formula: The formula, for a theorem.
        environment: One of ``ENVIRONMENTS``.

    Raises:
        DomainError: If there is no such environment.
    """
    name = word(environment, "environment", DomainError)
    if name not in ENVIRONMENTS:
        raise DomainError(
            f"environment needs to be one of {', '.join(ENVIRONMENTS)}, got {shown(name)}{nearest(name, ENVIRONMENTS)}"
        )
    holds = [r"&\text{for } " + r",\ ".join(conditions)] if conditions else []
    if name.startswith("align") and name != "aligned":
        return _begun(name, " \\\\\n".join([*lines, *holds, *notes]))
    if name == "theorem":
        return _theorem(_begun("aligned", " \\\\\n".join([*lines, *notes])), conditions, formula)
    inner = _begun("aligned", " \\\\\n".join([*lines, *holds, *notes]))
    return inner if name == "aligned" else _begun(name, inner)


def _begun(name: str, body: str) -> str:
    return f"\\begin{{{name}}}\n{body}\n\\end{{{name}}}"


def _theorem(body: str, conditions: Sequence[str], formula: ErrorFormula) -> str:
    quantity = (formula.family or Linear()).quantity
    supposed = "Let $" + r",\ ".join(conditions) + "$. " if conditions else ""
    cite = rf" \cite{{{','.join(formula.references)}}}" if formula.references else ""
    return _begun("theorem", f"{supposed}Then the {quantity} {REGIMES[formula.regime]}{cite}\n\\[\n{body}\n\\]")
