"""The meaning of a plan: each step in turn, in any arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from sympy import Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.numerics.arithmetic import Arithmetic
from collapse_theory.numerics.jets import Jet
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import Plan
from collapse_theory.numerics.steps import (
    AddUp,
    Assign,
    CheckExistence,
    Integrate,
    OnAtoms,
    Recurse,
    SolveEquations,
    SolveFeatures,
    SolvePooled,
    SolveRidge,
    Step,
)

__all__ = ["interpret"]

_Environment = Mapping[Symbol, Any]

_MOST_TERMS = 1_000_000
_NOTHING: _Environment = MappingProxyType({})


def interpret(
    plan: Plan,
    arithmetic: Arithmetic,
    measure: Measure | None,
    values: Mapping[Symbol, Any],
    ahead: Mapping[Symbol, Any] = _NOTHING,
) -> dict[str, Any]:
    """Return the outputs of a plan by name.

    Args:
        plan: Steps and outputs.
        arithmetic: The numbers, and how they are computed with.
        measure: Eigenvalues, counts and energies in these numbers; None if no step is on the eigenvalues.
        values: Inputs by symbol, in these numbers. They may have the names of steps, where a plan runs inside another one.
        ahead: Results of some of its steps that are known already.
    """
    env = {**values, **ahead}
    for step in plan.steps:
        if step.names[0] not in ahead:
            env.update(zip(step.names, _results(step, arithmetic, measure, env), strict=True))
    names, expressions = zip(*plan.outputs, strict=True)
    return dict(zip(names, arithmetic.evaluate(expressions, env), strict=True))


def _results(step: Step, arithmetic: Arithmetic, measure: Measure | None, env: _Environment) -> Sequence[Any]:
    if isinstance(step, Assign):
        return arithmetic.evaluate((step.expression,), env)
    if isinstance(step, AddUp):
        return (_added_up(step, arithmetic, env),)
    if isinstance(step, CheckExistence):
        return (arithmetic.exists(step, measure, arithmetic.arguments(step.arguments, env)),)
    if isinstance(step, OnAtoms):
        atoms = [arithmetic.evaluate(x, env) for x in (step.nodes, step.counts, step.energies)]
        return arithmetic.on_atoms(atoms, env, partial(_results, step.step, arithmetic))
    if measure is None:
        raise AssertionError("a step on the eigenvalues needs a measure")
    if isinstance(step, SolveEquations):
        return arithmetic.equations(step, measure, env)
    if isinstance(step, SolveRidge):
        return arithmetic.ridge(measure, *arithmetic.evaluate((step.T, step.lam), env))
    if isinstance(step, SolveFeatures):
        return arithmetic.features(measure, *arithmetic.evaluate((step.T, step.m, step.lam), env))
    if isinstance(step, Integrate):
        return arithmetic.integrate(measure, step.integrands, step.energy, env)
    if isinstance(step, Recurse):
        return _recursion(step, arithmetic, measure, env)
    if isinstance(step, SolvePooled):
        values, slopes = _arguments(step, arithmetic, env)
        point = dict(zip(step.symbols, values, strict=True))
        return arithmetic.pooled(step.system, measure, point, {step.symbols[i]: x for i, x in slopes.items()})
    rounds, *arguments = arithmetic.evaluate((step.rounds, *step.arguments), env)
    return arithmetic.unroll(step, measure, rounds, arguments)


def _added_up(step: AddUp, arithmetic: Arithmetic, env: _Environment) -> Any:
    """Return a finite sum; points of different bounds run to the largest, each adding up its own terms."""
    low, high = arithmetic.evaluate((step.low, step.high), env)
    first, last = arithmetic.whole(np.ravel(low).min()), arithmetic.whole(np.ravel(high).max())
    if last - first >= _MOST_TERMS:
        raise DomainError(f"a sum needs at most {_MOST_TERMS} terms, got {last - first + 1}; write it in closed form")
    total: Any = 0 * high
    for i in range(first, last + 1):
        (term,) = arithmetic.evaluate((step.term,), {**env, step.index: 0 * low + i})
        total = total + term * ((low <= i) & (i <= high))
    return total


def _recursion(step: Recurse, arithmetic: Arithmetic, measure: Measure, env: _Environment) -> Sequence[Any]:
    """Run a recursion on columns; its slope is that of a run in dual numbers."""
    values, slopes = _arguments(step, arithmetic, env)
    jets = [Jet(_column(x), _column(slopes[i])) if i in slopes else _column(x) for i, x in enumerate(values)]
    results = arithmetic.recurse(step.rule, measure, jets)
    if step.along:
        results = tuple(x.slope if isinstance(x, Jet) else 0 * x for x in results)
    return [_scalar(x) for x in results]


def _arguments(
    step: Recurse | SolvePooled, arithmetic: Arithmetic, env: _Environment
) -> tuple[list[Any], dict[int, Any]]:
    """Return the arguments of a step, and the slopes of those that move, by position."""
    moving = [i for i, e in enumerate(step.along) if e != 0]
    numbers = arithmetic.arguments((*step.arguments, *(step.along[i] for i in moving)), env)
    count = len(step.arguments)
    return numbers[:count], dict(zip(moving, numbers[count:], strict=True))


def _column(x: Any) -> Any:
    """Return a value per point as a column, to be broadcast over the eigenvalues."""
    return x[:, None] if np.ndim(x) else x


def _scalar(x: Any) -> Any:
    """Return numbers of another arithmetic as such: arrays hold them as objects."""
    return x.item() if isinstance(x, np.ndarray) and x.dtype == object else x
