"""Text formulas: a grammar over a fixed vocabulary, turned into SymPy and never evaluated as Python.

The language is arithmetic (``+ - * / ^ **``), numbers, the functions and constants below, finite sums
``Sum(body, (i, 1, n))``, the symbols of the notation table and the names the caller declares. Anything else is a
:class:`~collapse_theory.core.errors.ParseError` that points at the place. Length, nesting, exponents and the numeric
arguments of special functions are bounded *before* SymPy sees them, since SymPy evaluates numbers eagerly.

Whole numbers stay exact; a decimal is the binary number that Python's ``float`` would make of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from sympy import (
    E,
    EulerGamma,
    Expr,
    Float,
    I,
    Integer,
    Pow,
    S,
    Sum,
    Symbol,
    digamma,
    exp,
    gamma,
    harmonic,
    log,
    oo,
    pi,
    polygamma,
    sqrt,
    zeta,
)

from collapse_theory import symbols
from collapse_theory.core.errors import CollapseTheoryError, ParseError, nearest, shown
from collapse_theory.core.numbers import show
from collapse_theory.core.size import MOST_BITS, number_bits, powers_of_sums
from collapse_theory.describe.pipeline import TRUTH, Labeller, OneOf, Source, one_of

if TYPE_CHECKING:
    from lark import Lark

__all__ = ["formula", "source"]

_GRAMMAR = r"""
?start: sum
?sum: product (ADDITIVE product)*
?product: signed (MULTIPLICATIVE signed)*
?signed: ADDITIVE signed -> sign | power
?power: atom (_POWER signed)?
?atom: NUMBER -> number
     | NAME -> name
     | "(" sum ")"
     | SUM "(" sum "," "(" NAME "," sum "," sum ")" ")" -> series
     | NAME "(" [sum ("," sum)*] ")" -> call

