"""Text formulas: a grammar over a fixed vocabulary, turned into SymPy and never evaluated as Python.

The language is arithmetic (``+ - * / ^ **``), numbers, the functions and constants below, finite sums
``Sum(body, (i, 1, n))``, the symbols of the notation table and the names the caller declares. Anything else is a
:class:`~collapse_theory.core.errors.ParseError` that points at the place. Length, nesting, exponents and the numeric
arguments of special functions are bounded *before* SymPy sees them, since SymPy evaluates numbers eagerly.

Whole numbers stay exact; a decimal is the binary number that Python's ``float`` would make of it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sympy import Expr, I, S

from collapse_theory import symbols
from collapse_theory.core.errors import CollapseTheoryError, ParseError, nearest, shown
from collapse_theory.core.numbers import show
from collapse_theory.describe.bounded import CONSTANTS, DEEPEST, FUNCTIONS, LONGEST, BoundedArithmetic
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
NAME: /[A-Za-z][A-Za-z0-9_]*(\.labels)?/
NUMBER: /(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
%ignore /[ \t\r\n]+/
"""

NO_NAMES: Mapping[str, Any] = MappingProxyType({})


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
    """Return a text source, linear in ``truth``, fits and labels: ``0.6*truth + 0.4*m1``, ``real.labels``, ``one_of(truth, m1)``.

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
class _Reading(BoundedArithmetic):
    """One text with the names it may use, and the walk over its parse tree."""

    names: Mapping[str, Any]
    models: Mapping[str, Any]

    def run(self) -> Any:
        from lark.exceptions import UnexpectedCharacters, UnexpectedToken

        if not isinstance(self.text, str):
            raise ParseError(
                f"formula needs to be text, got {shown(self.text)} of type {type(self.text).__name__}; quote it"
            )
        if len(self.text) > LONGEST:
            raise ParseError(f"formula needs at most {LONGEST} characters, got {len(self.text)}; split it")
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

    # ------------------------------------------------------------------ walk
    def value(self, tree: Any, names: Mapping[str, Any], depth: int) -> Any:
        at = tree.meta.start_pos
        if depth > DEEPEST:
            self.fail(at, f"nested more than {DEEPEST} deep; introduce names for parts")
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
                return self.raised(self.scalar(children[0], at), self.scalar(children[1], at), at)
            case "series":
                return self.series(tree.children, names, depth, at)
            case _:
                return self.call(children[0], children[1:], at)

    def scalar(self, value: Any, at: int) -> Expr:
        if not isinstance(value, Expr):
            self.fail(at, "models may only be added and multiplied by numbers")
        return value

    def name(self, name: str, names: Mapping[str, Any], at: int) -> Any:
        if name in names:
            return names[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in FUNCTIONS:
            self.fail(at, f"{name} is a function and needs an argument, {name}(...)")
        return self.fail(at, f"unknown name {shown(str(name))}{nearest(name, [*names, *CONSTANTS])}")

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

    def call(self, name: str, arguments: list[Any], at: int) -> Any:
        if name == "one_of" and self.models:
            try:
                return one_of(*arguments)
            except CollapseTheoryError as e:
                self.fail(at, str(e))
        if name not in FUNCTIONS:
            self.fail(at, f"unknown function {shown(str(name))}{nearest(name, [*FUNCTIONS, 'Sum'])}")
        return self.apply(name, [self.scalar(a, at) for a in arguments], at)

    def series(self, children: list[Any], names: Mapping[str, Any], depth: int, at: int) -> Expr:
        _, body, index, low, high = children
        if index in CONSTANTS or index in FUNCTIONS or index in self.models:
            self.fail(index.start_pos, f"{index!s} already has a meaning; use another summation index")
        i = symbols.summation_index(str(index))
        inner = self.scalar(self.value(body, {**names, str(index): i}, depth + 1), at)
        bounds = [self.scalar(self.value(b, names, depth + 1), at) for b in (low, high)]
        return self.over(inner, i, (bounds[0], bounds[1]), at)
