"""From a formula's evaluation plan to the lines of its source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sympy import Add, Eq, Expr, Integer, S, Symbol
from sympy.core.relational import Relational
from sympy.core.symbol import Str

from collapse_theory import symbols
from collapse_theory.algebra.feature_scalars import FeatureRidge
from collapse_theory.algebra.integrals import OffsetForm, QuadraticForm, SpectralIntegral, SpectralTrace, df
from collapse_theory.algebra.progressions import Stretch
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.derive.expressions import replaced
from collapse_theory.derive.fit_recursion import FitRecursion, fit_recursion, fit_recursion_in_rounds
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import FitStep, Fluctuation, Integrals, LabelledRows, Law, fitted, risk
from collapse_theory.derive.pooled import PooledSystem, pooled_system
from collapse_theory.derive.pooled_scalars import PipelineScalar
from collapse_theory.derive.rounds import RoundRule, RoundSum, round_sums
from collapse_theory.derive.written_out import WrittenOut, write_out
from collapse_theory.describe.truths import ENERGIES, Pair, pair_of
from collapse_theory.numerics.generations import Generations
from collapse_theory.numerics.plan import Plan, compile_plan
from collapse_theory.numerics.steps import (
    AddUp,
    Assign,
    Integrate,
    OnAtoms,
    Recurse,
    SolveEquations,
    SolveFeatures,
    SolvePooled,
    SolveRidge,
    Unroll,
)  # fmt: skip
from collapse_theory.present.code_statements import (
    Block,
    Call,
    Either,
    FixedPoint,
    For,
    Let,
    Listing,
    Recursion,
    Statement,
)  # fmt: skip
from collapse_theory.symbols import Eigenvalue, eigenvalue, eigenvalue_of, intermediate, ordered
from collapse_theory.symbols import d as dimension
from collapse_theory.theorems.catalog import catalog

__all__ = ["source_of"]

_LINES = 4  # fits up to which shared rows are written out line by line; more are a recursion


def source_of(formula: ErrorFormula, *, loops: bool = True) -> Listing:
    """Return the lines of a formula.

    Args:
        formula: The formula.
        loops: Whether a known number of equal fits is a loop; else each has lines of its own.

    Raises:
        DomainError: If a part of it has no lines: a derivative of a recursion, a finite-size correction.
    """
    for c in formula.conditions:
        if not isinstance(c, Relational):
            raise DomainError(f"code needs conditions that are relations, got {shown(c)} in {formula.name}; split it")
    plan = formula.program.plan
    spectra = _spectra(formula)
    lines = _Lines(formula, {x.name for x in spectra}, loops=loops)
    lines.follow(plan)
    result: Expr = S.Zero
    for name, e in plan.outputs:
        term = lines.said(e)
        result += term if term.is_Atom else lines.let(name, term)
    return Listing(
        re.sub(r"[^\w .-]", "", formula.name),  # it stands in strings and comments
        formula.regime,
        tuple(x for x in ordered(formula.free_symbols) if x != dimension or not spectra),
        tuple((x, formula.numbers[x]) for x in ordered(formula.numbers)),
        spectra,
        plan.needs_target,
        _offsets(formula),
        formula.isotropic,
        formula.conditions,
        tuple(lines.block),
        result,
    )


def _spectra(formula: ErrorFormula) -> tuple[Eigenvalue, ...]:
    """Return the eigenvalues of the covariances that a formula knows; none where it takes no integral."""
    found: set[Any] = {eigenvalue} if formula.program.plan.needs_spectrum else set()
    for e in formula.parts.values():
        for x in e.atoms(SpectralIntegral):
            found |= set(x.bound_symbols)
        for x in e.atoms(PipelineScalar):
            found |= {eigenvalue_of(name) for name in x.system.covariances}
    return tuple(sorted(found, key=lambda x: (x != eigenvalue, x.name)))


def _offsets(formula: ErrorFormula) -> tuple[Pair, ...]:
    """Return the pairs of truths other than the tested one twice that a formula integrates."""
    found: set[Pair] = set()
    for e in formula.parts.values():
        found |= {x.truths for x in e.atoms(OffsetForm)}
        for x in e.atoms(PipelineScalar):
            truths = (ENERGIES[0], *x.system.others)
            found |= {pair_of(u, v) for u in truths for v in truths}
    return tuple(sorted(found - {ENERGIES}))


class _Lines:
    """The lines of one block, and the names that stand for the steps of a plan."""

    def __init__(self, formula: ErrorFormula, taken: set[str], *, loops: bool) -> None:
        self.formula, self.loops = formula, loops
        self.block: list[Statement] = []
        self.names: dict[Expr, Expr] = {}
        self.taken = taken
        self.shares: dict[Expr, Expr] = {}

    def inner(self, block: list[Statement] | None = None) -> _Lines:
        """Return the lines of a block inside this one; of this one itself, with names of its own, if it is given."""
        out = _Lines(self.formula, self.taken, loops=self.loops)
        out.names, out.block = dict(self.names), [] if block is None else block
        return out

    def new(self, stem: str, kind: Any = intermediate) -> Any:
        """Return a name that is not used yet."""
        name, count = stem, 1
        while name in self.taken:
            count += 1
            name = f"{stem}_{count}"
        self.taken.add(name)
        return kind(name)

    def say(self, line: Statement) -> None:
        """Append a line."""
        self.block.append(line)

    def let(self, stem: str, value: Expr) -> Any:
        """Name a value: a scalar, or a function of the eigenvalues."""
        array = any(isinstance(x, Eigenvalue) for x in value.free_symbols)
        name = self.new(stem, Eigenvalue if array else intermediate)
        self.say(Let((name,), (value,)))
        return name

    def said(self, e: Expr) -> Expr:
        """Return an expression in the names of this block."""
        return replaced(e, self.names)

    # ------------------------------------------------------------------ steps of a plan
    def follow(self, plan: Plan) -> None:
        """Append the lines of the steps."""
        for step in plan.steps:
            if isinstance(step, SolveRidge):
                self._ridge(step.names, "effective_ridge", "residual_degrees", (step.T, step.lam))
            elif isinstance(step, SolveFeatures):
                self._ridge(step.names, "feature_ridge", "feature_residual", (step.T, step.m, step.lam))
            elif isinstance(step, Integrate):
                self._integrate(step)
            elif isinstance(step, Assign):
                self.names[step.names[0]] = self.let("x", self.said(step.expression))
            elif isinstance(step, AddUp):
                self._add_up(step)
            elif isinstance(step, SolveEquations):
                self._equations(step.names, step.unknowns, step.sides)
            elif isinstance(step, Recurse) and not step.along and isinstance(step.rule, Generations):
                self._recurse(step, step.rule)
            elif isinstance(step, SolvePooled) and not step.along:
                given = dict(zip(step.symbols, map(self.said, step.arguments), strict=True))
                self._results(step.names, self._pooled(step.system, given))
            elif isinstance(step, Unroll) and not any(step.orders):
                self._unroll(step)
            else:
                raise DomainError(_refusal(self.formula.name, step))

    def _ridge(self, names: tuple[Symbol, ...], solve: str, rest: str, arguments: tuple[Expr, ...]) -> None:
        given = tuple(map(self.said, arguments))
        kappa, residual = self.new("kappa"), self.new("residual")
        self.say(Call((kappa,), solve, (eigenvalue, *given)))
        self.say(Call((residual,), rest, (eigenvalue, *given, kappa)))
        self.names.update(zip(names, (kappa, residual), strict=True))

    def _integrate(self, step: Integrate) -> None:
        for name, f, energy in zip(step.names, step.integrands, step.energy, strict=True):
            integral = self.said(_integral(f, energy))
            whole = isinstance(integral, SpectralIntegral)
            self.names[name] = self.let(_stem(integral), integral) if whole else integral

    def _add_up(self, step: AddUp) -> None:
        total, index = self.let("total", S.Zero), self.new("i")
        term = step.term.xreplace({step.index: index})
        again = Let((total,), (total + self.said(term),))
        self.say(For(index, self.said(step.low), self.said(step.high), (again,)))
        self.names[step.names[0]] = total

    def _equations(self, names: Sequence[Symbol], unknowns: Sequence[Symbol], sides: Plan) -> None:
        inner = self.inner()
        own = [self.new("tau") for _ in unknowns]
        inner.names.update(zip(unknowns, own, strict=True))
        inner.follow(sides)
        self.say(FixedPoint(tuple(own), tuple(inner.block), tuple(inner.said(e) for _, e in sides.outputs)))
        self.names.update(zip(names, own, strict=True))

    def _results(self, names: Sequence[Symbol], values: Sequence[Expr]) -> None:
        self.names.update(zip(names, values, strict=True))

    # ------------------------------------------------------------------ fits on samples of their own
    def _recurse(self, step: Recurse, rule: Generations) -> None:
        values = iter(map(self.said, step.arguments))
        if all(places is None for places in rule.fits):
            self._results(step.names, self._chain(len(rule.fits), values))
        else:
            self._results(step.names, self._labellers(rule.fits, values))

    def _chain(self, runs: int, values: Iterator[Expr]) -> tuple[Expr, Expr]:
        """Say a chain of runs of equal fits: each a loop over the step that the derivation takes, on four functions."""
        names = [self.new(stem, Eigenvalue) for stem in ("kept", "lost", "target", "noise")]
        for name, start in zip(names, (S.One, S.Zero, S.Zero, S.Zero), strict=True):
            self.say(Let((name,), (start,)))
        for _ in range(runs):
            kappa, residual, variance, count = (next(values) for _ in range(4))
            step = self._step(kappa, residual)
            labels = [LabelledRows(S.One, S.Zero, S.Zero, {0: S.One})]
            law = fitted(_spread(*names), 1, labels, variance, step, _integrals())
            after = (law.kept[1], law.lost[1], *_shapes(law, 1))
            one_by_one = count.is_Integer and (count == 1 or not self.loops)
            for _ in range(int(count) if one_by_one else 1):
                inner = self.inner()
                lifted = tuple(inner.lifted(e) for e in after)
                inner.say(Let(tuple(names), lifted))
                block = tuple(inner.block)
                self.block += block if one_by_one else (For(self.new("i"), S.One, count, block),)
        bias, variance = risk(_spread(*names), 0, _integrals())
        return self.let("bias", self.said(bias)), self.let("variance", self.said(variance))

    def _labellers(self, fits: Sequence[Any], values: Iterator[Expr]) -> tuple[Expr, Expr]:
        """Say fits on samples of their own, the law of each with names."""
        law = Law({}, {}, ())
        for k, places in enumerate(fits):
            kappa, residual, noise = next(values), next(values), next(values)
            labels = [
                LabelledRows(next(values), next(values), next(values), {place: next(values) for place in group})
                for group in places
            ]
            law = self._named(fitted(law, k, labels, noise, self._step(kappa, residual), _integrals()), k)
        bias, variance = risk(law, len(fits) - 1, _integrals())
        return self.let("bias", self.said(bias)), self.let("variance", self.said(variance))

    def _step(self, kappa: Expr, residual: Expr) -> FitStep:
        kept = self.let("r", eigenvalue / (eigenvalue + kappa))
        lost = self.let("c", kappa / (eigenvalue + kappa))
        return FitStep(kept, lost, (1, lost**2), residual)

    def _named(self, law: Law, k: int) -> Law:
        """Return the law after fit ``k`` with names for what is new in it."""
        kept = {**law.kept, k: self.let("kept", self.lifted(law.kept[k]))}
        lost = {**law.lost, k: self.let("lost", self.lifted(law.lost[k]))}
        sources = []
        for x in law.sources:
            gains = {at: y if not _compound(y) else self.let("gain", y) for at, y in x.gains.items()}
            target, noise = (
                self.let(stem, self.said(y)) if _compound(y) else y for stem, y in (("x", x.target), ("y", x.noise))
            )
            sources.append(type(x)(target, noise, x.shape, gains))
        return Law(kept, lost, tuple(sources))

    def lifted(self, e: Expr) -> Expr:
        """Return a function of the eigenvalues with names for the integrals in it, which are scalars."""
        found = sorted(e.atoms(SpectralIntegral), key=lambda x: x.sort_key())
        return e.xreplace({x: self.let(_stem(x), x) for x in found})

    # ------------------------------------------------------------------ fits that share designs
    def _pooled(self, system: PooledSystem, given: Mapping[Expr, Expr]) -> tuple[Expr, ...]:
        recursion = fit_recursion(system) if len(system.fits) > _LINES else None
        if recursion is not None:
            names = (self.new("bias"), self.new("variance"))
            self.block += self._recursion(recursion, given, names)
            return names
        if system.feature_noises:
            raise DomainError(
                "code needs fits on inputs or linear features, got an activation; write the formula with latex() or to_json()"
            )
        written = write_out(system, terms=True)
        known: dict[Expr, Expr] = dict(given)
        self._solve_fits(written, known)
        ridges = {eigenvalue / (eigenvalue + kappa): kappa / (eigenvalue + kappa) for kappa in known.values()}
        for x, e in written.definitions.items():
            value = replaced(e, known)
            if isinstance(x, Eigenvalue):
                value = self.lifted(self._without_differences(value))
            known[x] = self.let(_plain(x.name), value)
            if value in ridges:
                self.shares[known[x]] = ridges[value]
        return tuple(self.said(replaced(e, known)) for e in written.results)

    def _without_differences(self, e: Expr) -> Expr:
        """Return a sum with what a fit loses in place of one minus what it keeps, which cancels at a small ridge."""
        for term in e.args if e.is_Add and S.One in e.args else ():
            if -term in self.shares:
                return e - 1 - term + self.shares[-term]
        return e

    def _solve_fits(self, written: WrittenOut, known: dict[Expr, Expr]) -> None:
        """Say the effective ridges and the other implicit scalars of the fits."""
        for ridge in written.ridges:
            rows, own = (e.xreplace(dict(known)) for e in ridge.args)
            if isinstance(own, FeatureRidge):  # the ridge of the features is that of the inputs' fit on them
                inner = self.new("kappa")
                self.say(Call((inner,), "feature_ridge", (eigenvalue, *own.args)))
                own = inner
            kappa = self.new("kappa")
            self.say(Call((kappa,), "effective_ridge", (eigenvalue, rows, own)))
            known[ridge] = kappa
        groups: dict[Any, list[Symbol]] = {}
        for x, eq in written.equations.items():  # those of one fit are solved together
            seen = eq.rhs.free_symbols | {y for f in eq.rhs.atoms(SpectralIntegral) for y in f.integrand.free_symbols}
            groups.setdefault(frozenset(seen & written.equations.keys()) | {x}, []).append(x)
        for unknowns in groups.values():
            names = {x: self.new("tau") for x in unknowns}
            known.update(names)
            sides = tuple(self.said(replaced(written.equations[x].rhs, known)) for x in unknowns)
            self.say(FixedPoint(tuple(names.values()), (), sides))

    # ------------------------------------------------------------------ any number of rounds
    def _unroll(self, step: Unroll) -> None:
        rounds = self.said(step.rounds)
        given = dict(zip(step.rule.parameters, map(self.said, step.arguments), strict=True))
        sums = round_sums(step.rule)
        if sums is not None:
            self._results(step.names, [self._round_sum(sums[name], given, rounds) for name in step.rule.terms])
            return
        recursion = _recursion_of(self.formula, step.rule)
        if recursion is None:
            raise DomainError(_refusal(self.formula.name, step))
        names = (self.new("bias"), self.new("variance"))
        block = self._recursion(recursion, {**given, symbols.n: rounds}, names)
        for c in reversed(range(step.rule.least, recursion.least)):  # the law of the others does not hold there
            inner = self.inner()
            terms = (inner._planned(step.rule.term(x, c, step.orders).xreplace(given)) for x in step.rule.terms)
            inner.say(Let(names, tuple(terms)))
            block = (Either(Eq(rounds, c), tuple(inner.block), block),)
        self.block += block
        self._results(step.names, names)

    def _round_sum(self, terms: RoundSum, given: Mapping[Expr, Expr], rounds: Expr) -> Expr:
        total = self.let("total", self._planned(terms.before.xreplace(dict(given))))
        if terms.summand != 0:
            index, inner = self.new("i"), self.inner()
            summand = inner._planned(terms.summand.xreplace({**given, terms.index: index}))
            inner.say(Let((total,), (total + summand,)))
            self.say(For(index, Integer(terms.first), rounds, tuple(inner.block)))
        return total

    def _planned(self, e: Expr) -> Expr:
        """Say what an expression needs, and return it in names."""
        plan = compile_plan({"value": e})
        inner = self.inner(self.block)
        inner.follow(plan)
        return inner.said(plan.outputs[0][1])

    def _recursion(self, recursion: FitRecursion, given: Mapping[Expr, Expr], names: tuple[Symbol, ...]) -> Block:
        """Return the recursion over fits and designs at the values of its symbols."""
        found = recursion.mapped(given)
        designs = []
        for x in found.designs:
            rows, seers, *common = x.element
            designs.append(
                (*_run(x), rows, seers, tuple(common) or None, None if common else found.relabelled[x.index])
            )
        return (Recursion(names, tuple((*_run(x), *x.element) for x in found.fits), tuple(designs)),)


def _run(run: Stretch) -> tuple[Expr, Expr, Expr]:
    return run.index, run.first, run.last


def _recursion_of(formula: ErrorFormula, rule: RoundRule) -> FitRecursion | None:
    """Return the recursion of a theorem at the symbol of its rounds; None if it is none over fits."""
    build = formula.pipeline
    if build is None or formula.name not in catalog or rule.terms != ("bias", "variance"):
        return None
    own = {x.name: x for x in rule.parameters}
    return fit_recursion_in_rounds(lambda c: pooled_system(build(**{**own, symbols.n.name: c})), rule.least)


def _refusal(about: str, step: Any) -> str:
    """Return what cannot be written line by line, and what to do instead."""
    if getattr(step, "along", ()) or any(getattr(step, "orders", ())):
        what = f"a recursion as it is, got a derivative of one in {about}; take differences of values of the source"
    elif isinstance(step, OnAtoms):
        what = (
            f"eigenvalues as an array, got a closed form on a few in {about}; write the formula before doit(spectrum)"
        )
    elif isinstance(step, Recurse):
        what = f"a formula without finite-size correction, got one in {about}; write the formula before corrected()"
    else:
        what = f"a formula of the theory, got {type(step).__name__} in {about}; print it with latex()"
    return f"code needs {what}"


# ---------------------------------------------------------------------- pieces of the law of a fit
def _integrals() -> Integrals:
    return Integrals(eigenvalue, SpectralTrace.written, QuadraticForm.written)


def _spread(kept: Expr, lost: Expr, target: Expr, noise: Expr) -> Law:
    """Return the law of one fit whose fluctuations are two functions."""
    return Law({0: kept}, {0: lost}, (Fluctuation(1, 0, target, {0: 1}), Fluctuation(0, 1, noise, {0: 1})))


def _shapes(law: Law, k: int) -> tuple[Expr, Expr]:
    """Return all that fit ``k`` has of the fluctuations, from the target and from the noises."""
    parts = [(x, x.shape * x.gains[k] ** 2) for x in law.sources if k in x.gains]
    return Add(*(x.target * h for x, h in parts)), Add(*(x.noise * h for x, h in parts))


def _compound(e: Any) -> bool:
    return isinstance(e, Expr) and not e.is_Atom


def _integral(f: Expr, truths: Pair | None) -> Expr:
    """Return the trace of a function, or its form in two truths."""
    if truths is None:
        return SpectralTrace.written(f)
    return QuadraticForm.written(f) if truths == ENERGIES else OffsetForm.written(f, *map(Str, truths))


def _stem(integral: Expr) -> str:
    """Return what an integral is called: a number of degrees of freedom, a trace or a form."""
    for order in (1, 2):
        for x in integral.integrand.free_symbols - {eigenvalue}:
            if integral == df(order, x):
                return f"df{order}"
    return "trace" if isinstance(integral, SpectralTrace) else "form"


def _plain(name: str) -> str:
    """Return a printed name without its braces."""
    return name.replace("{", "").replace("}", "").replace(",", "_").replace("'", "_")
