"""Expressions of a plan compiled to NumPy, with the magnitudes that tell where something cancels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sympy import Expr, Symbol
from sympy.printing.numpy import NumPyPrinter

from collapse_theory.describe.truths import ENERGIES
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.kernels import float64_kernels
from collapse_theory.numerics.magnitude import Magnitudes, input_sum
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.plan import Plan
from collapse_theory.numerics.steps import (
    CheckExistence,
    Integrate,
    OnAtoms,
    Recurse,
    SolveFeatures,
    SolvePooled,
    SolveRidge,
)
from collapse_theory.symbols import Eigenvalue, ordered

__all__ = ["Vectorised", "magnitudes_of"]


class _KernelPrinter(NumPyPrinter):
    """Prints small integer powers as products: NumPy's general power is ten times slower on arrays."""

    def _print_Pow(self, expr: Expr, rational: bool = False) -> str:
        base, exponent = expr.args
        if not (exponent.is_Integer and 2 <= abs(exponent) <= _PRODUCT):
            return str(super()._print_Pow(expr, rational=rational))
        product = "*".join([f"({self._print(base)})"] * abs(int(exponent)))
        return f"(1/({product}))" if exponent < 0 else f"({product})"


_PRODUCT = 8
_KERNEL_PRINTER = _KernelPrinter({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})


def magnitudes_of(plan: Plan) -> Magnitudes:
    """Return the magnitudes of a plan: ridges, and integrals of what cannot cancel, are not negative."""
    results: set[Symbol] = set()
    nonnegative: set[Symbol] = set()
    for planned in plan.steps:
        s = planned.step if isinstance(planned, OnAtoms) else planned
        if isinstance(s, SolveRidge | SolveFeatures):
            nonnegative |= set(s.names)
        elif isinstance(s, Integrate):
            results |= set(s.names)
            of = Magnitudes(frozenset(results), frozenset(nonnegative))
            each = zip(s.names, s.integrands, s.energy, strict=True)
            nonnegative |= {name for name, f, truths in each if of(f) == f and truths in {None, ENERGIES}}
        else:
            results |= set(s.names)
            if isinstance(s, CheckExistence) or (isinstance(s, Recurse | SolvePooled) and not s.along):
                nonnegative |= set(s.names)
    return Magnitudes(frozenset(results | nonnegative), frozenset(nonnegative))


class Vectorised:
    """Expressions compiled together, common sub-expressions named, called with an environment of arrays.

    Args:
        expressions: The expressions.
        magnitudes: Tells where something cancels.
        functions: Functions of arrays other than NumPy's, by the same names.
    """

    def __init__(
        self,
        expressions: tuple[Expr, ...],
        magnitudes: Magnitudes,
        functions: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
    ) -> None:
        found = ordered({x for e in expressions for x in e.free_symbols})
        self.inputs = [x for x in found if not isinstance(x, Eigenvalue)]
        nodes = [x for x in found if isinstance(x, Eigenvalue)]
        self.covariances = [x.name for x in nodes]
        watched = [i for i, e in enumerate(expressions) if magnitudes.can_cancel(e)]
        self.count, self.place = len(expressions), {i: k for k, i in enumerate(watched)}
        self.call: Callable[..., Any] = numeric_function(
            [*self.inputs, *nodes],
            [*expressions, *(magnitudes(expressions[i]) for i in watched)],
            modules=[{**float64_kernels(), "InputSum": input_sum, **functions}, "numpy"],
            cse=True,
            printer=_KERNEL_PRINTER,
        )

    def __call__(self, env: Mapping[Symbol, Any], measure: Measure | None) -> tuple[list[Any], list[Any]]:
        """Return the values, and the magnitudes of those in which something may cancel."""
        nodes = [] if measure is None else [measure.at(name) for name in self.covariances]
        out = list(self.call(*(env[x] for x in self.inputs), *nodes))
        values, sizes = out[: self.count], out[self.count :]
        return values, [sizes[self.place[i]] if i in self.place else None for i in range(self.count)]
