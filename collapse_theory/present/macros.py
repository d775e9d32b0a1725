r"""Short commands for the operators of the theory, and the file that defines them.

A paper that writes :math:`\mathrm{df}_1(\kappa)` or :math:`\operatorname{tr}` often has a command for it; with the file a formula
of the package can be set in the same way everywhere, and changed in one place.
"""

from __future__ import annotations

__all__ = ["MACROS", "macro_file", "with_macros"]

MACROS = {r"\df": r"\mathrm{df}", r"\tr": r"\operatorname{tr}", r"\diag": r"\operatorname{diag}"}
"""What each command stands for."""


def with_macros(latex: str) -> str:
    r"""Return LaTeX with the commands for what they stand for.

    >>> with_macros(r"\mathrm{df}_{1}(\kappa) + \operatorname{tr}\left[\Sigma\right] + \operatorname{diag} \theta")
    '\\df_{1}(\\kappa) + \\tr\\left[\\Sigma\\right] + \\diag \\theta'
    """
    for name, meaning in MACROS.items():
        latex = latex.replace(meaning, name)
    return latex


def macro_file() -> str:
    r"""Return the file that defines the commands, for ``\input{macros}``.

    >>> print(macro_file())
    \newcommand{\df}{\mathrm{df}}
    \newcommand{\tr}{\operatorname{tr}}
    \newcommand{\diag}{\operatorname{diag}}
    """
    return "\n".join(rf"\newcommand{{{name}}}{{{meaning}}}" for name, meaning in MACROS.items())
