"""The recursion over fits (:mod:`collapse_theory.derive.cavity`) in matrices, and what it is about, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import Expr, Rational, Symbol

from collapse_theory import symbols
from collapse_theory.algebra.effective import effective_ridge_equation
from collapse_theory.algebra.progressions import Stretch
from collapse_theory.derive.fit_recursion import FitRecursion
from collapse_theory.present.printer import derivative_of

__all__ = ["recursion_lines", "takes_an_index"]

_INDICES = frozenset("ijklD")

_ERROR = (
    r"Q_{kl} &= w_0^\top F_k F_l \Sigma w_0 + \sum_{i \le k, j \le l} \operatorname{tr}\left[A_{ki} A_{lj}\right]"
    r" \sum_D \frac{T_D}{N_i N_j} \left(L_D U_D L_D^\top\right)_{ij} \quad \text{(linear in } Q_{kl} \text{)}"
)
_RESIDUALS = r"U_D &= C_D Q C_D^\top + %s,\quad F_k = I - A_k - A_k \sum_{i < k} g_{ki} F_i"
_RESPONSES = r"A_{kl} &= - A_k \sum_{l \le i < k} g_{ki} A_{il},\quad A_{kk} = A_k = \Sigma \left(\Sigma + \kappa_k I\right)^{-1}"
_ROWS = (
    r"g_{kl} &= \sum_D \frac{T_D}{N_k} \left(L_D C_D\right)_{kl},\quad L_D = \left(%s\right)^{-1}"
    r" \quad \text{(over the fits that see } D \text{)}"
)
_TRACES = r"\theta_{kl} &= \operatorname{tr}\left[A_{kl}\right] / N_l \text{ for } l %s k"


def recursion_lines(recursion: FitRecursion, printer: Any, known: str = "", by: Symbol | None = None) -> list[str]:
    """Return the lines of an ``aligned`` block: the error, the recursion, then one line for each run of designs and of fits.

    Args:
        recursion: The fits and designs.
        printer: A SymPy LaTeX printer.
        known: Where the recursion holds, in text mode.
        by: The symbol by which the error is differentiated, if it is.
    """
    last = printer.doprint(recursion.count)
    head = "E &=" if by is None else f"{derivative_of('E', (by,), printer)} &= {derivative_of('', (by,), printer)}"
    noises, response, order = (
        (r"\Xi_D", r"I - \operatorname{diag} \theta + C_D \theta", r"\le")
        if recursion.relabelled
        else (r"\sigma_D^2 1 1^\top", r"I + C_D \theta", "<")  # no labeller of a design saw its rows
    )
    lines = [
        rf"{head} Q_{_pair(last, last)}{_note(known)}",
        _ERROR,
        _RESIDUALS % noises,
        _RESPONSES,
        _ROWS % response,
        _TRACES % order,
    ]
    for run in recursion.designs:
        lines += _design(run, recursion, printer)
    return lines + [_fit(run, printer) for run in recursion.fits]


def takes_an_index(e: Expr) -> bool:
    """Return whether a symbol has the name of an index of the recursion, so that a reader could not tell them apart."""
    return any(x.name in _INDICES for x in e.free_symbols)


def _design(run: Stretch, recursion: FitRecursion, printer: Any) -> list[str]:
    """Return what is known of a design, fit by fit if each has labels of its own there."""
    name = printer.doprint(run.index)
    rows, seers, *common = run.element
    seen = _note(_range(run, printer), rf"seen by {_fits(seers, printer)}")
    head = rf"T_{{{name}}} &= {printer.doprint(rows)}"
    if common:
        labels, noise = common
        variance = _variance(noise)
        noises = (
            rf"\Xi_{{{name}}} = {_factor(variance, printer)} 1 1^\top"
            if recursion.relabelled
            else rf"\sigma_{{{name}}}^2 = {printer.doprint(variance)}"
        )
        return [
            rf"{head},\quad \left(C_{{{name}}}\right)_{{kl}} = {_labels('k', labels, printer)},\quad {noises}{seen}"
        ]
    views = recursion.relabelled[run.index]
    lines = [rf"{head},\quad {_noises(name, views)}{seen}"]
    for row in views:
        k, (labels, *noise) = printer.doprint(row.index), row.element
        entries = _noise_entries(name, k, noise, printer)
        lines.append(
            rf"\left(C_{{{name}}}\right)_{_pair(k, 'l')} &= {_labels(k, labels, printer)},\quad"
            rf" {entries}{_note(_range(row, printer))}"
        )
    return lines


def _noises(name: str, views: Sequence[Stretch]) -> str:
    r"""Return the noise covariance of the fits that see a design: diagonal, or :math:`bb^\top` of a noise that they share."""
    if len(views[0].element) == 2:  # labels and variances
        return rf"\Xi_{{{name}}} \text{{ diagonal}}"
    alone = any(x.element[1] != 0 for x in views)
    return rf"\Xi_{{{name}}} = b_{{{name}}} b_{{{name}}}^\top" + rf" + \operatorname{{diag}} v_{{{name}}}" * alone


def _noise_entries(name: str, k: str, noise: Sequence[Expr], printer: Any) -> str:
    """Return the entries of a fit in it."""
    own, *shared = noise
    if not shared:
        return rf"\left(\Xi_{{{name}}}\right)_{_pair(k, k)} = {printer.doprint(_variance(own))}"
    amplitude = rf"\left(b_{{{name}}}\right)_{{{k}}} = {printer.doprint(_variance(shared[0]))}"
    return amplitude + (
        rf",\quad \left(v_{{{name}}}\right)_{{{k}}} = {printer.doprint(_variance(own))}" if own != 0 else ""
    )


def _labels(k: str, labels: Any, printer: Any) -> str:
    """Return a row of ``C``: the fit itself, minus its labellers."""
    out = rf"\delta_{_pair(k, 'l')}"
    for at, c in labels:
        sign, size = ("+", -c) if not c.is_Add and c.could_extract_minus_sign() else ("-", c)
        weight = "" if size == 1 else f"{_factor(size, printer)} "
        out += rf" {sign} {weight}\delta_{_pair(printer.doprint(at), 'l')}"
    return out


def _pair(a: str, b: str) -> str:
    """Return a double index, with a comma unless both are a letter or a digit."""
    return f"{{{a}{b}}}" if len(a) == len(b) == 1 else f"{{{a},{b}}}"


def _factor(e: Expr, printer: Any) -> str:
    text = str(printer.doprint(e))
    return rf"\left({text}\right)" if e.is_Add else text


def _variance(e: Expr) -> Expr:
    """Return a noise variance, a number as a decimal fraction of the digits that a squared float has."""
    return Rational(f"{float(e):.15g}") if e.is_Rational else e


def _fit(run: Stretch, printer: Any) -> str:
    k = printer.doprint(run.index)
    rows, ridge = run.element
    name, count = symbols.intermediate(rf"\kappa_{{{k}}}"), symbols.intermediate(f"N_{{{k}}}")
    equation = effective_ridge_equation(name, count, ridge)
    right = printer.doprint(equation.rhs + (name - equation.lhs))
    return rf"N_{{{k}}} &= {printer.doprint(rows)},\quad {name} = {right}{_note(_range(run, printer))}"


def _range(run: Stretch, printer: Any) -> str:
    """Return the places of a run of several, in text mode."""
    if run.index in (run.first, run.last):
        return ""
    first, last = printer.doprint(run.first), printer.doprint(run.last)
    return rf"}} {printer.doprint(run.index)} = {first} \text{{ to }} {last} \text{{"


def _fits(stretches: Any, printer: Any) -> str:
    """Return which fits they are, in text mode."""
    parts = []
    for first, last in stretches:
        a, b = _math(first, printer), _math(last, printer)
        parts.append(a if first == last else f"{a}, {b}" if last - first == 1 else f"{a} to {b}")
    (first, last), *others = stretches
    return ("fit " if first == last and not others else "the fits ") + ", ".join(parts)


def _math(e: Expr, printer: Any) -> str:
    """Return an expression in text mode."""
    return str(e) if e.is_Integer else rf"}} {printer.doprint(e)} \text{{"


def _note(*texts: str) -> str:
    r"""Return a note behind a line, in its column so that a long one does not widen all; what is empty is left out."""
    inner = "; ".join(x for x in texts if x)
    return rf" \quad \text{{({inner})}}" if inner else ""
