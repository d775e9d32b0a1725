r"""The regimes of a test error on power laws: which terms lead, over all ridge exponents, in every chamber of the other symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sympy import Add, Expr, Rational, Symbol

from collapse_theory import symbols
from collapse_theory.algebra.cases import Piece, explored, swept
from collapse_theory.algebra.collect import spread
from collapse_theory.algebra.exponents import Chamber, Order, total
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.asymptotics import Asymptotics
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller_scalars import LabellerScalar
from collapse_theory.derive.pooled_scalars import PipelineScalar
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.derive.scales import INFINITE, Scales

__all__ = ["Orders", "RateLaw", "Regimes", "UnfoldedTerms", "unfolded_terms"]


@dataclass(frozen=True)
class Orders:
    """The orders at some ridge exponents: exponent and logarithm of the sum and of each term, and the terms that lead."""

    exponent: Any
    log: int
    leading: tuple[str, ...]
    terms: tuple[tuple[str, Any, int], ...]


@dataclass(frozen=True)
class RateLaw:
    """The rate in one chamber of the outer symbols: its pieces in the ridge exponent, and the best of them."""

    pieces: tuple[Piece, ...]
    best: tuple[Any, Any, Any, int] | None
    logs: tuple[int, ...]
    """Power of the logarithm at each end between two pieces."""


@dataclass(frozen=True)
class Regimes:
    """The terms of a formula at scales.

    Attributes:
        name: Name of the formula.
        unfolded: Its terms, written out.
        scales: What every symbol is.
    """

    name: str
    unfolded: UnfoldedTerms
    scales: Scales

    @property
    def parts(self) -> Mapping[str, Expr]:
        """The terms in traces and implicit scalars."""
        return self.unfolded.parts

    @cached_property
    def chamber(self) -> Chamber:
        """What is known of the symbols."""
        scales = self.scales
        infinite = INFINITE if INFINITE in scales.symbols else None
        return Chamber.of(scales.symbols or (symbols.ell,), scales.facts, scales.inner, infinite)

    @cached_property
    def tree(self) -> Any:
        """The :class:`RateLaw` in each chamber, as a tree of splits."""
        return explored(self._leaf, self.chamber)

    def _leaf(self, chamber: Chamber) -> RateLaw:
        if self.scales.inner is None:
            at = self._at(chamber)
            return RateLaw((Piece(None, None, at),), None, ())
        ends = chamber.domain.zero, chamber.element(self.scales.laws.beta)
        pieces = swept(self._at, chamber, *ends)
        logs = [self._at(chamber.within(x.high, x.high)).log for x in pieces[:-1]]
        return RateLaw(pieces, self._best(pieces, chamber), tuple(logs))

    def _best(self, pieces: tuple[Piece, ...], chamber: Chamber) -> tuple[Any, Any, Any, int]:
        """Return the range of the best ridge exponents, the exponent there and its logarithm."""
        ends = [(pieces[0].low, chamber.put(pieces[0].value.exponent, pieces[0].low))]
        ends += [(x.high, chamber.put(x.value.exponent, x.high)) for x in pieces]
        best = [ends[0]]
        for end in ends[1:]:
            side = chamber.sign(end[1] - best[0][1])
            if side <= 0:
                best = [end] if side < 0 else [*best, end]
        at = self._at(chamber.within(best[0][0], best[0][0]))
        return best[0][0], best[-1][0], best[0][1], at.log

    def _at(self, chamber: Chamber) -> Orders:
        asymptotics = Asymptotics(self.scales.laws, chamber, self.unfolded.definitions)
        orders = {name: _vanishing(self.order(e, asymptotics), chamber) for name, e in self.parts.items()}
        definite = all(x.vanishes or (x.exact and x.sign > 0) for x in orders.values())
        whole = total(orders.values(), chamber)
        if not definite:
            whole = _vanishing(asymptotics.order(self._together), chamber)
        if whole.vanishes:
            raise DomainError(f"{self.name} has no rate: every term vanishes at these scales; give a noise or a target")
        if not whole.exact or whole.sign < 0:
            unsure = [name for name, x in orders.items() if not x.vanishes and not x.exact] or list(orders)
            raise DomainError(
                f"no power-law asymptotics, cannot decide: in {self.name} the leading parts of {', '.join(unsure)} "
                "have both signs and one order"
            )
        leading = tuple(
            name for name, x in orders.items() if not x.vanishes and x.exact and not chamber.compare(x, whole)
        )
        terms = tuple(
            (name, x.exponent if x.exact and x.sign > 0 else None, x.log)
            for name, x in orders.items()
            if not x.vanishes
        )
        return Orders(whole.exponent, whole.log, leading, terms)

    def order(self, e: Expr, asymptotics: Asymptotics) -> Order:
        """Return the order of a term, expanded if its leading parts cancel as it is written."""
        found = asymptotics.order(e)
        if found.exact or self.unfolded.definitions:  # a closed form is too long to be expanded
            return found
        return asymptotics.order(spread(e).expand())

    @cached_property
    def _together(self) -> Expr:
        """The sum of the terms with what cancels between them cancelled."""
        return Add(*(spread(e) for e in self.parts.values())).expand()


@dataclass(frozen=True)
class UnfoldedTerms:
    """Terms in traces and implicit scalars.

    Attributes:
        parts: Expression by name, those that are zero left out.
        definitions: Expression of each symbol that stands for a scalar of a free-probability closed form.
    """

    parts: Mapping[str, Expr]
    definitions: Mapping[Symbol, Expr]


def unfolded_terms(formula: ErrorFormula, generations: int | None = None) -> UnfoldedTerms:
    """Return the terms, recursions written out for a number of generations: exponents do not depend on it.

    Args:
        formula: The formula.
        generations: Stands for ``n``; None is the smallest number at which fits learn from fits.

    Raises:
        DomainError: If the terms mix closed forms of several pipelines.
    """
    if generations is None:  # one round that shares inputs is as good as two, and smaller
        shares = any(e.atoms(RoundTerm) for e in formula.parts.values())
        parts = _written_out(formula, 1) if shares else {}
        if not any(e.atoms(PipelineScalar) for e in parts.values()):
            parts = _written_out(formula, 2)
    else:
        parts = _written_out(formula, generations)
    scalars = {x for e in parts.values() for x in e.atoms(PipelineScalar)}
    if len({x.args for x in scalars}) > 1:
        raise DomainError(
            f"{formula.name} has no rate here: it mixes closed forms of several pipelines; ask for each of them"
        )
    definitions: dict[Symbol, Expr] = {}
    for x in scalars:
        definitions = x.definitions
        if x.equations:
            names = ", ".join(str(eq.lhs) for eq in x.equations)
            raise DomainError(f"no power-law asymptotics are known of the implicit scalars {names} in {formula.name}")
    change = {x: x.named for x in scalars}
    return UnfoldedTerms({name: e.xreplace(change) for name, e in parts.items()}, definitions)


def _written_out(formula: ErrorFormula, generations: int) -> dict[str, Expr]:
    """Return the terms that are not zero, recursions and rounds written out."""
    parts: dict[str, Expr] = {}
    for name, e in formula.parts.items():
        e = e.xreplace({x: Rational(value) for x, value in formula.numbers.items() if value.is_number})
        e = e.subs(symbols.n, generations)
        for _ in range(2):  # a term of a round may be a chain
            e = e.xreplace({x: x.doit() for x in e.atoms(LabellerScalar, RoundTerm)})
        if e != 0:
            parts[name] = e
    return parts


def _vanishing(x: Order, chamber: Chamber) -> Order:
    """Return the order with zero for what an infinite scale makes vanish."""
    if x.vanishes or chamber.infinite is None or not x.exponent.diff(chamber.infinite):
        return x
    if chamber.sign(x.exponent) < 0:
        return Order(None)
    raise DomainError("the error diverges with the symbol of infinite scale; give it an exponent")
