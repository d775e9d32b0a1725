"""Arithmetics whose numbers are objects, computed one point at a time: expressions as trees, sums as Python's.

The numbers of mpmath and counted operations share everything but the numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import add, mul
from typing import Any

import numpy as np
from sympy import Add, Expr, Mul, Number, NumberSymbol, Pow, Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.existence_check import check_existence
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.iteration import solve_equations
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import round_plan
from collapse_theory.numerics.pooled_point import pooled_terms
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers
from collapse_theory.numerics.steps import CheckExistence, Rule, SolveEquations, Unroll
from collapse_theory.symbols import Eigenvalue

__all__ = ["PointArithmetic"]


class PointArithmetic(ABC):
    """Object arrays of one kind of number.

    Attributes:
        epsilon: Relative distance of neighbouring numbers.
        kernels: Functions by SymPy class name.
    """

    epsilon: Any
    kernels: Mapping[str, Callable[..., Any]]

    @abstractmethod
    def number(self, x: Any) -> Any:
        """Return a float, an integer or a number of this kind as one; a SymPy number to the working precision."""

    @abstractmethod
    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge and the residual degrees of freedom."""

    @abstractmethod
    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for a fit on random features."""

    @abstractmethod
    def resolvent(self, fit: FitNumbers) -> Resolvent:
        """Return the effective ridges of one fit of a pooled system."""

    @abstractmethod
    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return ``x`` of ``matrix x = right``, shapes (..., n, n) and (..., n)."""

    def array(self, x: Any) -> np.ndarray:
        """Return an object array; floats and integers are taken exactly."""
        entries = np.asarray(x, dtype=object)
        out = np.empty(entries.shape, dtype=object)
        for i in np.ndindex(entries.shape):
            out[i] = self.number(entries[i])
        return out

    def evaluate(self, expressions: Sequence[Expr], values: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values by walking the trees, each distinct sub-expression once; rational constants are exact.

        Raises:
            DomainError: If a function has no kernel.
        """
        seen: dict[Expr, Any] = {}

        def value(x: Expr) -> Any:
            if x not in seen:
                seen[x] = compute(x)
            return seen[x]

        def compute(x: Expr) -> Any:
            if isinstance(x, Symbol):
                return values[x]
            if isinstance(x, (Number, NumberSymbol)):
                return self.number(x)
            arguments = [value(a) for a in x.args]
            # Arrays first: a number of mpmath would try to convert the array beside it, and print it to say that it cannot.
            if isinstance(x, Add | Mul):
                arguments.sort(key=lambda a: not isinstance(a, np.ndarray))
                return reduce(add if isinstance(x, Add) else mul, arguments)
            if isinstance(x, Pow):
                return arguments[0] ** (int(x.exp) if x.exp.is_Integer else arguments[1])
            kernel = self.kernels.get(type(x).__name__)
            if kernel is None:
                raise DomainError(f"digits= has no kernel for {type(x).__name__}; evaluate in float64 instead")
            return kernel(*arguments)

        return [value(e) for e in expressions]

    def integrate(
        self, measure: Measure, integrands: Sequence[Expr], energy: Sequence[bool], env: Mapping[Symbol, Any]
    ) -> list[Any]:
        """Return sums over the eigenvalues."""
        bound = {x for f in integrands for x in f.free_symbols if isinstance(x, Eigenvalue)}
        functions = self.evaluate(integrands, {**env, **{x: measure.at(x.name) for x in bound}})
        return [(measure.form if e else measure.trace)(f) for f, e in zip(functions, energy, strict=True)]

    def on_atoms(
        self,
        atoms: Sequence[Sequence[Any]],
        env: Mapping[Symbol, Any],
        step: Callable[[Measure, Mapping[Symbol, Any]], Sequence[Any]],
    ) -> Sequence[Any]:
        """Return the results of a step on the spectrum of these nodes, counts and energies."""
        nodes, counts, energies = atoms
        return step(Measure.of_atoms(self.array(nodes), [float(x) for x in counts], self.array(energies)), env)

    def equations(self, step: SolveEquations, measure: Measure, env: Mapping[Symbol, Any]) -> Sequence[Any]:
        """Return the positive solution of equations."""
        return solve_equations(step, partial(interpret, step.sides, self, measure), env, self.epsilon)

    def whole(self, x: Any) -> int:
        """Return an integer."""
        return int(x)

    def arguments(self, expressions: Sequence[Expr], env: Mapping[Symbol, Any]) -> list[Any]:
        """Return the arguments of a recursion."""
        return self.evaluate(expressions, env)

    def pooled(
        self, system: PooledSystem, measure: Measure, values: Mapping[Symbol, Any], direction: Mapping[Symbol, Any]
    ) -> tuple[Any, Any]:
        """Return bias and variance, or their slopes."""
        return pooled_terms(self, system, measure, values, direction)

    def recurse(self, rule: Rule, measure: Measure, arguments: Sequence[Any]) -> Sequence[Any]:
        """Return the results of a recursion over fits."""
        return rule.run(measure, arguments)

    def exists(self, step: CheckExistence, measure: Measure | None, arguments: Sequence[Any]) -> Any:
        """Return one; whether there is an equivalent is told in float64."""
        check_existence(step, measure, arguments)
        return self.number(1)

    def unroll(self, step: Unroll, measure: Measure, rounds: Any, arguments: Sequence[Any]) -> list[Any]:
        """Return the terms after a number of rounds."""
        values = dict(zip(step.rule.parameters, arguments, strict=True))
        outputs = interpret(round_plan(step.rule, step.orders, float(rounds)), self, measure, values)
        return [outputs[name] for name in step.rule.terms]
