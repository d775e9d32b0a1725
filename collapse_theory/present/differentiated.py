r"""Derivatives of what prints by names, such as a chain of any length: :math:`\frac\partial{\partial x}` before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sympy import Expr, S, Symbol
from sympy.printing.precedence import PRECEDENCE

from collapse_theory.algebra.opaque import Opaque
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.slopes import Slope, slope
from collapse_theory.present.printer import derivative_of
from collapse_theory.symbols import perturbation

__all__ = ["Differentiated", "differentiated", "undifferentiated", "with_symbol"]


class Differentiated(Opaque):
    """What stands for the derivative of a scalar in print.

    Args:
        scalar: The scalar.
        x: The symbol.
    """

    precedence = PRECEDENCE["Mul"]

    def _sympystr(self, printer: Any) -> str:
        scalar, x = self.args
        return f"d{x}[{printer.doprint(scalar)}]"

    def _tex(self, printer: Any) -> tuple[str, str]:
        scalar, x = self.args
        return rf"{derivative_of('', (x,), printer)} \left({printer.doprint(scalar)}\right)", ""


def with_symbol(e: Expr, by: Sequence[Symbol]) -> Expr:
    """Return the derivative of an expression with the symbol by which it was taken in the place of the perturbation.

    Args:
        e: A derivative.
        by: The symbols by which it was taken.
    """
    scalars = {x: _at_rest(x, by) for x in e.atoms(Slope)}
    return e.xreplace({x: Differentiated(f, *by) for x, f in scalars.items() if f is not None})


def undifferentiated(formula: ErrorFormula) -> ErrorFormula | None:
    """Return the error of which a formula is the derivative, where all of its terms are slopes."""
    parts = {k: _at_rest(e, formula.derivative) for k, e in formula.parts.items() if isinstance(e, Slope)}
    if len(parts) < len(formula.parts) or any(e is None for e in parts.values()):
        return None
    return replace(formula, parts=parts, derivative=())


def differentiated(line: str, by: Sequence[Symbol], printer: Any) -> str:
    """Return a first line, ``E`` and a sum of terms or the result of a recursion, with the derivative on both sides."""
    result = line.removeprefix("E &= ")
    is_sum = " + " in re.sub(r"\{.*?\}", "", result)
    body = rf"\left({result}\right)" if is_sum else result
    return f"{derivative_of('E', by, printer)} &= {derivative_of('', by, printer)} {body}"


def _at_rest(x: Slope, by: Sequence[Symbol]) -> Expr | None:
    """Return the scalar of which a slope is the derivative by a symbol; None if it is not."""
    scalar = x.scalar.xreplace({perturbation: S.Zero})
    return scalar if len(by) == 1 and slope(scalar, by[0]) == x else None
