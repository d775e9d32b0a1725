"""The evaluation plan: an expression compiled to a short list of numeric steps.

Opaque nodes become steps (solve an effective ridge, take integrals, run a chain of generations), what is left is one
outer scalar expression per output. A plan is data: picklable, printable, interpreted by any arithmetic. A new kind of
opaque node joins by a case in :func:`compile_plan`; a new arithmetic by an interpreter of these few steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, Symbol, preorder_traversal

from collapse_theory.equivalents.chain import ChainBias, ChainScalar, ChainVariance
from collapse_theory.equivalents.mean_labeller import PooledBias, PooledVariance
from collapse_theory.equivalents.pipeline_scalars import PipelineBias, PipelineScalar, PipelineVariance
from collapse_theory.equivalents.random_features import FeatureResidual, FeatureRidge
from collapse_theory.evaluate.recursions import FixedPoint, Generations, Rule, pooled_labels
from collapse_theory.spectral.implicit import EffectiveRidge, ResidualDegrees
from collapse_theory.spectral.integrals import QuadraticForm, SpectralIntegral
from collapse_theory.symbols import step

__all__ = ["Integrate", "Plan", "Recurse", "SolveFeatures", "SolveRidge", "Step", "compile_plan"]

_FEATURES = (FeatureRidge, FeatureResidual)
OPAQUE = (EffectiveRidge, ResidualDegrees, *_FEATURES, SpectralIntegral, ChainScalar, PooledBias, PipelineScalar)


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


Step = SolveRidge | SolveFeatures | Integrate | Recurse


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
        return any(isinstance(s, Recurse) or (isinstance(s, Integrate) and any(s.energy)) for s in self.steps)


def compile_plan(outputs: Mapping[str, Expr]) -> Plan:
    """Compile named expressions to one plan that shares their steps.

    Args:
        outputs: SymPy expressions by name.

    >>> from collapse_theory.symbols import T, lam
    >>> from collapse_theory.spectral.integrals import df
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
            elif isinstance(node, ChainScalar):
                self._chain(node)
            elif isinstance(node, PooledBias):
                self._pooled(node)
            elif isinstance(node, PipelineScalar):
                rule = FixedPoint(node.system)
                self._recurse((PipelineBias(*node.args), PipelineVariance(*node.args)), rule, rule.symbols)
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

    def _chain(self, node: ChainScalar) -> None:
        stages = tuple(
            (
                self.name(EffectiveRidge(T, lam)),
                self.name(ResidualDegrees(T, lam)),
                self.lower(sigma),
                self.lower(count),
            )
            for T, lam, sigma, count in node.stages
        )
        arguments = tuple(e for stage in stages for e in stage)
        self._recurse((ChainBias(*node.args), ChainVariance(*node.args)), Generations(len(stages)), arguments)

    def _pooled(self, node: PooledBias) -> None:
        rule, arguments = pooled_labels(node.stages)
        kappas = tuple(self.name(EffectiveRidge(stage.T, stage.lam)) for stage in node.stages)
        residuals = tuple(self.name(ResidualDegrees(stage.T, stage.lam)) for stage in node.stages)
        lowered = tuple(self.lower(e) for e in arguments)
        self._recurse((PooledBias(*node.args), PooledVariance(*node.args)), rule, kappas + residuals + lowered)

    def _recurse(self, nodes: tuple[Expr, ...], rule: Rule, arguments: tuple[Expr, ...]) -> None:
        run = Recurse(tuple(self._new() for _ in nodes), rule, arguments)
        self.names.update(zip(nodes, run.names, strict=True))
        self._place(run, run.names, *arguments)

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


def _outermost(e: Expr) -> list[Expr]:
    found = []
    walk = preorder_traversal(e)
    for node in walk:
        if isinstance(node, OPAQUE):
            found.append(node)
            walk.skip()
    return found
