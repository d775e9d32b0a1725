"""An expression with names, each defined by names before it: what would be beyond all size written out."""

from __future__ import annotations

from typing import Any

from sympy import Add, Expr, Symbol

from collapse_theory.algebra.opaque import Opaque, pairs_of
from collapse_theory.symbols import LineName, line_name

__all__ = ["NamedLines"]


class NamedLines(Opaque):
    r"""The value of a result by lines :math:`x_1=f_1,\ x_2=f_2(x_1),\ \dots`, one object.

    Args:
        lines: Pairs of a name and its definition, in an order in which each needs earlier names only.
        result: An expression in the names.

    The derivative is taken line by line, :math:`x_i'=\partial f_i+\sum_{j<i}x_j'\,\partial f_i/\partial x_j`.

    >>> from collapse_theory.symbols import T
    >>> x = line_name("x")
    >>> f = NamedLines(((x, 1 / T),), x**2 + x)
    >>> f.doit(), f.free_symbols
    (1/T + T**(-2), {T})
    >>> f.diff(T).doit().expand() == f.doit().diff(T)
    True
    """

    _binds = LineName

    def __new__(cls, lines: Any, result: Any) -> Expr:
        """Return the object; without names it is the result."""
        pairs = pairs_of(lines)
        return super().__new__(cls, pairs, result) if pairs else result

    @property
    def lines(self) -> tuple[tuple[Symbol, Expr], ...]:
        """The names and their definitions."""
        return tuple((x, e) for x, e in self.args[0])

    @property
    def result(self) -> Expr:
        """The expression in the names."""
        return self.args[1]

    def doit(self, **_hints: Any) -> Expr:
        """Return the result with all names written out."""
        known: dict[Symbol, Expr] = {}
        for x, e in self.lines:
            known[x] = e.xreplace(known)
        return self.result.xreplace(known)

    def _derivative(self, x: Symbol) -> Expr:
        slopes: dict[Symbol, Symbol] = {}
        lines: list[tuple[Symbol, Expr]] = []
        for name, e in self.lines:
            slope = _total(e, x, slopes)
            lines.append((name, e))
            if slope != 0:
                slopes[name] = line_name(f"{name}'{x}")
                lines.append((slopes[name], slope))
        return NamedLines(lines, _total(self.result, x, slopes))

    def _tex(self, printer: Any) -> tuple[str, str]:
        body = ",\\ ".join(f"{x.name} = {printer.doprint(e)}" for x, e in reversed(self.lines))
        return rf"\left({printer.doprint(self.result)}\right)_{{{body}}}", ""


def _total(e: Expr, x: Symbol, slopes: dict[Symbol, Symbol]) -> Expr:
    """Return the derivative of a line, through the names in it."""
    through = (e.diff(name) * slope for name, slope in slopes.items() if name in e.free_symbols)
    return Add(e.diff(x), *through)
