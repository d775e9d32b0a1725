"""The primitive operations of evaluation plans.

Each step is pure data: symbols it names, SymPy expressions, integers, tuples and descriptions of a structure. It pickles,
compares and prints (one line each); :mod:`.interpreter` says what it means, and an arithmetic how it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sympy import Expr, MatrixExpr, Symbol

from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.derive.rounds import RoundRule
from collapse_theory.numerics.chain_correction import CorrectedChain
from collapse_theory.numerics.filtered_fits import FilteredFits
from collapse_theory.numerics.generations import Generations

__all__ = [
    "AddUp",
    "Assign",
    "CheckExistence",
    "Integrate",
    "OnAtoms",
    "Recurse",
    "Rule",
    "SolveEquations",
    "SolveFeatures",
    "SolvePooled",
    "SolveRidge",
    "Step",
    "Unroll",
]


Rule = Generations | CorrectedChain | FilteredFits
"""The structure of a recursion over fits."""


@dataclass(frozen=True)
class SolveRidge:
    """Solve the effective ridge of ``(T, lam)`` and its residual degrees of freedom."""

    names: tuple[Symbol, Symbol]
    T: Expr
    lam: Expr

    def __str__(self) -> str:
        return f"{_listed(self.names)} = effective ridge ({_listed((self.T, self.lam))})"


@dataclass(frozen=True)
class SolveFeatures:
    """Solve the effective ridge of a fit on random features, ``(T, m, lam)``, and its residual degrees of freedom."""

    names: tuple[Symbol, Symbol]
    T: Expr
    m: Expr
    lam: Expr

    def __str__(self) -> str:
        return f"{_listed(self.names)} = effective ridge on features ({_listed((self.T, self.m, self.lam))})"


@dataclass(frozen=True)
class Integrate:
    """Take integrals in one pass over the eigenvalues; ``energy[i]`` says against which of the two measures."""

    names: tuple[Symbol, ...]
    integrands: tuple[Expr, ...]
    energy: tuple[bool, ...]

    def __str__(self) -> str:
        signs = (("energies" if energy else "counts") for energy in self.energy)
        totals = (f"sum {sign} * ({f})" for sign, f in zip(signs, self.integrands, strict=True))
        return f"{_listed(self.names)} = {', '.join(totals)}"


@dataclass(frozen=True)
class Assign:
    """Compute a scalar that later steps use, so that it is computed once."""

    names: tuple[Symbol]
    expression: Expr

    def __str__(self) -> str:
        return f"{_listed(self.names)} = {self.expression}"


@dataclass(frozen=True)
class AddUp:
    """Compute a finite sum of scalars, term by term.

    Attributes:
        names: The one name of the result.
        term: The term at the index.
        index: The summation index.
        low: The first index.
        high: The last index.
    """

    names: tuple[Symbol]
    term: Expr
    index: Symbol
    low: Expr
    high: Expr

    def __str__(self) -> str:
        return f"{_listed(self.names)} = sum of {self.term} for {self.index} = {self.low} .. {self.high}"


@dataclass(frozen=True)
class SolveEquations:
    """Solve equations ``x_i = f_i(x)`` for positive unknowns.

    Attributes:
        names: One for each unknown.
        unknowns: The unknowns, as they occur in the right-hand sides.
        expressions: The right-hand sides, in the order of the unknowns.
        sides: The plan of these.
    """

    names: tuple[Symbol, ...]
    unknowns: tuple[Symbol, ...]
    expressions: tuple[Expr, ...]
    sides: Any

    def __str__(self) -> str:
        sides = "; ".join(f"{x} = {f}" for x, (_, f) in zip(self.unknowns, self.sides.outputs, strict=True))
        return f"{_listed(self.names)} = solution of {sides}"


@dataclass(frozen=True)
class Recurse:
    """Run a recursion over the fits of a pipeline: bias and variance of the last.

    Attributes:
        names: One for each of the two.
        rule: The structure of the recursion.
        arguments: Its scalars, in the order of the rule.
        along: Slopes of the arguments; where given, the results are the derivatives along them.
    """

    names: tuple[Symbol, ...]
    rule: Rule
    arguments: tuple[Expr, ...]
    along: tuple[Expr, ...] = ()

    def __str__(self) -> str:
        return f"{_listed(self.names)} = {_slope(self.along)}{self.rule} ({_listed(self.arguments)})"


@dataclass(frozen=True)
class SolvePooled:
    """Solve the equations of a system of pooled fits: bias and variance of the last.

    Attributes:
        names: One for each of the two.
        system: The fits, in symbols.
        symbols: The symbols of the system that take values.
        arguments: The values.
        along: Slopes of the arguments; where given, the results are the derivatives along them.
    """

    names: tuple[Symbol, ...]
    system: PooledSystem
    symbols: tuple[Symbol, ...]
    arguments: tuple[Expr, ...]
    along: tuple[Expr, ...] = ()

    def __str__(self) -> str:
        fits = f"fixed point of {len(self.system.fits)} pooled fits"
        return f"{_listed(self.names)} = {_slope(self.along)}{fits} ({_listed(self.arguments)})"


@dataclass(frozen=True)
class CheckExistence:
    """Check that a matrix expression has a deterministic equivalent; the result is one.

    Attributes:
        names: The one name of the result.
        expression: The matrix expression.
        covariances: Names of the covariances in it.
        symbols: The symbols of the expression.
        arguments: Their values.
    """

    names: tuple[Symbol]
    expression: MatrixExpr
    covariances: tuple[str, ...]
    symbols: tuple[Symbol, ...]
    arguments: tuple[Expr, ...]

    def __str__(self) -> str:
        return f"{_listed(self.names)} = 1 if {self.expression} has an equivalent ({_listed(self.arguments)})"


@dataclass(frozen=True)
class OnAtoms:
    """Take a step on a spectrum of its own, given by expressions.

    Attributes:
        step: The step.
        nodes: The eigenvalues, positive.
        counts: Directions of each, non-negative integers.
        energies: The target's energy at each; none where the step takes no integral against them.
    """

    step: SolveRidge | SolveFeatures | Recurse
    nodes: tuple[Expr, ...]
    counts: tuple[Expr, ...]
    energies: tuple[Expr, ...] = ()

    @property
    def names(self) -> tuple[Symbol, ...]:
        """Those of the step."""
        return self.step.names

    def __str__(self) -> str:
        return f"{self.step} on {_listed(self.counts)} times {_listed(self.nodes)}"


@dataclass(frozen=True)
class Unroll:
    """Evaluate the terms of a theorem that are derived for each number of rounds.

    Attributes:
        names: One for each term of the rule.
        rule: Derives the terms; known by its name.
        orders: Order of the derivative by each of the rule's parameters.
        rounds: The number of rounds.
        arguments: Values of the rule's parameters.
    """

    names: tuple[Symbol, ...]
    rule: RoundRule
    orders: tuple[int, ...]
    rounds: Expr
    arguments: tuple[Expr, ...]

    def __str__(self) -> str:
        marks = "".join(f"d{x}" * k for x, k in zip(self.rule.parameters, self.orders, strict=True))
        head = f"{marks} {self.rule}" if marks else f"{self.rule}"
        return f"{_listed(self.names)} = {head} unrolled {self.rounds} times ({_listed(self.arguments)})"


Step = (
    AddUp
    | SolveEquations
    | Assign
    | SolveRidge
    | OnAtoms
    | SolveFeatures
    | Integrate
    | Recurse
    | SolvePooled
    | CheckExistence
    | Unroll
)


def _listed(items: tuple[Expr, ...]) -> str:
    return ", ".join(map(str, items))


def _slope(along: tuple[Expr, ...]) -> str:
    return f"slope along ({_listed(along)}) of " if along else ""
