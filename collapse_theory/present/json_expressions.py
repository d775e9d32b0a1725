"""Expressions as JSON, and back: a closed grammar in which nothing is evaluated.

.. code-block:: text

    expression := 3 | 0.5 | ["/", 1, 3] | ["pi"] | "T" | [head, expression, ...]
    head       := "+" | "*" | "^" | ">=" | "and" | ... | a function of SymPy | an opaque scalar of the theory

A whole number is exact, a decimal is a double, text is a symbol, by its key in a table that says what kind of symbol it is and
what is assumed of it. A tree is rebuilt as it is written, not simplified again: what is read back is the expression itself, to the
last argument. What is not of the grammar is a :class:`~collapse_theory.core.errors.ParseError` that names the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import sympy
from sympy import Add, Basic, Expr, Float, Integer, Mul, Pow, Rational, S, Symbol, Tuple
from sympy.core.assumptions import _assume_defined
from sympy.core.symbol import Str
from sympy.logic.boolalg import Boolean

from collapse_theory import symbols
from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.atomic_spectrum import AtomicFeatureResidual, AtomicFeatureRidge
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.implicit_root import ImplicitRoot
from collapse_theory.algebra.integrals import OffsetForm, QuadraticForm, SpectralTrace
from collapse_theory.algebra.named_lines import NamedLines
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.algebra.secular import SecularSum
from collapse_theory.algebra.special import DigammaDifference, GammaRatio, GeometricSum
from collapse_theory.core.errors import CollapseTheoryError, DomainError, ParseError, nearest, shown
from collapse_theory.core.size import MOST_BITS, number_bits
from collapse_theory.derive.atomic_chain import AtomicChain
from collapse_theory.derive.corrected import CorrectedBias, CorrectedVariance
from collapse_theory.derive.labeller_scalars import ChainBias, ChainVariance, PooledBias, PooledVariance
from collapse_theory.derive.pooled_scalars import PipelineBias, PipelineVariance
from collapse_theory.derive.rounds import RoundRule, RoundTerm
from collapse_theory.derive.slopes import Slope
from collapse_theory.theorems.catalog import catalog

__all__ = ["ExpressionReader", "ExpressionWriter", "fail"]

_ASSUMPTIONS = frozenset(_assume_defined)  # all that SymPy knows
_DEEPEST = 200  # lists within each other
_LONGEST_NAME = 200
_LARGEST = 1000  # exact argument of a special function, bound of a sum
_CHEAP = frozenset({"log", "Abs", "Max", "Min"})

_OPERATIONS: Mapping[str, type[Basic]] = MappingProxyType(
    {
        "+": Add, "*": Mul, "^": Pow, ">=": sympy.Ge, ">": sympy.Gt, "<=": sympy.Le, "<": sympy.Lt, "=": sympy.Eq, "!=": sympy.Ne,
        "and": sympy.And, "or": sympy.Or, "not": sympy.Not,
    }
)  # fmt: skip
_FUNCTIONS: Mapping[str, type[Basic]] = MappingProxyType(
    {
        f.__name__: f
        for f in (
            sympy.exp, sympy.log, sympy.sin, sympy.cos, sympy.tan, sympy.gamma, sympy.loggamma, sympy.digamma,
            sympy.polygamma, sympy.harmonic, sympy.zeta, sympy.Abs, sympy.Max, sympy.Min,
        )
    }
)  # fmt: skip
_OPAQUE: Mapping[str, type[Opaque]] = MappingProxyType(
    {
        x.__name__: x
        for x in (
            EffectiveRidge, ResidualDegrees, FeatureRidge, FeatureResidual, AtomicRidge, AtomicResidual, AtomicFeatureRidge,
            AtomicFeatureResidual, SpectralTrace, QuadraticForm, OffsetForm, DigammaDifference, GammaRatio, GeometricSum, ChainBias,
            ChainVariance, PooledBias, PooledVariance, PipelineBias, PipelineVariance, CorrectedBias, CorrectedVariance,
            AtomicChain, SecularSum, Slope, RoundTerm, NamedLines, ImplicitRoot,
        )
    }
)  # fmt: skip
_CONSTANTS: Mapping[str, Basic] = MappingProxyType(
    {
        "pi": S.Pi, "e": S.Exp1, "EulerGamma": S.EulerGamma, "oo": S.Infinity, "-oo": S.NegativeInfinity, "true": S.true,
        "false": S.false,
    }
)  # fmt: skip
_HEADS = {
    **{cls: head for head, cls in _OPERATIONS.items()},
    **{f: name for name, f in (*_FUNCTIONS.items(), *_OPAQUE.items())},
}
_NAMES = {value: name for name, value in _CONSTANTS.items()}


def fail(place: str, needs: str, got: Any) -> NoReturn:
    """Raise for a value that is not what a place needs.

    Raises:
        ParseError: Always.
    """
    raise ParseError(f"formula in JSON, {place}: {needs}, got {shown(got)}; write it with to_json()")


# ---------------------------------------------------------------------- write
@dataclass
class ExpressionWriter:
    """Writes expressions, and collects the table of their symbols.

    Attributes:
        theorem: Slug of the theorem that the expressions are of, if of one.
        table: The spelling of each symbol by its key: its name, with marks where two symbols share one.
    """

    theorem: str
    table: dict[str, dict[str, Any]] = field(default_factory=dict)
    _keys: dict[Symbol, str] = field(default_factory=dict)

    def tree(self, e: Basic, depth: int = 0) -> Any:
        """Return an expression or a condition as what JSON has: numbers, text and lists.

        Raises:
            DomainError: If it has a part that is not of the grammar.
        """
        if depth > _DEEPEST:
            raise DomainError(f"to_json needs expressions nested at most {_DEEPEST} deep, got a deeper one; use pickle")
        if isinstance(e, Symbol):
            return self.key(e)
        if e.is_Number or e in _NAMES:
            return _number(e)
        if isinstance(e, Str):
            return ["text", e.name]
        if isinstance(e, RoundRule):
            if self.theorem not in catalog or _rule(self.theorem) != e:
                raise DomainError(
                    f"to_json needs the rule of the theorem itself, got that of {e}; unfold it with th.at(n=3)"
                )
            return ["rule", self.theorem]
        head = _HEADS.get(type(e), {Tuple: "tuple", sympy.Sum: "sum"}.get(type(e)))
        if head is None:
            raise DomainError(
                f"to_json needs expressions of the theory, got {type(e).__name__} in {shown(e)}; use pickle"
            )
        return [head, *(self.tree(a, depth + 1) for a in e.args)]

    def key(self, x: Symbol) -> str:
        """Return the key of a symbol in the table."""
        if x not in self._keys:
            try:
                kind, name, assumptions = symbols.spelled(x)
            except StopIteration:
                raise DomainError(
                    f"to_json needs symbols of the theory, got {shown(x)}, a {type(x).__name__}"
                ) from None
            key = name
            while key in self.table:
                key += "'"
            self._keys[x] = key
            entry: dict[str, Any] = {} if kind == "parameter" else {"kind": kind}
            self.table[key] = entry | ({} if key == name else {"name": name}) | assumptions
        return self._keys[x]


def _number(e: Any) -> Any:
    if e in _NAMES:
        return [_NAMES[e]]
    if isinstance(e, Float):
        value = float(e)
        if not math.isfinite(value) or Float(value) != e:
            raise DomainError(f"to_json needs decimals that are doubles, got {shown(e)}; round it")
        return value
    if isinstance(e, Rational) and number_bits(e) <= MOST_BITS:
        return int(e.p) if e.is_Integer else ["/", int(e.p), int(e.q)]
    raise DomainError(f"to_json needs finite numbers of at most {MOST_BITS} bits, got {shown(e)}; round it")


def _rule(slug: str) -> RoundRule | None:
    """Return the rule of a theorem without a closed form; None for the others."""
    terms = (x for e in catalog[slug].error.parts.values() for x in e.atoms(RoundTerm))
    return next((x.args[0] for x in terms), None)


# ---------------------------------------------------------------------- read
@dataclass
class ExpressionReader:
    """Reads expressions by the table of their symbols.

    Attributes:
        table: The table as it was read.
    """

    table: Mapping[str, Any]
    _symbols: dict[str, Symbol] = field(default_factory=dict)

    def scalar(self, tree: Any, place: str) -> Expr:
        """Return an expression whose symbols are all parameters.

        Raises:
            ParseError: If the tree is not of the grammar, or a bound symbol is outside what binds it.
        """
        e = self._closed(tree, place)
        return e if isinstance(e, Expr) else fail(place, "this needs to be a scalar", tree)

    def condition(self, tree: Any, place: str) -> Boolean:
        """Return a condition whose symbols are all parameters.

        Raises:
            ParseError: If the tree is not of the grammar, or a bound symbol is outside what binds it.
        """
        e = self._closed(tree, place)
        good = isinstance(e, Boolean) and not isinstance(e, Expr)  # a symbol is both
        return e if good else fail(place, "this needs to be a condition", tree)

    def symbol(self, key: Any, place: str) -> Symbol:
        """Return the symbol of a key.

        Raises:
            ParseError: If it is not in the table.
        """
        if not isinstance(key, str) or key not in self.table:
            near = nearest(key, self.table) if isinstance(key, str) else ""
            raise ParseError(
                f"formula in JSON, {place}: a symbol needs to be in the table of symbols, got {shown(key)}{near}"
            )
        if key not in self._symbols:
            self._symbols[key] = self._made(key)
        return self._symbols[key]

    def _made(self, key: str) -> Symbol:
        place, entry = f"symbols.{key}", self.table[key]
        if not isinstance(entry, dict):
            fail(place, 'a symbol needs a table such as {"positive": true}', entry)
        assumptions = {k: v for k, v in entry.items() if k not in ("kind", "name")}
        name, kind = entry.get("name", key), entry.get("kind", "parameter")
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            fail(place, f"a name needs to be text of at most {_LONGEST_NAME} characters", name)
        for key, value in assumptions.items():
            if key not in _ASSUMPTIONS or not isinstance(value, bool):
                near = nearest(key, _ASSUMPTIONS) if key not in _ASSUMPTIONS else ""
                fail(place, f"an assumption is one of SymPy's that is true or false{near}", f"{key}: {value}")
        try:
            return symbols.symbol_of(kind, name, assumptions)
        except (KeyError, ValueError, TypeError):
            fail(place, "a symbol needs a kind that is known, and assumptions that go together", entry)

    def _closed(self, tree: Any, place: str) -> Any:
        e = self._any(tree, place, 0)
        loose = sorted(x.name for x in e.free_symbols if type(x) not in (Symbol, symbols.Generated))
        return e if not loose else fail(place, f"{loose[0]} may stand inside what binds it only", tree)

    def _any(self, tree: Any, place: str, depth: int) -> Basic:
        if depth > _DEEPEST:
            raise ParseError(
                f"formula in JSON, {place}: lists may be nested at most {_DEEPEST} deep; introduce names for parts"
            )
        if isinstance(tree, str):
            return self.symbol(tree, place)
        if isinstance(tree, int) and not isinstance(tree, bool):
            if tree.bit_length() > MOST_BITS:
                fail(place, f"an exact number may have at most {MOST_BITS} bits", tree)
            return Integer(tree)
        if isinstance(tree, float) and math.isfinite(tree):
            return Float(tree)
        if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
            fail(place, "an expression is a number, the key of a symbol, or a list that starts with what it is", tree)
        head, *rest = tree
        if head in ("text", "rule"):
            return self._named(head, rest, place)
        if head in _CONSTANTS and not rest:
            return _CONSTANTS[head]
        arguments = [self._any(x, f"{place}[{i}]", depth + 1) for i, x in enumerate(rest, start=1)]
        return self._built(head, arguments, place)

    def _named(self, head: str, rest: list[Any], place: str) -> Basic:
        if len(rest) != 1 or not isinstance(rest[0], str):
            fail(place, f'"{head}" needs one text', rest)
        if head == "text":
            return Str(rest[0])
        rule = _rule(rest[0]) if rest[0] in catalog else None
        if rule is None:
            raise ParseError(
                f"formula in JSON, {place}: a rule needs the slug of a theorem without a closed form, got {shown(rest[0])}; "
                "unfold the formula with th.at(n=3) before it is written"
            )
        return rule

    def _built(self, head: str, arguments: list[Basic], place: str) -> Basic:
        if head == "/":
            return _fraction(arguments, place)
        if head == "^":
            _check_power(arguments, place)
        make = _makers().get(head)
        if make is None:
            raise ParseError(
                f"formula in JSON, {place}: nothing is called {shown(head)}{nearest(head, [*_makers(), *_CONSTANTS])}"
            )
        if head in _OPERATIONS or head in _FUNCTIONS:
            wrong = [x for x in arguments if not isinstance(x, (Boolean if head in ("and", "or", "not") else Expr))]
            if wrong:
                fail(place, f'"{head}" has an argument of another kind', wrong[0])
        if head == "sum" or (head in _FUNCTIONS and head not in _CHEAP):
            _check_size(arguments, place)
        try:
            return make(*arguments)
        except (TypeError, ValueError, AttributeError, IndexError, NotImplementedError, sympy.SympifyError) as e:
            if isinstance(e, CollapseTheoryError):
                raise ParseError(f"formula in JSON, {place}: {e}") from e
            fail(place, f"{head} has no such arguments", arguments)


def _makers() -> dict[str, Callable[..., Basic]]:
    """Return what rebuilds the object of each head from its arguments, as they are."""
    return {
        **{head: _verbatim(cls) for head, cls in (*_OPERATIONS.items(), *_FUNCTIONS.items())},
        **{
            head: cls.written if cls in (SpectralTrace, QuadraticForm, OffsetForm) else cls
            for head, cls in _OPAQUE.items()
        },
        "tuple": Tuple,
        "sum": sympy.Sum,
    }


def _verbatim(cls: type[Basic]) -> Callable[..., Basic]:
    return lambda *arguments: cls(*arguments, evaluate=False)


def _fraction(arguments: list[Basic], place: str) -> Rational:
    if len(arguments) != 2 or not all(isinstance(x, Integer) for x in arguments) or arguments[1] <= 0:
        fail(place, '"/" needs two whole numbers, the second positive; other quotients are powers', arguments)
    return Rational(*arguments)


def _check_size(arguments: list[Basic], place: str) -> None:
    """Refuse exact values of special functions, and sums, that have no end once they are evaluated."""
    for x in arguments:
        for number in x.args if isinstance(x, Tuple) else (x,):
            if number.is_Rational and abs(number) > _LARGEST:
                fail(place, f"exact arguments and bounds may be at most {_LARGEST}", number)


def _check_power(arguments: list[Basic], place: str) -> None:
    """Refuse what is no number, and exact powers that have no end once they are evaluated."""
    if len(arguments) != 2 or not all(isinstance(x, Expr) for x in arguments):
        fail(place, '"^" needs a base and an exponent', arguments)
    base, exponent = arguments
    if base.is_zero and not exponent.is_positive:
        fail(place, "zero has positive powers only", exponent)
    if base.is_number and exponent.is_number and not bool(abs(exponent) * number_bits(base) <= MOST_BITS):
        fail(place, f"an exact power may have at most {MOST_BITS} bits", arguments)
