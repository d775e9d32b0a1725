"""The evaluation plan: an expression compiled to a short list of numeric steps.

Opaque nodes become :mod:`.steps` (solve an effective ridge, take integrals, run a chain of generations), what is left is
one outer scalar expression per output. A plan is data: picklable, printable, interpreted in any arithmetic
(:mod:`.interpreter`). A new kind of opaque node joins by a case in :func:`compile_plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sympy import Expr, S, Sum, Symbol, preorder_traversal
from sympy.core.symbol import Str

from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.atomic_spectrum import AtomicFeatureResidual, AtomicFeatureRidge
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.implicit_root import ImplicitRoot
from collapse_theory.algebra.integrals import QuadraticForm, SpectralIntegral
from collapse_theory.algebra.named_lines import NamedLines
from collapse_theory.algebra.secular import SecularSum
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.atomic_chain import AtomicChain
from collapse_theory.derive.corrected import CorrectedScalar
from collapse_theory.derive.filter_chain import FilterScalar
from collapse_theory.derive.labeller_scalars import LabellerScalar
from collapse_theory.derive.pooled_scalars import PipelineBias, PipelineScalar, PipelineVariance
from collapse_theory.derive.rounds import RoundRule, RoundTerm
from collapse_theory.derive.slopes import Slope
from collapse_theory.engine.equivalent import deterministic_equivalent
from collapse_theory.engine.guard import Existence
from collapse_theory.numerics.chain_correction import corrected_recursion
from collapse_theory.numerics.filtered_fits import filter_recursion
from collapse_theory.numerics.generations import labeller_recursion
from collapse_theory.numerics.steps import (
    AddUp,
    Assign,
    CheckExistence,
    Integrate,
    OnAtoms,
    Recurse,
    Rule,
    SolveEquations,
    SolveFeatures,
    SolvePooled,
    SolveRidge,
    Step,
    Unroll,
)
from collapse_theory.symbols import ordered, perturbation, step

__all__ = ["Plan", "compile_plan", "round_plan", "slopes_plan"]

_ATOMIC = (AtomicRidge, AtomicResidual)
_ATOMIC_FEATURES = (AtomicFeatureRidge, AtomicFeatureResidual)
_FEATURES = (FeatureRidge, FeatureResidual)
_RECURSIONS = (LabellerScalar, PipelineScalar)
OPAQUE = (
    Existence,
    EffectiveRidge,
    ResidualDegrees,
    *_ATOMIC,
    *_ATOMIC_FEATURES,
    *_FEATURES,
    SpectralIntegral,
    *_RECURSIONS,
    AtomicChain,
    SecularSum,
    Slope,
    RoundTerm,
    NamedLines,
    ImplicitRoot,
    Sum,
)


@dataclass(frozen=True)
class Plan:
    """Numeric steps and the outer expressions.

    Attributes:
        steps: In an order in which each only needs earlier ones.
        outputs: Name of each output and its scalar expression in the inputs and the steps' names.
    """

    steps: tuple[Step, ...]
    outputs: tuple[tuple[str, Expr], ...]

    def __str__(self) -> str:
        return "\n".join([*map(str, self.steps), *(f"{name} = {e}" for name, e in self.outputs)])

    @property
    def needs_target(self) -> bool:
        """Whether an integral against the target energies occurs."""
        return any(
            isinstance(s, Unroll | Recurse | SolvePooled) or (isinstance(s, Integrate) and any(s.energy))
            for s in self.steps
        )

    @property
    def needs_spectrum(self) -> bool:
        """Whether a step is on the eigenvalues."""
        own = (s for s in self.steps if not isinstance(s, OnAtoms | AddUp | Assign))
        return not all(isinstance(s, CheckExistence) and not s.covariances for s in own)


def compile_plan(outputs: Mapping[str, Expr]) -> Plan:
    """Compile named expressions to one plan that shares their steps.

    Args:
        outputs: SymPy expressions by name.

    >>> from collapse_theory.symbols import T, lam
    >>> from collapse_theory.algebra.integrals import df
    >>> plan = compile_plan({"x": df(1, EffectiveRidge(T, lam))})
    >>> [type(step).__name__ for step in plan.steps]
    ['SolveRidge', 'Integrate']
    >>> print(plan)
    _step1, _step2 = effective ridge (T, lam)
    _step3 = sum counts * (Sigma/(Sigma + _step1))
    x = _step3
    """
    builder = _Builder()
    lowered = tuple((name, builder.lower(e)) for name, e in outputs.items())
    return Plan(tuple(builder.ordered()), lowered)


@lru_cache(maxsize=256)
def round_plan(rule: RoundRule, orders: tuple[int, ...], rounds: Any) -> Plan:
    """Return the plan of the terms of a rule after so many rounds, in the rule's parameters; derived once.

    Raises:
        DomainError: If the number of rounds is none.
    """
    count = int(rounds)
    if count != rounds or count < 0:
        raise DomainError(f"a number of rounds needs to be an integer >= 0, got {float(rounds):g}; change it")
    return compile_plan({name: rule.term(name, count, orders) for name in rule.terms})


@lru_cache(maxsize=64)
def slopes_plan(expressions: tuple[Expr, ...], unknowns: tuple[Symbol, ...]) -> Plan:
    """Return the plan of the derivatives of expressions by unknowns, row by row."""
    return compile_plan({f"{i},{x}": e.diff(x) for i, e in enumerate(expressions) for x in unknowns})


class _Builder:
    def __init__(self) -> None:
        self.names: dict[Expr, Expr] = {}
        self.steps: list[tuple[int, Step]] = []
        self.integrals: dict[int, list[tuple[Symbol, Expr, bool]]] = {}
        self.depth: dict[Symbol, int] = {}
        self.used = 0

    def lower(self, e: Expr) -> Expr:
        """Return ``e`` with every opaque node replaced by the name of the step that computes it."""
        found = set(_outermost(e))
        return e.xreplace({node: self.name(node) for node in sorted(found, key=lambda x: x.sort_key())})

    def name(self, node: Expr) -> Expr:  # noqa: C901 - one case per kind of node
        if node not in self.names:
            if isinstance(node, (EffectiveRidge, ResidualDegrees)):
                self._ridge(*node.args)
            elif isinstance(node, _ATOMIC + _ATOMIC_FEATURES):
                self._atomic(node)
            elif isinstance(node, AtomicChain):
                self._atomic_chain(node)
            elif isinstance(node, SecularSum):
                self._secular(node)
            elif isinstance(node, _FEATURES):
                self._features(*node.args)
            elif isinstance(node, Existence):
                self._existence(node)
            elif isinstance(node, PipelineScalar):
                self._pooled(node)
            elif isinstance(node, _RECURSIONS):
                self._recurse(*_recursion(node))
            elif isinstance(node, Slope):
                self._slope(node)
            elif isinstance(node, RoundTerm):
                self._rounds(node)
            elif isinstance(node, NamedLines):
                self._lines(node)
            elif isinstance(node, ImplicitRoot):
                self._equations(node)
            elif isinstance(node, Sum):
                self._sum(node)
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
        needs = self._lowered((T, lam))
        solved = SolveRidge((self._new(), self._new()), *needs)
        self._named((EffectiveRidge(T, lam), ResidualDegrees(T, lam)), solved, *needs)

    def _atomic(self, node: Expr) -> None:
        needs, names = self._lowered(node.args), (self._new(), self._new())
        ridge: SolveRidge | SolveFeatures
        if isinstance(node, _ATOMIC):
            T, *flat, lam = needs
            kinds, ridge = _ATOMIC, SolveRidge(names, T, lam)
        else:
            T, m, *flat, lam = needs
            kinds, ridge = _ATOMIC_FEATURES, SolveFeatures(names, T, m, lam)
        run = OnAtoms(ridge, tuple(flat[::2]), tuple(flat[1::2]))
        self._named(tuple(kind(*node.args) for kind in kinds), run, *needs)

    def _atomic_chain(self, node: AtomicChain) -> None:
        rule, arguments = labeller_recursion(node.chain)
        arguments = tuple(node.spectrum.closed(e) for e in arguments)
        values, along = self._moving(arguments) if isinstance(node.scalar, Slope) else (self._lowered(arguments), ())
        nodes, counts, energies = (self._lowered(column) for column in zip(*node.spectrum.triples, strict=True))
        run = OnAtoms(Recurse((self._new(), self._new()), rule, values, along), nodes, counts, energies)
        self._named(node.both(), run, *values, *along, *nodes, *counts, *energies)

    def _secular(self, node: SecularSum) -> None:
        written = node.doit()
        if written == node:
            raise DomainError(
                f"a sum over secular roots has a value where there are two, got {len(node.args[2])}; evaluate the formula "
                "before doit(), which runs the recursion"
            )
        self.names[node] = self.lower(written)

    def _features(self, T: Expr, m: Expr, lam: Expr) -> None:
        needs = self._lowered((T, m, lam))
        solved = SolveFeatures((self._new(), self._new()), *needs)
        self._named((FeatureRidge(T, m, lam), FeatureResidual(T, m, lam)), solved, *needs)

    def _existence(self, node: Existence) -> None:
        equivalent = deterministic_equivalent(node.expression)
        names = tuple(sorted(name for names in equivalent.pencil.covariances.values() for name in names))
        found = ordered(equivalent.symbols.values())
        arguments = self._lowered(found)
        self._named((node,), CheckExistence((self._new(),), node.expression, names, found, arguments), *arguments)

    def _pooled(self, node: PipelineScalar, *, slope: bool = False) -> None:
        nodes: tuple[Expr, ...] = (PipelineBias(*node.args), PipelineVariance(*node.args))
        system, found = node.system, node.system.symbols
        values, along = self._moving(found) if slope else (self._lowered(found), ())
        run = SolvePooled((self._new(), self._new()), system, found, values, along)
        self._named(tuple(map(Slope, nodes)) if slope else nodes, run, *values, *along)

    def _recurse(
        self,
        nodes: tuple[Expr, ...],
        rule: Rule,
        arguments: tuple[Expr, ...],
        *,
        slope: bool = False,
    ) -> None:
        values, along = self._moving(arguments) if slope else (self._lowered(arguments), ())
        run = Recurse(tuple(self._new() for _ in nodes), rule, values, along)
        self._named(tuple(map(Slope, nodes)) if slope else nodes, run, *values, *along)

    def _slope(self, node: Slope) -> None:
        if isinstance(node.scalar, PipelineScalar):
            self._pooled(node.scalar, slope=True)
        else:
            self._recurse(*_recursion(node.scalar), slope=True)

    def _moving(self, arguments: tuple[Expr, ...]) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
        """Return values and slopes of arguments that depend on the bound perturbation."""
        at_zero = {perturbation: S.Zero}
        slopes = tuple(e.diff(perturbation).xreplace(at_zero) for e in arguments)
        return self._lowered(tuple(e.xreplace(at_zero) for e in arguments)), self._lowered(slopes)

    def _lowered(self, arguments: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(self.lower(e) for e in arguments)

    def _rounds(self, node: RoundTerm) -> None:
        rule, _, rounds, values, orders = node.args
        if rounds.is_Integer:
            self.names[node] = self.lower(node.doit())
            return
        terms = rule.terms
        arguments = self._lowered(values)
        run = Unroll(tuple(self._new() for _ in terms), rule, tuple(map(int, orders)), self.lower(rounds), arguments)
        nodes = tuple(RoundTerm(rule, Str(name), rounds, values, orders) for name in terms)
        self._named(nodes, run, run.rounds, *arguments)

    def _lines(self, node: NamedLines) -> None:
        known: dict[Symbol, Symbol] = {}
        for x, definition in node.lines:
            e = self.lower(definition.xreplace(known))
            known[x] = name = self._new()
            self.steps.append((self._level(e), Assign((name,), e)))
            self.depth[name] = self._level(e)
        self.names[node] = self.lower(node.result.xreplace(known))

    def _equations(self, node: ImplicitRoot) -> None:
        unknowns, sides = zip(*node.system, strict=True)
        plan = compile_plan({str(i): f for i, f in enumerate(sides)})
        names = tuple(self._new() for _ in unknowns)
        nodes = tuple(ImplicitRoot(node.args[0], i) for i in range(len(unknowns)))
        self._named(nodes, SolveEquations(names, unknowns, sides, plan), *sides)

    def _sum(self, node: Sum) -> None:
        term, (index, low, high) = node.function, node.limits[0]
        if len(node.limits) > 1 or _outermost(term):
            raise DomainError(
                f"a finite sum needs terms without traces, ridges and further sums, got {node}; write it out"
            )
        bounds = self._lowered((low, high))
        self._named((node,), AddUp((self._new(),), term, index, *bounds), term, *bounds)

    def _integral(self, node: SpectralIntegral) -> None:
        f, name = self.lower(node.integrand), self._new()
        self.names[node] = name
        self.depth[name] = level = self._level(f)
        self.integrals.setdefault(level, []).append((name, f, isinstance(node, QuadraticForm)))

    def _named(self, nodes: tuple[Expr, ...], step: Step, *needs: Expr) -> None:
        """Place a step that computes these nodes and needs those expressions."""
        self.names.update(zip(nodes, step.names, strict=True))
        level = max((self._level(e) for e in needs), default=1)
        self.steps.append((level, step))
        self.depth.update(dict.fromkeys(step.names, level))

    def _level(self, e: Expr) -> int:
        return 1 + max((self.depth.get(x, 0) for x in e.free_symbols), default=0)

    def _new(self) -> Symbol:
        self.used += 1
        return step(self.used)


def _recursion(node: Expr) -> tuple[tuple[Expr, ...], Rule, tuple[Expr, ...]]:
    """Return the scalars that one run of a recursion gives, its rule, and the rule's arguments."""
    if isinstance(node, CorrectedScalar):
        return node.both, *corrected_recursion(node)
    if isinstance(node, FilterScalar):
        return node.both, *filter_recursion(node)
    return node.both, *labeller_recursion(node)


def _outermost(e: Expr) -> list[Expr]:
    found = []
    walk = preorder_traversal(e)
    for node in walk:
        if isinstance(node, OPAQUE):
            found.append(node)
            walk.skip()
    return found
