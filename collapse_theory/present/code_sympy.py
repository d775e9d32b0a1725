"""Source in plain SymPy: the expressions of a formula, its names and implicit scalars as equations."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sympy import Eq, Expr, S, Symbol

from collapse_theory.algebra.effective import (
    EffectiveRidge,
    ResidualDegrees,
    effective_ridge_equation,
    residual_degrees,
)
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge, feature_ridge_equation
from collapse_theory.core.errors import DomainError
from collapse_theory.present.code_statements import Call, FixedPoint, Let, Listing
from collapse_theory.present.code_writer import ArithmeticPrinter, Names, offsets_name
from collapse_theory.symbols import Eigenvalue, intermediate, spelled
from collapse_theory.symbols import d as dimension

__all__ = ["SympyWriter"]

_SYMPY = """Abs E EulerGamma Eq Float GreaterThan IndexedBase Integer LessThan Max Min Rational StrictGreaterThan StrictLessThan Sum
    Symbol Unequality cos exp gamma harmonic log oo pi polygamma sin sqrt tan zeta"""
_OWN = """w2 j tr form named equations conditions error"""


class _SympyPrinter(ArithmeticPrinter):
    """Prints expressions of which no number is rounded before SymPy has it."""

    calls: ClassVar[Mapping[str, str]] = {
        name: name
        for name in (
            "sqrt",
            "exp",
            "log",
            "sin",
            "cos",
            "tan",
            "gamma",
            "polygamma",
            "harmonic",
            "zeta",
            "Max",
            "Min",
            "Abs",
        )
    }
    constants: ClassVar[Mapping[Any, str]] = {S.Pi: "pi", S.Exp1: "E", S.EulerGamma: "EulerGamma", S.Infinity: "oo"}

    def _print(self, e: Any, **_: Any) -> str:
        if type(e).__name__ in {"GammaRatio", "DigammaDifference", "GeometricSum"}:
            return f"({super()._print(e.doit())})"
        return super()._print(e)

    def _print_Rational(self, e: Any) -> str:
        return f"Rational({e.p}, {e.q})"

    def _print_Symbol(self, e: Symbol) -> str:
        return self.names.of(e)

    def _print_OffsetForm(self, e: Any) -> str:
        return f"tr({offsets_name(e.truths)}*({self._print(e.integrand)}))"

    def total(self, f: Expr, energies: str = "") -> str:
        """Return the sum over the eigenvalues."""
        return f"{'form' if energies else 'tr'}({self._print(f)})"

    def _print_Relational(self, e: Any) -> str:
        return f"{type(e).__name__.replace('Equality', 'Eq')}({', '.join(map(self._print, e.args))})"

    _print_Half = _print_Rational


class SympyWriter:
    """Writes SymPy.

    Args:
        source: What is said.

    Raises:
        DomainError: If it has a loop, which is no expression.
    """

    reserved = frozenset({*keyword.kwlist, *_SYMPY.split(), *_OWN.split()})

    def __init__(self, source: Listing) -> None:
        self.source = source
        self.names = Names(self.reserved, source)
        self._inner: dict[Symbol, Symbol] = {}
        self.say: Callable[[Any], str] = _SympyPrinter(self.names).doprint

    def text(self) -> str:
        """Return the whole script."""
        source = self.source
        body = [
            *(self._symbol(x) for x in source.parameters),
            *(f"{self.names.of(x)} = {self._number(e)}" for x, e in source.numbers),
            *self._spectrum(),
            "equations = []",
            *_DEFINED,
            *(line for x in source.block for line in self._line(x)),
            f"error = {self.say(source.result)}",
            f"conditions = [{', '.join(map(self.say, source.conditions))}]",
        ]
        used = [name for name in _SYMPY.split() if re.search(rf"\b{name}\(|\b{name}\b(?!\w)", "\n".join(body))]
        said = f'"""The test error {source.name} ({source.regime}), written by collapse-theory; SymPy is all it needs.'
        return "\n".join([said, "", *_ABOUT, "", f"from sympy import {', '.join(used)}", "", *body]) + "\n"

    def _number(self, e: Expr) -> str:
        """Return a number that SymPy has from the start: Python would round a quotient of two."""
        return f"{'Float' if e.is_Float else 'Integer'}({self.say(e)})" if e.is_Float or e.is_Integer else self.say(e)

    def _symbol(self, x: Symbol) -> str:
        assumptions = "".join(f", {k}={v}" for k, v in spelled(x)[2].items())
        return f"{self.names.of(x)} = Symbol({json.dumps(x.name)}{assumptions})"

    def _spectrum(self) -> list[str]:
        if not self.source.spectra:
            return []
        out = [self._symbol(dimension), 'j = Symbol("j", integer=True)']
        out += [f'{name} = IndexedBase("{name}")[j]' for name in map(self.names.of, self.source.spectra)]
        out += ['w2 = IndexedBase("w2")[j]'] if self.source.target else []
        out += [f'{name} = IndexedBase("{name}")[j]' for name in map(offsets_name, self.source.offsets)]
        d = self.names.of(dimension)
        out += [f"tr = lambda f: Sum(f, (j, 1, {d}))  # of a function of the eigenvalues"]
        return out + ([f"form = lambda f: Sum(w2*f, (j, 1, {d}))"] if self.source.target else [])

    def _line(self, line: Any) -> list[str]:
        if isinstance(line, Let):
            # All at once: an array of the left may stand on the right of another.
            if len(line.names) > 1:
                names, values = (
                    ", ".join(map(say, column))
                    for say, column in ((self.names.of, line.names), (self.say, line.values))
                )
                return [f"{names} = {values}"]
            return [self._named(line.names[0], line.values[0])]
        if isinstance(line, FixedPoint) and not line.block:
            return self._implicit(
                [Eq(x, f, evaluate=False) for x, f in zip(line.unknowns, line.sides, strict=True)], line.unknowns
            )
        if isinstance(line, Call) and line.names:
            x, (_, T, *between) = line.names[0], line.arguments
            if line.part == "effective_ridge":
                return self._implicit([_alone(x, effective_ridge_equation(x, T, between[0]))], [x])
            if line.part == "residual_degrees":
                return [self._named(x, residual_degrees(T, between[-1]))]
            return (
                self._feature_ridge(x, T, *between)
                if line.part == "feature_ridge"
                else self._feature_residual(x, T, *between)
            )
        raise DomainError(
            f"code('sympy') needs a formula without loops, got one over fits or rounds in {self.source.name}; unfold it with "
            "th.at(n=3), or write it with code('numpy')"
        )

    def _named(self, x: Symbol, e: Expr) -> str:
        name = self.names.of(x)
        return f"{name} = {self.say(e)}" if isinstance(x, Eigenvalue) else f'{name} = named("{name}", {self.say(e)})'

    def _implicit(self, equations: list[Eq], unknowns: Sequence[Symbol]) -> list[str]:
        out = [f'{name} = Symbol("{name}", nonnegative=True)' for name in map(self.names.of, unknowns)]
        return out + [f"equations.append(Eq({self.say(e.lhs)}, {self.say(e.rhs)}, evaluate=False))" for e in equations]

    def _feature_ridge(self, x: Symbol, T: Expr, m: Expr, lam: Expr) -> list[str]:
        """Return the two equations of a fit on random features."""
        inner = self._inner[x] = intermediate(f"{x.name}_inner")
        pair = feature_ridge_equation(x, inner, T, lam), effective_ridge_equation(inner, m, x)
        return self._implicit([_alone(y, eq) for y, eq in zip((x, inner), pair, strict=True)], [x, inner])

    def _feature_residual(self, x: Symbol, T: Expr, m: Expr, lam: Expr, ridge: Symbol) -> list[str]:
        """Return the residual degrees of freedom of such a fit, in the unknowns of its equations."""
        inner = self._inner[ridge]
        known = {FeatureRidge(T, m, lam): ridge}
        e = FeatureResidual(T, m, lam).doit().xreplace(known)
        e = e.xreplace({ResidualDegrees(m, ridge): residual_degrees(m, inner)})
        return [self._named(x, e.xreplace({EffectiveRidge(m, ridge): inner}))]


def _alone(x: Symbol, eq: Eq) -> Eq:
    """Return an equation with its unknown alone on the left."""
    return Eq(x, eq.rhs + (x - eq.lhs), evaluate=False)


_ABOUT = (
    "`error` is an expression in the parameters and in names; `equations` has one for each name, in an order in which each needs",
    "earlier ones. Those of implicit scalars are solved by their largest root.",
    '"""',
)
_DEFINED = (
    "",
    "",
    "def named(name, value):",
    '    """Return a symbol for a value, and keep its equation."""',
    "    symbol = Symbol(name, real=True)",
    "    equations.append(Eq(symbol, value, evaluate=False))",
    "    return symbol",
    "",
    "",
)
