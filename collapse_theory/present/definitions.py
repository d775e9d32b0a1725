"""A pipeline's error line by line: each line defines one name by names below it, or is the equation of one implicit scalar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sympy import Add, Expr, Float, Rational, Symbol

from collapse_theory import symbols
from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.derive.written_out import replaced, write_out
from collapse_theory.present.layout import WIDTH, broken, packed
from collapse_theory.present.ridge_lines import ridge_line
from collapse_theory.symbols import eigenvalue

__all__ = ["definition_lines"]

_SHORT = 24  # of a definition that is inserted where it is used once
_ONE_BY_ONE = 4  # fits up to which every entry of the recursion has its line: a page


def definition_lines(
    system: PooledSystem, numbers: Mapping[Symbol, Expr], printer: Any, most: float = WIDTH
) -> list[str]:
    """Return the lines of an ``aligned`` block, the first of which defines the error.

    Args:
        system: The pooled fits.
        numbers: The number behind each symbol that stands for one.
        printer: A SymPy LaTeX printer.
        most: Characters of a line.
    """
    given = {x: _decimal(value) for x, value in numbers.items()}
    if len(system.fits) > _ONE_BY_ONE and _plain(system):
        return _recursion_lines(system, given, printer)
    written = write_out(system)
    ridges = {x.xreplace(given): None for x in written.ridges}
    names = dict(zip(ridges, _ridge_names(len(ridges)), strict=True))

    def shown(e: Expr) -> Expr:
        return replaced(replaced(e, given), names)

    definitions = {x: shown(e) for x, e in written.definitions.items()}
    (result,) = written.results
    error = definitions.pop(result, None)
    definitions, error = _inserted(definitions, shown(result) if error is None else error)
    lines = [_defined("E", error, printer, most)]
    lines += [_defined(printer.doprint(x), e, printer, most) for x, e in reversed(definitions.items())]
    lines += [_defined(printer.doprint(x), shown(eq.rhs), printer, most) for x, eq in written.equations.items()]
    for ridge, name in names.items():
        T, lam = ridge.args
        lines.append(ridge_line(name, T, lam, (), printer))
    return packed(lines, most)


def _plain(system: PooledSystem) -> bool:
    """Return whether all rows have the common covariance, the weight 1 and the same labels, that add up to one, in every fit."""
    designs = [x for f in system.fits for x in f.designs]
    labels = {(x.inputs, x.labellers, x.noises) for x in designs}
    return (
        system.covariances == (eigenvalue.name,)
        and len(labels) == len({x.inputs for x in designs})
        and all(x.weight == 1 and x.truth + sum(c for _, c in x.labellers) == 1 for x in designs)
    )


_RECURSION = (
    (
        r"Q_{kl} &= w_0^\top F_k F_l \Sigma w_0 + \sum_{i \le k, j \le l} \operatorname{tr}\left[A_{ki} A_{lj}\right]"
        r" \sum_D \frac{T_D}{N_i N_j} \left(L_D U_D L_D^\top\right)_{ij} && \text{(linear in } Q_{kl} \text{, fit by fit)}"
    ),
    r"U_D &= C_D Q C_D^\top + \sigma_D^2 1 1^\top,\quad F_k = I - A_k - A_k \sum_{i < k} g_{ki} F_i",
    r"A_{kl} &= - A_k \sum_{l \le i < k} g_{ki} A_{il},\quad A_{kk} = A_k = \Sigma \left(\Sigma + \kappa_k I\right)^{-1}",
    (
        r"g_{kl} &= \sum_D \frac{T_D}{N_k} \left(L_D C_D\right)_{kl},\quad L_D = \left(I + C_D \theta\right)^{-1},\quad"
        r" \theta_{kl} = \operatorname{tr}\left[A_{kl}\right] / N_l \text{ for } l < k"
        r" && \text{(over the fits that see } D \text{)}"
    ),
)


def _recursion_lines(system: PooledSystem, given: Mapping[Symbol, Expr], printer: Any) -> list[str]:
    """Return the recursion over the fits itself, with a line for each design and fit."""
    lines = [rf"E &= Q_{{{len(system.fits)},{len(system.fits)}}}", *_RECURSION]
    seen: dict[int, list[int]] = {}
    for k, f in enumerate(system.fits):
        for x in f.designs:
            seen.setdefault(x.inputs, []).append(k)
    for n, (inputs, fits) in enumerate(seen.items(), start=1):
        (x,) = (x for x in system.fits[fits[0]].designs if x.inputs == inputs)
        noise = Add(*(e.share**2 * e.sigma**2 for e in x.noises)).xreplace(given)
        labels = "".join(
            f" - {'' if c == 1 else printer.doprint(c.xreplace(given)) + ' '}" + rf"\delta_{{{at + 1},l}}"
            for at, c in x.labellers
        )
        rows = printer.doprint(x.T.xreplace(given))
        lines.append(
            rf"T_{{{n}}} &= {rows},\quad \left(C_{{{n}}}\right)_{{kl}} = \delta_{{k,l}}{labels},\quad"
            rf" \sigma_{{{n}}}^2 = {printer.doprint(noise)} && \text{{(seen by the fits {_listed(fits)})}}"
        )
    for k, f in enumerate(system.fits, start=1):
        name = symbols.indexed(symbols.kappa, k)
        rows, ridge = f.N.xreplace(given), f.ridge.xreplace(given)
        line = ridge_line(name, rows, ridge, (), printer).replace(" &= ", " = ", 1)
        lines.append(rf"N_{{{k}}} &= {printer.doprint(rows)},\quad {line}")
    return lines


def _listed(fits: list[int]) -> str:
    first, last = fits[0] + 1, fits[-1] + 1
    run = last - first + 1 == len(fits) > 2
    return f"{first} to {last}" if run else ", ".join(str(k + 1) for k in fits)


def _ridge_names(count: int) -> list[Symbol]:
    return [symbols.kappa] if count == 1 else [symbols.indexed(symbols.kappa, k + 1) for k in range(count)]


def _decimal(value: Expr) -> Expr:
    """Return a number as the decimal fraction that was written."""
    return Rational(str(float(value))) if isinstance(value, Float | Rational) else value


def _inserted(definitions: dict[Symbol, Expr], error: Expr) -> tuple[dict[Symbol, Expr], Expr]:
    """Insert what is short and used once where it is used."""
    for x in list(definitions):
        users = [y for y, e in definitions.items() if x in _symbols(e)]
        last = x in _symbols(error)
        if len(users) + last == 1 and definitions[x].count_ops() <= _SHORT // 4:
            change = {x: definitions.pop(x)}
            if last:
                error = replaced(error, change)
            else:
                definitions[users[0]] = replaced(definitions[users[0]], change)
    return definitions, error


def _symbols(e: Expr) -> set[Any]:
    return e.atoms(Symbol) | {x for f in e.atoms(SpectralIntegral) for x in _symbols(f.integrand)}


def _defined(name: str, e: Expr, printer: Any, most: float) -> str:
    return f"{name} &= {broken(e, printer, most)}"
