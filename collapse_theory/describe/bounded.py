"""The arithmetic of formulas that are read: operations that refuse, at their place in the text, what algebra could not finish.

Length, nesting, exponents and the numeric arguments of special functions are bounded *before* SymPy sees them, since SymPy
evaluates numbers eagerly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from sympy import (
    E,
    EulerGamma,
    Expr,
    Float,
    Integer,
    Pow,
    S,
    Sum,
    Symbol,
    cos,
    digamma,
    exp,
    gamma,
    harmonic,
    log,
    oo,
    pi,
    polygamma,
    sin,
    sqrt,
    tan,
    zeta,
)  # fmt: skip

from collapse_theory.core.errors import ParseError
from collapse_theory.core.numbers import show
from collapse_theory.core.size import MOST_BITS, number_bits, powers_of_sums

__all__ = ["CONSTANTS", "DEEPEST", "FUNCTIONS", "LONGEST", "BoundedArithmetic"]

FUNCTIONS: Mapping[str, tuple[Callable[..., Expr], tuple[int, ...]]] = {
    "sqrt": (sqrt, (1,)),
    "sin": (sin, (1,)),
    "cos": (cos, (1,)),
    "tan": (tan, (1,)),
    "exp": (exp, (1,)),
    "log": (log, (1,)),
    "gamma": (gamma, (1,)),
    "digamma": (digamma, (1,)),
    "polygamma": (polygamma, (2,)),
    "harmonic": (harmonic, (1, 2)),
    "zeta": (zeta, (1, 2)),
}
"""Name -> (SymPy function, allowed numbers of arguments); ``polygamma(0, x)`` is how SymPy prints ``digamma(x)``."""

CONSTANTS: Mapping[str, Expr] = {"pi": pi, "E": E, "EulerGamma": EulerGamma, "oo": oo}

LONGEST = 4000  # characters of a text formula
DEEPEST = 60  # nested parentheses, signs and exponents
_DIGITS = 40  # digits of one number
_EXPONENT = 1000  # numeric exponent
_POWERS = 100  # powers of sums: what multiplying out would cost
_ROOT_BITS = 1024  # size of an exact number under a root or function: SymPy looks for its factors
_ARGUMENT = 1000  # numeric argument of a special function (with two arguments a tenth of it) and bound of a sum
_FLOAT = 1_000_000  # the same for a decimal, which costs no digits


@dataclass
class BoundedArithmetic:
    """What every reader of formulas does: numbers, powers, functions and sums within bounds, and errors that show the place."""

    text: str

    def fail(self, at: int, what: str) -> NoReturn:
        """Raise with the line of the text and a caret under the position."""
        start = self.text.rfind("\n", 0, at) + 1
        line = self.text[start:].split("\n", 1)[0]
        column = at - start
        shown = slice(max(0, column - 40), column + 30)
        raise ParseError(
            f"formula is not readable at line {self.text.count(chr(10), 0, at) + 1}, column {column + 1}: {what}\n"
            f"  {line[shown]}\n  {' ' * (column - shown.start)}^"
        )

    def number(self, text: str, at: int) -> Expr:
        """Return a number: whole ones exactly, a decimal as the double that it stands for."""
        if len(text) > _DIGITS:
            self.fail(at, f"a number of {len(text)} characters; at most {_DIGITS}")
        if text.isdigit():
            return Integer(int(text))
        value = float(text)
        if not math.isfinite(value):
            self.fail(at, f"{text} is beyond the largest double")
        return Float(value)

    def raised(self, base: Expr, exponent: Expr, at: int) -> Expr:
        """Return a power of ordinary size."""
        if exponent.is_number:
            size, limit = number_bits(base), MOST_BITS if exponent.is_Integer else _ROOT_BITS
            if not _within(exponent, _EXPONENT) or (exponent.is_Rational and max(abs(exponent), 1) * size > limit):
                self.fail(
                    at, f"the power is too large (exponents up to {_EXPONENT}, exact powers up to {MOST_BITS} bits)"
                )
        if base.is_zero and not exponent.is_positive:
            self.fail(at, "zero to a power that is not positive")
        return self.sized(base**exponent, at)

    def sized(self, value: Expr, at: int) -> Expr:
        """Refuse what later algebra could not finish: exact numbers and powers of sums beyond all use."""
        if number_bits(value) > MOST_BITS:
            self.fail(at, f"an exact number of more than {MOST_BITS} bits; write it as a decimal")
        if powers_of_sums(value) > _POWERS:
            self.fail(at, f"sums to powers of more than {_POWERS} in all; introduce names for parts")
        return value

    def apply(self, name: str, arguments: list[Expr], at: int) -> Expr:
        """Return a function of the vocabulary at arguments."""
        function, counts = FUNCTIONS[name]
        if len(arguments) not in counts:
            self.fail(at, f"{name} needs {' or '.join(map(str, counts))} argument(s), got {len(arguments)}")
        for a in arguments:
            limit = (
                _FLOAT
                if isinstance(a, Float) and name != "exp"
                else _ARGUMENT
                if len(arguments) == 1
                else _ARGUMENT // 10
            )
            if name not in {"sqrt", "log"} and a.is_number and not _within(a, limit):
                self.fail(at, f"{name} of a number beyond {limit}; write a symbol and give it a value")
        if any(number_bits(a) > _ROOT_BITS for a in arguments):
            self.fail(at, f"{name} of an exact number of more than {_ROOT_BITS} bits; write it as a decimal")
        return self.sized(function(*arguments), at)

    def over(self, inner: Expr, i: Symbol, bounds: tuple[Expr, Expr], at: int) -> Expr:
        """Return a finite sum, added up where its terms are numbers."""
        if any(b.is_number and not _within(b, _ARGUMENT) for b in bounds):
            self.fail(at, f"a sum to a number beyond {_ARGUMENT}; write a symbol and give it a value")
        if not all(b.is_integer for b in bounds):
            self.fail(
                at,
                f"a sum from {show(bounds[0])} to {show(bounds[1])}; its bounds need to be integers, such as n and d",
            )
        if (bounds[1] - bounds[0] + 1).is_negative:
            self.fail(at, f"a sum from {show(bounds[0])} to {show(bounds[1])}, backwards; exchange the bounds")
        if inner.free_symbols <= {i} and all(b.is_Integer for b in bounds) and not inner.has(Sum):
            return self.total(inner, i, int(bounds[0]), int(bounds[1]), at)
        return Sum(inner, (i, *bounds))

    def total(self, inner: Expr, i: Symbol, low: int, high: int, at: int) -> Expr:
        """Return a sum of numbers, term by term, so that it stops where its terms get out of hand."""
        total: Expr = S.Zero
        for k in range(low, high + 1):
            bits = max(number_bits(inner), k.bit_length())
            if any(abs(k) > 1 and abs(p.exp.xreplace({i: Integer(k)})) * bits > MOST_BITS for p in inner.atoms(Pow)):
                self.fail(at, f"a sum with an exact number of more than {MOST_BITS} bits; write a symbol for the bound")
            total = self.sized(total + inner.xreplace({i: Integer(k)}), at)
        return total


def _within(number: Expr, limit: int) -> bool:
    return bool(abs(number) <= limit)