ADDITIVE: "+" | "-"
MULTIPLICATIVE: "*" | "/"
_POWER: "**" | "^"
SUM.2: /Sum(?![A-Za-z0-9_])/
NAME: /[A-Za-z][A-Za-z0-9_]*/
NUMBER: /(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
%ignore /[ \t\r\n]+/
"""

_FUNCTIONS: Mapping[str, tuple[Callable[..., Expr], tuple[int, ...]]] = {
    "sqrt": (sqrt, (1,)),
    "exp": (exp, (1,)),
    "log": (log, (1,)),
    "gamma": (gamma, (1,)),
    "digamma": (digamma, (1,)),
    "polygamma": (polygamma, (2,)),
    "harmonic": (harmonic, (1, 2)),
    "zeta": (zeta, (1, 2)),
}
"""Name -> (SymPy function, allowed numbers of arguments); ``polygamma(0, x)`` is how SymPy prints ``digamma(x)``."""

_CONSTANTS: Mapping[str, Expr] = {"pi": pi, "E": E, "EulerGamma": EulerGamma, "oo": oo}

NO_NAMES: Mapping[str, Any] = MappingProxyType({})

_LENGTH = 4000  # characters of a formula
_DEPTH = 60  # nested parentheses, signs and exponents
_DIGITS = 40  # digits of one number
_EXPONENT = 1000  # numeric exponent
_POWERS = 100  # powers of sums: what multiplying out would cost
_ROOT_BITS = 1024  # size of an exact number under a root or function: SymPy looks for its factors
_ARGUMENT = 1000  # numeric argument of a special function (with two arguments a tenth of it) and bound of a sum
_FLOAT = 1_000_000  # the same for a decimal, which costs no digits


def formula(text: str, names: Mapping[str, Expr] = NO_NAMES) -> Expr:
    """Return a text formula as a SymPy expression.

    Args:
        text: The formula, at most 4000 characters.
        names: Further names and what they stand for; they take precedence over the notation table.

    Raises:
        ParseError: If the text is not in the grammar, uses an unknown name, or asks for an unreasonably large number.

    >>> formula("sigma^2*d/(T-d-1)*Sum(1/i^2,(i,1,n))")
    d*sigma**2*Sum(i**(-2), (i, 1, n))/(T - d - 1)
    >>> formula("2*alpha", {"alpha": symbols.declared("alpha")})
    2*alpha
    """
    known = {**symbols.NOTATION, **names}
    value = _Reading(text, known, NO_NAMES).run()
    if not isinstance(value, Expr):
        raise ParseError(f"formula needs a number or an expression, got {shown(text)}, a combination of models")
    if value.has(S.NaN, S.ComplexInfinity, I) or value.is_extended_real is False:
        raise ParseError(
            f"formula needs a real value, got {shown(text)} = {show(value)}; check divisions, roots and logarithms"
        )
    return value


def source(text: str, labellers: Mapping[str, Labeller], names: Mapping[str, Expr] = NO_NAMES) -> Source | OneOf:
    """Return a text source, linear in ``truth`` and fits: ``0.6*truth + 0.4*m1``, or ``one_of(truth, m1)``.

    Coefficients are formulas. A fit's name takes precedence over a symbol of the same name.

    Raises:
        ParseError: If the text is not in the grammar, not linear, or uses an unknown name.

    >>> source("(1 - w)*truth", {})
    (1 - w)*TRUTH
    """
    models: dict[str, Any] = {"truth": TRUTH, **labellers}
    reading = _Reading(text, {**symbols.NOTATION, **names, **models}, models)
    value = reading.run()
    if isinstance(value, OneOf):
        return value
    if isinstance(value, Expr) or not Source.of(value).coefficients:
        raise ParseError(
            f"source needs a combination of models such as 0.6*truth + 0.4*m1, got {shown(text)}; models: "
            f"{', '.join(models)}"
        )
    return Source.of(value)


@functools.cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=False)


@dataclass
class _Reading:
    """One text with the names it may use, and the walk over its parse tree."""

    text: str
    names: Mapping[str, Any]
    models: Mapping[str, Any]

    def run(self) -> Any:
        from lark.exceptions import UnexpectedCharacters, UnexpectedToken

        if not isinstance(self.text, str):
            raise ParseError(
                f"formula needs to be text, got {shown(self.text)} of type {type(self.text).__name__}; quote it"
            )
        if len(self.text) > _LENGTH:
            raise ParseError(f"formula needs at most {_LENGTH} characters, got {len(self.text)}; split it")
        try:
            tree = _parser().parse(self.text)
        except UnexpectedCharacters as e:
            self.fail(e.pos_in_stream or 0, f"unexpected character {e.char!r}")
        except UnexpectedToken as e:
            if e.token.type == "$END":
                self.fail(len(self.text), "the formula ends too early")
            self.fail(e.pos_in_stream or 0, f"unexpected {shown(str(e.token))}")
        try:
            return self.value(tree, self.names, 0)
        except ArithmeticError as e:
            raise ParseError(f"formula needs values of ordinary size, got {shown(self.text)}: {e}") from e

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

    # ------------------------------------------------------------------ walk
    def value(self, tree: Any, names: Mapping[str, Any], depth: int) -> Any:
        at = tree.meta.start_pos
        if depth > _DEPTH:
            self.fail(at, f"nested more than {_DEPTH} deep; introduce names for parts")
        children = [
            c if isinstance(c, str) or tree.data == "series" else self.value(c, names, depth + 1) for c in tree.children
        ]
        match tree.data:
            case "number":
                return self.number(children[0], at)
            case "name":
                return self.name(children[0], names, at)
            case "sum" | "product":
                total = children[0]
                for op, term in zip(children[1::2], children[2::2], strict=True):
                    total = self.binary(str(op), total, term, op.start_pos)
                return total
            case "sign":
                return -children[1] if children[0] == "-" else children[1]
            case "power":
                return self.power(self.scalar(children[0], at), self.scalar(children[1], at), at)
            case "series":
                return self.series(tree.children, names, depth, at)
            case _:
                return self.call(children[0], children[1:], at)

    def scalar(self, value: Any, at: int) -> Expr:
        if not isinstance(value, Expr):
            self.fail(at, "models may only be added and multiplied by numbers")
        return value

    def number(self, text: str, at: int) -> Expr:
        if len(text) > _DIGITS:
            self.fail(at, f"a number of {len(text)} characters; at most {_DIGITS}")
        if text.isdigit():
            return Integer(int(text))
        value = float(text)
        if not math.isfinite(value):
            self.fail(at, f"{text} is beyond the largest double")
        return Float(value)

    def name(self, name: str, names: Mapping[str, Any], at: int) -> Any:
        if name in names:
            return names[name]
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in _FUNCTIONS:
            self.fail(at, f"{name} is a function and needs an argument, {name}(...)")
        return self.fail(at, f"unknown name {shown(str(name))}{nearest(name, [*names, *_CONSTANTS])}")

    def binary(self, op: str, a: Any, b: Any, at: int) -> Any:
        models = [not isinstance(x, Expr) for x in (a, b)]
        if any(isinstance(x, OneOf) for x in (a, b)):
            self.fail(at, "one_of stands alone; it cannot be added or scaled")
        if op in {"+", "-"} and models[0] != models[1]:
            self.fail(at, "a model and a number cannot be added; a source is linear in the models")
        if (op == "*" and all(models)) or (op == "/" and models[1]):
            self.fail(at, "models may only be added and multiplied by numbers")
        if op == "/" and b.is_zero:
            self.fail(at, "division by zero")
        if op == "+":
            return a + b
        if op == "-":
            return a - b
        return a * b if op == "*" else a / b

    def power(self, base: Expr, exponent: Expr, at: int) -> Expr:
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

    def call(self, name: str, arguments: list[Any], at: int) -> Any:
        if name == "one_of" and self.models:
            try:
                return one_of(*arguments)
            except CollapseTheoryError as e:
                self.fail(at, str(e))
        if name not in _FUNCTIONS:
            self.fail(at, f"unknown function {shown(str(name))}{nearest(name, [*_FUNCTIONS, 'Sum'])}")
        function, counts = _FUNCTIONS[name]
        if len(arguments) not in counts:
            self.fail(at, f"{name} needs {' or '.join(map(str, counts))} argument(s), got {len(arguments)}")
        arguments = [self.scalar(a, at) for a in arguments]
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

    def series(self, children: list[Any], names: Mapping[str, Any], depth: int, at: int) -> Expr:
        _, body, index, low, high = children
        if index in _CONSTANTS or index in _FUNCTIONS or index in self.models:
            self.fail(index.start_pos, f"{index!s} already has a meaning; use another summation index")
        i = symbols.summation_index(str(index))
        inner = self.scalar(self.value(body, {**names, str(index): i}, depth + 1), at)
        bounds = [self.scalar(self.value(b, names, depth + 1), at) for b in (low, high)]
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
