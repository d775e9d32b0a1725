"""The evaluation plan: an expression compiled to a short list of numeric steps.

Opaque nodes become steps (solve an effective ridge, take integrals, run a chain of generations), what is left is one
outer scalar expression per output. A plan is data: picklable, printable, interpreted by any arithmetic. A new kind of
opaque node joins by a case in :func:`compile_plan`; a new arithmetic by an interpreter of these few steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sympy import Expr, S, Symbol, preorder_traversal
from sympy.core.symbol import Str

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.integrals import QuadraticForm, SpectralIntegral
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.labeller_scalars import LabellerScalar
from collapse_theory.derive.pooled_scalars import PipelineBias, PipelineScalar, PipelineVariance
from collapse_theory.derive.rounds import RoundRule, RoundTerm
from collapse_theory.derive.slopes import Slope
from collapse_theory.engine.guard import Existence
from collapse_theory.numerics.generations import labeller_recursion
from collapse_theory.numerics.recursions import FixedPoint, Rule, Tangent, Verified
from collapse_theory.symbols import perturbation, step

__all__ = [
    "Integrate",
    "Plan",
    "Recurse",
    "SolveFeatures",
    "SolveRidge",
    "Step",
    "Unroll",
    "compile_plan",
    "round_count",
]

_FEATURES = (FeatureRidge, FeatureResidual)
_RECURSIONS = (LabellerScalar, PipelineScalar)
OPAQUE = (Existence, EffectiveRidge, ResidualDegrees, *_FEATURES, SpectralIntegral, *_RECURSIONS, Slope, RoundTerm)


@dataclass(frozen=True)
class SolveRidge:
    """Solve the effective ridge of ``(T, lam)`` and its residual degrees of freedom."""

    kappa: Symbol
    residual: Symbol
    T: Expr
    lam: Expr


@dataclass(frozen=True)
class SolveFeatures:
    """Solve the effective ridge of a fit on random features, ``(T, m, lam)``, and its residual degrees of freedom."""

    kappa: Symbol
    residual: Symbol
    T: Expr
    m: Expr
    lam: Expr


@dataclass(frozen=True)
class Integrate:
    """Take integrals in one pass over the nodes; ``energy[i]`` says against which of the two measures."""

    names: tuple[Symbol, ...]
    integrands: tuple[Expr, ...]
    energy: tuple[bool, ...]


@dataclass(frozen=True)
class Recurse:
    """Run a recursion on the nodes; ``rule.run(measure, arguments)`` returns one value per name."""

    names: tuple[Symbol, ...]
    rule: Rule
    arguments: tuple[Expr, ...]


@dataclass(frozen=True)
class Unroll:
    """Evaluate terms that are derived for each number of rounds; :meth:`plan` is theirs, in the rule's parameters."""

    names: tuple[Symbol, ...]
    rule: RoundRule
    terms: tuple[str, ...]
    orders: tuple[int, ...]
    rounds: Expr
    arguments: tuple[Expr, ...]

    def plan(self, rounds: int) -> Plan:
        """Return the plan of the terms after so many rounds, derived once."""
        return _unrolled(self.rule, self.terms, self.orders, rounds)


@lru_cache(maxsize=256)
def _unrolled(rule: RoundRule, terms: tuple[str, ...], orders: tuple[int, ...], rounds: int) -> Plan:
    return compile_plan({name: rule.term(name, rounds, orders) for name in terms})


def round_count(value: Any) -> int:
    """Return a number of rounds as an integer.

    Raises:
        DomainError: If it is none.
    """
    count = int(value)
    if count != value or count < 0:
        raise DomainError(f"a number of rounds needs to be an integer >= 0, got {float(value):g}; change it")
    return count


Step = SolveRidge | SolveFeatures | Integrate | Recurse | Unroll


@dataclass(frozen=True)
class Plan:
    """Numeric steps and the outer expressions.

    Attributes:
        steps: In an order in which each only needs earlier ones.
        outputs: Name of each output and its scalar expression in the inputs and the steps' names.
    """

    steps: tuple[Step, ...]
    outputs: tuple[tuple[str, Expr], ...]

    @property
    def needs_target(self) -> bool:
        """Whether an integral against the target energies occurs."""
        return any(
            isinstance(s, Unroll)
            or (isinstance(s, Recurse) and not isinstance(s.rule, Verified))
            or (isinstance(s, Integrate) and any(s.energy))
            for s in self.steps
        )

    @property
    def needs_spectrum(self) -> bool:
        """Whether a step is on the eigenvalues."""
        return not all(
            isinstance(s, Recurse) and isinstance(s.rule, Verified) and not s.rule.covariances for s in self.steps
        )


def compile_plan(outputs: Mapping[str, Expr]) -> Plan:
    """Compile named expressions to one plan that shares their steps.

    Args:
        outputs: SymPy expressions by name.

    >>> from collapse_theory.symbols import T, lam
    >>> from collapse_theory.algebra.integrals import df
    >>> plan = compile_plan({"x": df(1, EffectiveRidge(T, lam))})
    >>> [type(step).__name__ for step in plan.steps]
    ['SolveRidge', 'Integrate']
    """
    builder = _Builder()
    lowered = tuple((name, builder.lower(e)) for name, e in outputs.items())
    return Plan(tuple(builder.ordered()), lowered)


