"""Theorems that have a closed form per round only: the formula of an asked ``n`` is derived on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sympy import Expr, Symbol, Tuple
from sympy.core.symbol import Str

from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.errors import DomainError
from collapse_theory.families.linear import Linear
from collapse_theory.formula import ErrorFormula
from collapse_theory.symbols import n
from collapse_theory.theorems.catalog import catalog

__all__ = ["RoundTerm", "derived_at", "derived_per_round"]


class RoundTerm(Expr):
    """One term of a theorem at a symbolic number of rounds.

    Args:
        slug: The theorem.
        term: Name of the term.
        count: The number of rounds; :meth:`doit` derives the term once it is an integer.
        parameters: The theorem's other symbols.
    """

    is_commutative = True
    is_extended_real = True
    is_nonnegative = True

    def __new__(cls, slug: Str, term: Str, count: Expr, parameters: Tuple) -> Expr:
        """Return the term."""
        return Expr.__new__(cls, slug, term, count, parameters)

    def doit(self, **_hints: Any) -> Expr:
        """Derive the term.

        Raises:
            DomainError: If the number of rounds is not an integer.
        """
        slug, term, count, values = self.args
        if not count.is_Integer:
            raise DomainError(f"{slug} has a closed form for each n only, got n={count}; use th.at(n=3)")
        formula = catalog[slug.name].at(int(count))
        change = dict(zip((catalog[slug.name].error.symbol(x) for x in _names(slug)), values, strict=True))
        return formula.terms[term.name].xreplace(change)

    def _eval_derivative(self, x: Symbol) -> Expr:
        return self.doit().diff(x)

    def _sympystr(self, printer: Any) -> str:
        _, term, count, values = self.args
        return f"{term}[n={printer.doprint(count)}]({', '.join(map(printer.doprint, values))})"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        _, term, count, values = self.args
        head = rf"\mathrm{{{term.name.replace('_', ' ')}}}_{{{printer.doprint(count)}}}"
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"{head}{power}\left({', '.join(map(printer.doprint, values))}\right)"


def _names(slug: Str) -> list[str]:
    return sorted(x.name for x in catalog[slug.name].error.free_symbols if x != n)


def derived_per_round(slug: str, at: Callable[[int], ErrorFormula], parameters: tuple[Symbol, ...]) -> ErrorFormula:
    """Return the formula of a theorem whose rounds are derived on demand.

    Args:
        slug: The theorem.
        at: Returns the formula of an integer ``n``.
        parameters: Its other symbols.
    """
    ordered = Tuple(*sorted(parameters, key=lambda x: x.name))
    return ErrorFormula(
        parts={term: RoundTerm(Str(slug), Str(term), n, ordered) for term in ("bias", "variance")},
        regime="proportional",
        method="free-probability",
        rounds=at,
    )


def derived_at(
    build: Callable[..., Pipeline], parameters: tuple[Symbol, ...], count: int, **values: Any
) -> ErrorFormula:
    """Return the test error of the pipeline of ``count`` rounds with the theorem's symbols, some replaced by ``values``."""
    names = {x.name: x for x in parameters}
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise DomainError(f"theorem has no parameter {unknown[0]!r}; valid: {', '.join(sorted(names))}")
    return Linear().theory(build(count, **{**names, **values}))
