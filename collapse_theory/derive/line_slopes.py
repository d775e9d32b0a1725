r"""The derivative of a formula that is written line by line: a line for the derivative of each name, by names before it.

With :math:`\dot x=\partial x/\partial\varepsilon`, a line :math:`x=f(\varepsilon,y,A)` gives
:math:`\dot x=\partial_\varepsilon f+\dot y\,\partial_yf`, and an integral of a function of the matrices
:math:`\partial_\varepsilon\operatorname{tr}f(A)=\operatorname{tr}[\dot A\,\partial_Af]`. A quotient :math:`x=a/b` gives
:math:`\dot x=(\dot a-x\dot b)/b`, in which :math:`x` keeps its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sympy import Add, Dummy, Expr, Mul, S, Symbol, factor_terms, linsolve

from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.derive.expressions import integrals_of, names_in
from collapse_theory.symbols import Eigenvalue, intermediate

__all__ = ["dotted", "line_slopes"]


def dotted(x: Symbol, printed: str) -> Symbol:
    r"""Return the name of the derivative of a name, a matrix for a matrix.

    >>> dotted(intermediate("t_{21}"), "t_{21}")
    \dot{t}_{21}
    """
    make = Eigenvalue if isinstance(x, Eigenvalue) else intermediate
    return make(re.sub(r"^(\\?[A-Za-z]+)", r"\\dot{\1}", printed))


def line_slopes(
    result: Symbol,
    definitions: Mapping[Symbol, Expr],
    equations: Mapping[Symbol, Expr],
    known: Mapping[Symbol, Expr],
    x: Symbol,
    names: Mapping[Symbol, Symbol],
) -> tuple[Expr, dict[Symbol, Expr]]:
    """Return the derivative of a result at ``x = 0``, and the definitions of the names in it, those of derivatives among them.

    Args:
        result: The name of the result.
        definitions: What each name stands for, in an order in which each needs earlier ones only.
        equations: What each implicit scalar is equal to, itself among others; they stand before all definitions.
        known: The derivative of each name that is defined elsewhere.
        x: The symbol by which the derivative is taken.
        names: The name of the derivative of each name.
    """
    lines: dict[Symbol, Expr] = {}
    slopes: dict[Symbol, Symbol] = {}

    def keep(name: Symbol, slope: Expr) -> None:
        if slope != 0:
            slopes[name] = names[name]
            lines[names[name]] = slope

    for name, slope in known.items():
        keep(name, slope)
    solved, entries = _implicit(equations, slopes, x)
    lines |= entries
    for name, slope in solved.items():
        keep(name, slope)
    for name, e in definitions.items():
        lines[name] = e.xreplace({x: S.Zero})
        keep(name, _slope(name, e, slopes, x).xreplace({x: S.Zero}))
    slope = lines.pop(names[result], S.Zero)
    return slope, _needed(slope, lines)


def _needed(result: Expr, lines: Mapping[Symbol, Expr]) -> dict[Symbol, Expr]:
    wanted = names_in(result)
    for name in reversed(lines):
        if name in wanted:
            wanted |= names_in(lines[name])
    return {name: e for name, e in lines.items() if name in wanted}


def _slope(name: Symbol, e: Expr, slopes: Mapping[Symbol, Symbol], x: Symbol) -> Expr:
    """Return the derivative of a line, in which its name stands for the quotient that it is."""
    terms = [set(Mul.make_args(term)) for term in Add.make_args(e)]
    shared = set.intersection(*terms)
    bottom = Mul(*(f.base for f in shared if f.is_Pow and f.exp == -1 and (f.base.is_Add or f.base in slopes)))
    if bottom == 1 or isinstance(name, Eigenvalue):
        return _total(e, slopes, x)
    top = Add(*(term * bottom for term in Add.make_args(e)))
    return factor_terms(_total(top, slopes, x) - name * _total(bottom, slopes, x)) / bottom


def _total(e: Expr, slopes: Mapping[Symbol, Symbol], x: Symbol) -> Expr:
    """Return the derivative through all names."""
    stand = {f: Dummy() for f in sorted(e.atoms(SpectralIntegral), key=str)}
    plain = e.xreplace(stand)
    out = [
        plain.diff(x),
        *(factor_terms(plain.diff(name)) * slope for name, slope in slopes.items() if name in plain.free_symbols),
    ]
    out += [plain.diff(y) * integrals_of(type(f), _total(f.integrand, slopes, x)) for f, y in stand.items()]
    return Add(*out).xreplace({y: f for f, y in stand.items()})


def _implicit(
    equations: Mapping[Symbol, Expr], slopes: Mapping[Symbol, Symbol], x: Symbol
) -> tuple[dict[Symbol, Expr], dict[Symbol, Expr]]:
    """Return the derivatives of implicit scalars, and the entries of the linear systems that those that share equations solve."""
    out: dict[Symbol, Expr] = {}
    entries: dict[Symbol, Expr] = {}

    def entry(place: str, e: Expr) -> Expr:
        if e == 0:
            return e
        name = intermediate(f"J_{{{place}}}")
        entries[name] = e.xreplace({x: S.Zero})
        return name

    rest = dict(enumerate(equations, start=1))
    while rest:
        group = [rest.popitem()]
        for _, name in group:
            group += [
                (j, y) for j, y in rest.items() if y in names_in(equations[name]) or name in names_in(equations[y])
            ]
            rest = {j: y for j, y in rest.items() if (j, y) not in group}
        group.sort()
        unknown = {y: Dummy() for _, y in group}
        rows = [
            unknown[y]
            - entry(f"{i}", _total(equations[y], slopes, x))
            - Add(*(entry(f"{i}{j}", _total(equations[y], {z: S.One}, Dummy())) * unknown[z] for j, z in group))
            for i, y in group
        ]
        ((*solution,),) = linsolve(rows, list(unknown.values()))
        out |= dict(zip(unknown, solution, strict=True))
    return out, entries