class _Builder:
    def __init__(self) -> None:
        self.names: dict[Expr, Symbol] = {}
        self.steps: list[tuple[int, Step]] = []
        self.integrals: dict[int, list[tuple[Symbol, Expr, bool]]] = {}
        self.depth: dict[Symbol, int] = {}
        self.used = 0

    def lower(self, e: Expr) -> Expr:
        """Return ``e`` with every opaque node replaced by the name of the step that computes it."""
        found = set(_outermost(e))
        return e.xreplace({node: self.name(node) for node in sorted(found, key=lambda x: x.sort_key())})

    def name(self, node: Expr) -> Symbol:
        if node not in self.names:
            if isinstance(node, (EffectiveRidge, ResidualDegrees)):
                self._ridge(*node.args)
            elif isinstance(node, _FEATURES):
                self._features(*node.args)
            elif isinstance(node, Existence):
                verified = Verified(node.expression)
                self._recurse((node,), verified, verified.symbols)
            elif isinstance(node, _RECURSIONS):
                self._recurse(*_recursion(node))
            elif isinstance(node, Slope):
                self._slope(node)
            elif isinstance(node, RoundTerm):
                self._rounds(node)
            else:
                self._integral(node)
        return self.names[node]

    def ordered(self) -> list[Step]:
        passes: list[tuple[int, Step]] = [
            (level, Integrate(*(tuple(column) for column in zip(*members, strict=True))))
            for level, members in self.integrals.items()
        ]
        return [step for _, step in sorted(self.steps + passes, key=lambda item: item[0])]

    def _ridge(self, T: Expr, lam: Expr) -> None:
        solved = SolveRidge(self._new(), self._new(), self.lower(T), self.lower(lam))
        self.names[EffectiveRidge(T, lam)], self.names[ResidualDegrees(T, lam)] = solved.kappa, solved.residual
        self._place(solved, (solved.kappa, solved.residual), solved.T, solved.lam)

    def _features(self, T: Expr, m: Expr, lam: Expr) -> None:
        solved = SolveFeatures(self._new(), self._new(), self.lower(T), self.lower(m), self.lower(lam))
        self.names[FeatureRidge(T, m, lam)], self.names[FeatureResidual(T, m, lam)] = solved.kappa, solved.residual
        self._place(solved, (solved.kappa, solved.residual), solved.T, solved.m, solved.lam)

    def _slope(self, node: Slope) -> None:
        nodes, rule, arguments = _recursion(node.scalar)
        at_zero = {perturbation: S.Zero}
        slopes = [e.diff(perturbation).xreplace(at_zero) for e in arguments]
        moving = tuple(i for i, e in enumerate(slopes) if e != 0)
        values = [e.xreplace(at_zero) for e in arguments]
        self._recurse(tuple(map(Slope, nodes)), Tangent(rule, moving), (*values, *(slopes[i] for i in moving)))

    def _recurse(self, nodes: tuple[Expr, ...], rule: Rule, arguments: tuple[Expr, ...]) -> None:
        run = Recurse(tuple(self._new() for _ in nodes), rule, tuple(self.lower(e) for e in arguments))
        self.names.update(zip(nodes, run.names, strict=True))
        self._place(run, run.names, *run.arguments)

    def _rounds(self, node: RoundTerm) -> None:
        rule, _, rounds, values, orders = node.args
        if rounds.is_Integer:
            self.names[node] = self.lower(node.doit())
            return
        terms = rule.terms
        run = Unroll(
            tuple(self._new() for _ in terms), rule, terms, tuple(map(int, orders)),
            self.lower(rounds), tuple(self.lower(e) for e in values),
        )  # fmt: skip
        self.names.update(
            (RoundTerm(rule, Str(x), rounds, values, orders), y) for x, y in zip(terms, run.names, strict=True)
        )
        self._place(run, run.names, run.rounds, *run.arguments)

    def _integral(self, node: SpectralIntegral) -> None:
        f, name = self.lower(node.integrand), self._new()
        self.names[node] = name
        self.depth[name] = level = self._level(f)
        self.integrals.setdefault(level, []).append((name, f, isinstance(node, QuadraticForm)))

    def _place(self, step: Step, names: tuple[Symbol, ...], *needs: Expr) -> None:
        level = max((self._level(e) for e in needs), default=1)
        self.steps.append((level, step))
        self.depth.update(dict.fromkeys(names, level))

    def _level(self, e: Expr) -> int:
        return 1 + max((self.depth.get(x, 0) for x in e.free_symbols), default=0)

    def _new(self) -> Symbol:
        self.used += 1
        return step(self.used)


def _recursion(node: Expr) -> tuple[tuple[Expr, ...], Rule, tuple[Expr, ...]]:
    """Return the scalars that one run of a recursion gives, its rule, and the rule's arguments."""
    if isinstance(node, LabellerScalar):
        return node.both, *labeller_recursion(node)
    assert isinstance(node, PipelineScalar)
    system = FixedPoint(node.system)
    return (PipelineBias(*node.args), PipelineVariance(*node.args)), system, system.symbols


def _outermost(e: Expr) -> list[Expr]:
    found = []
    walk = preorder_traversal(e)
    for node in walk:
        if isinstance(node, OPAQUE):
            found.append(node)
            walk.skip()
    return found
