r"""What the symbols of a formula mean, in words: the "where" below it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sympy import Symbol

from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.present.layout import WIDTH, width
from collapse_theory.present.printer import to_latex
from collapse_theory.symbols import NOTATION, ordered

__all__ = ["WORDS", "where_lines", "word_lines"]

WORDS = {
    "d": "dimension of the inputs",
    "T": "rows of a sample",
    "T0": "rows of the other samples",
    "N": "rows in all",
    "sigma": "standard deviation of the label noise",
    "sigma0": "standard deviation of the label noise of the other samples",
    "lam": "ridge on the mean squared error",
    "lam0": "ridge of the other fits",
    "n": "number of generations",
    "m": "number of random features",
    "m0": "number of random features of the other fits",
    "t": "time at which gradient flow is stopped",
    "t0": "time at which the gradient flow of the other fits is stopped",
    "k": "ratio of noise variances",
    "K": "number of models in the mean",
    "xi": "share of the model's own predictions",
    "w": "share of the real data",
    "p1": "share of rows labelled by the truth",
    "p2": "share of rows labelled otherwise",
    "theta": "overlap of the other truth with the tested one",
    "kappa": "effective ridge",
    "beta": r"exponent of the eigenvalues, $s_j=j^{-\beta}$",
    "r": "smoothness of the target",
    "ell": r"exponent of the ridge, $\lambda=T^{-\ell}$",
    "rho2": r"energy of the true coefficients, $w_0^\top\Sigma w_0$",
}
"""What each symbol of the notation table means, by its code name."""
_GENERIC = (
    (r"\\Sigma(?!_)", r"\Sigma", "covariance of the inputs"),
    (r"\\Sigma_\{", r"\Sigma_{i}", "covariance of a sample's own"),
    (r"w_0", "w_0", "true coefficients"),
    (r"w_\{", r"w_{i}", "those of another truth"),
    (r"\\Delta", r"\Delta", "covariance of the offset of synthetic labels"),
    (r"H_\{", "H_{n}^{(r)}", r"$\textstyle\sum_{i=1}^n i^{-r}$"),
    (r"\\psi", r"\psi", "digamma function"),
    (r"\\Gamma", r"\Gamma", "Gamma function"),
)
_DEGREES = r"\mathrm{df}_{k}(\kappa) &= \operatorname{tr}\left[\Sigma^{k} \left(\Sigma + \kappa I\right)^{-k}\right]"


def where_lines(body: str, formula: ErrorFormula, terms: Iterable[tuple[str, str]] = ()) -> list[str]:
    r"""Return the lines that define what a formula's lines refer to.

    Args:
        body: The lines.
        formula: The formula.
        terms: Symbol and words of each term that has a line.
    """
    lines = [_DEGREES] if r"\mathrm{df}" in body else []
    needs_covariance = r"\Sigma" in body or lines
    entries = list(terms)
    entries += [
        (tex, words)
        for found, tex, words in _GENERIC
        if re.search(found, body) or (needs_covariance and tex == r"\Sigma")
    ]
    entries += [(to_latex(x), WORDS[x.name]) for x in _known(formula) if x.name in WORDS]
    return [*lines, *word_lines(rf"{tex}\text{{: {words}}}" for tex, words in entries)]


def word_lines(entries: Iterable[str]) -> list[str]:
    """Return rows that say what names stand for; each begins with a word, so that none reads as a factor of the row above."""
    rows: list[str] = []
    for entry in entries:
        joined = rf"{rows[-1]}\text{{, }}{entry}" if rows else ""
        if rows and width(joined) <= WIDTH:
            rows[-1] = joined
        else:
            rows.append(rf"&\text{{{'and' if rows else 'where'} }}{entry}")
    return rows


def _known(formula: ErrorFormula) -> tuple[Symbol, ...]:
    return tuple(x for x in ordered(formula.free_symbols) if NOTATION.get(x.name) == x)
