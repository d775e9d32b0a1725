r"""Theorems whose formula has a closed form per number of rounds only, as opaque scalars.

A :class:`RoundTerm` is one term of such a theorem at a symbolic number of rounds. It is part of the formula like any other
expression: symbols are substituted in its arguments, derivatives are taken at its parameters, :meth:`RoundTerm.doit` derives
the term once the number of rounds is an integer, and an evaluation plan derives it for every number of rounds it meets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sympy import Add, Atom, Expr, Integer, S, Symbol, Tuple
from sympy.core.symbol import Str

from collapse_theory.algebra.opaque import Opaque, called
from collapse_theory.algebra.progressions import law
from collapse_theory.core.errors import DomainError
from collapse_theory.symbols import round_index

__all__ = ["RoundRule", "RoundSum", "RoundTerm", "round_sums", "round_terms", "whole_rounds"]

_INCREMENTS = 4  # two determine a law, the others check it


class RoundRule(Atom):
    """What derives the terms of a theorem for a given number of rounds.

    Args:
        derive: Returns the terms by name for an integer number of rounds, in ``parameters``. A function of a module, so
            that the rule pickles by its name, and two rules are equal if their functions are.
        parameters: The theorem's symbols other than the number of rounds.
        least: The least number of rounds.
        terms: Names of the terms.
    """

    __slots__ = ("derive", "least", "parameters", "terms")

    derive: Callable[[int], Mapping[str, Expr]]
    parameters: tuple[Symbol, ...]
    least: int
    terms: tuple[str, ...]

    def __new__(
        cls,
        derive: Callable[[int], Mapping[str, Expr]],
        parameters: tuple[Symbol, ...],
        least: int = 0,
        terms: tuple[str, ...] = ("bias", "variance"),
    ) -> RoundRule:
        """Return the rule."""
        rule: RoundRule = super().__new__(cls)
        rule.derive, rule.parameters, rule.least, rule.terms = derive, parameters, least, terms
        return rule

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.derive, self.parameters, self.least, self.terms

    def _hashable_content(self) -> tuple[str, str]:
        return self.derive.__module__, self.derive.__qualname__

    def _sympystr(self, printer: Any) -> str:
        del printer
        return self.derive.__qualname__

    def term(self, name: str, rounds: int, orders: tuple[int, ...]) -> Expr:
        """Return a term, or its derivative of the given order by each parameter, after ``rounds`` rounds."""
        e = _terms(self, rounds)[name]
        for x, order in zip(self.parameters, orders, strict=True):
            for _ in range(order):
                e = e.diff(x)
        return e


@lru_cache(maxsize=256)
def _terms(rule: RoundRule, rounds: int) -> Mapping[str, Expr]:
    terms = rule.derive(rounds)
    unbound = set().union(*(e.free_symbols for e in terms.values())) - set(rule.parameters)
    if unbound or set(terms) != set(rule.terms):
        raise AssertionError(f"{rule} promises {rule.terms} in {rule.parameters}, and derives {terms}")
    return terms


class RoundTerm(Opaque):
    """One term of a theorem at a number of rounds, or a derivative of it by the theorem's parameters.

    Args:
        rule: Derives the terms.
        name: Name of the term.
        rounds: The number of rounds.
        values: What stands for each parameter of the rule.
        orders: Order of the derivative by each parameter.
    """

    def __new__(cls, rule: RoundRule, name: Str, rounds: Expr, values: Tuple, orders: Tuple | None = None) -> Expr:
        """Return the term."""
        return super().__new__(cls, rule, name, rounds, values, orders or Tuple(*[S.Zero] * len(values)))

    @property
    def rounds(self) -> Expr:
        """The number of rounds."""
        return self.args[2]

    def doit(self, **_hints: Any) -> Expr:
        """Derive the term.

        Raises:
            DomainError: If the number of rounds is not a non-negative integer.
        """
        rule, name, rounds, values, orders = self.args
        if not (rounds.is_Integer and rounds >= 0):
            raise DomainError(f"a closed form exists for each number of rounds only, got {rounds}; use th.at(n=3)")
        e = rule.term(name.name, int(rounds), tuple(map(int, orders)))
        return e.xreplace(dict(zip(rule.parameters, values, strict=True)))

    def _eval_is_nonnegative(self) -> bool | None:
        return None if any(self.args[4]) else True

    def _derivative(self, x: Symbol) -> Expr:
        """Return the derivative through the parameters.

        Raises:
            DomainError: By a symbol of the number of rounds, an integer.
        """
        rule, name, rounds, values, orders = self.args
        if rounds.has(x):
            raise DomainError(
                f"a derivative needs a real parameter, got {x} in the number of rounds; compare two values"
            )
        total = S.Zero
        for i, value in enumerate(values):
            slope = value.diff(x)
            if slope != 0:
                raised = Tuple(*(Integer(k + (j == i)) for j, k in enumerate(orders)))
                total += slope * RoundTerm(rule, name, rounds, values, raised)
        return total

    def _sympystr(self, printer: Any) -> str:
        rule, name, rounds, values, orders = self.args
        marks = "".join(f"d{x}" * int(k) for x, k in zip(rule.parameters, orders, strict=True))
        return f"{marks and f'{marks} '}{name}[n={printer.doprint(rounds)}]({', '.join(map(printer.doprint, values))})"

    def _tex(self, printer: Any) -> tuple[str, str]:
        rule, name, rounds, values, orders = self.args
        marks = "".join(
            rf"\partial_{{{printer.doprint(x)}}}" * int(k) for x, k in zip(rule.parameters, orders, strict=True)
        )
        head = rf"{marks}\mathrm{{{name.name.replace('_', ' ')}}}_{{{printer.doprint(rounds)}}}"
        return called(head, tuple(values), printer)


def round_terms(rule: RoundRule, rounds: Expr) -> dict[str, Expr]:
    """Return the terms of a theorem at a symbolic number of rounds.

    Args:
        rule: Derives the terms.
        rounds: The symbol of the number of rounds.
    """
    return {name: RoundTerm(rule, Str(name), rounds, Tuple(*rule.parameters)) for name in rule.terms}


def whole_rounds(e: Expr) -> RoundTerm | None:
    """Return one of the terms of a theorem of which an expression is the whole sum; None if it is not one."""
    for x in sorted(e.atoms(RoundTerm), key=lambda x: x.sort_key()):
        rule, _, *rest = x.args
        if not any(rest[-1]) and e == Add(*(RoundTerm(rule, Str(name), *rest) for name in rule.terms)):
            return x
    return None


@dataclass(frozen=True)
class RoundSum:
    """A term as a finite sum over the rounds.

    Attributes:
        before: What is not in the sum.
        summand: The summand, in ``index``.
        first: The first value of the index; the number of rounds is the last.
        index: The symbol of the index.
    """

    before: Expr
    summand: Expr
    first: int
    index: Symbol = round_index


def round_sums(rule: RoundRule) -> dict[str, RoundSum] | None:
    """Return every term as a finite sum over the rounds, where what a round adds has one law; None where it has none.

    Args:
        rule: Derives the terms.
    """
    out, least = {}, rule.least
    for name in rule.terms:
        values = [rule.term(name, c, (0,) * len(rule.parameters)) for c in range(least, least + _INCREMENTS + 1)]
        added: dict[tuple[int, ...], Expr] = {(least + i,): values[i] - values[i - 1] for i in range(1, len(values))}
        summand = law(added, (round_index,))
        if summand is None:
            return None
        whole = summand.subs(round_index, least) == values[0] != 0 if least else False
        out[name] = RoundSum(S.Zero, summand, least) if whole else RoundSum(values[0], summand, least + 1)
    return out
