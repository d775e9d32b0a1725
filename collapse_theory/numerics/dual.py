r"""Dual numbers over any other arithmetic: a system of pooled fits and its derivative in one direction.

Everything runs in :mod:`.jets`, by the chain rule; only the solves differentiate their equations. A linear one,
:math:`Ax=b`, gives :math:`A\dot x=\dot b-\dot Ax`. The effective ridges of a fit obey the equations of :mod:`.resolvents`,

.. math:: g_i(x,\theta)=\frac{1}{x_i}\Big(c_i+\frac{a_i}{N}\sum_jd_j\,s_{ij}\rho_{ij}\,k_j(x,\theta)\Big)-1=0,\qquad
   \Big(-\frac{\partial g}{\partial\log x}\Big)\,\frac{\dot x}{x}=\frac{\partial g}{\partial\theta}\,\dot\theta,

the equation of the largest design in its complement form where the fit has many degrees of freedom.

Source: differentiation of an equation at its root, Griewank, Walther, Evaluating Derivatives, 2008, ch. 15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from sympy import Expr, Symbol

from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import Numbers
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers

__all__ = ["Dual"]


class Dual:
    """Numbers with a derivative.

    Args:
        base: The numbers of values and slopes.
    """

    def __init__(self, base: Numbers) -> None:
        self.base = base
        self.epsilon = base.epsilon

    def array(self, x: Any) -> Any:
        """Return an array, with slopes if an entry has one."""
        if isinstance(x, Jet):
            return x
        if isinstance(x, list) and any(isinstance(y, Jet) for y in x):
            entries: list[Any] = [y if isinstance(y, Jet) else self.base.array(y) for y in x]
            return np.stack(entries)
        return self.base.array(x)

    def evaluate(self, expressions: Sequence[Expr], values: Mapping[Symbol, Any]) -> list[Any]:
        """Return the values of expressions, and their slopes from their derivatives by the symbols that move."""
        moving = tuple(x for x, v in values.items() if isinstance(v, Jet))
        partial = _derivatives(tuple(expressions), moving)
        plain = {x: value_of(v) for x, v in values.items()}
        found = self.base.evaluate([*expressions, *(e for _, _, e in partial)], plain)
        out = found[: len(expressions)]
        for (i, x, _), derivative in zip(partial, found[len(expressions) :], strict=True):
            out[i] = out[i] + Jet(0, derivative * values[x].slope)
        return out

    def solve(self, matrix: Any, right: Any) -> Any:
        """Return ``x`` of ``matrix x = right``."""
        A, b = value_of(matrix), value_of(right)
        x = self.base.solve(A, b)
        slope = right.slope if isinstance(right, Jet) else 0 * b
        if isinstance(matrix, Jet):
            slope = slope - (matrix.slope * x[..., None, :]).sum(-1)
        return Jet(x, self.base.solve(A, slope))

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge and the residual degrees of freedom, values alone."""
        return self.base.ridge(measure, value_of(T), value_of(lam))

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for a fit on random features, values alone."""
        return self.base.features(measure, *map(value_of, (T, m, lam)))

    def resolvent(self, fit: FitNumbers) -> Resolvent:
        """Return the effective ridges of one fit with their slopes."""
        parts = (fit.s, fit.weights, fit.rows, fit.total_rows, fit.ridge)
        s, *rest = map(value_of, parts)
        plain = FitNumbers(s, fit.measure, *rest)
        found = self.base.resolvent(plain)
        if not any(isinstance(x, Jet) for x in parts):
            return found
        open_designs, open_directions = found.opened.designs, found.opened.directions
        one, ridge = self.base.array(1.0)[()], fit.ridge
        penalty = _where(open_directions, one, ridge)
        constant = _where(open_designs, ridge, one)
        reach = np.stack([penalty if is_open else 0 * penalty + 1 for is_open in open_designs])
        equations = _MovedEquations(fit, found.scale, fit.s * reach, penalty, constant, found.error)
        scale: Any = Jet(found.scale, found.scale * self.base.solve(*equations.newton()))
        mass = fit.weights * fit.rows / (fit.total_rows * scale)
        error: Any = Jet(found.error, (1 / (penalty + mass @ (fit.s * reach))).slope)
        return Resolvent(found.opened, scale, constant, error, penalty, found.residual)


class _MovedEquations:
    """The equations of one fit at their root ``x``, with parameters that move."""

    def __init__(self, fit: FitNumbers, x: np.ndarray, seen: Any, penalty: Any, constant: Any, k: np.ndarray) -> None:
        self.fit, self.x, self.seen, self.penalty, self.constant, self.k = fit, x, seen, penalty, constant, k

    def newton(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrix and the right-hand side of the slope of ``log x``."""
        fit, x, trace = self.fit, self.x, self.fit.measure.trace
        a = fit.weights / fit.total_rows
        load = fit.weights * fit.rows / (fit.total_rows * x)
        kernel = 1 / (self.penalty + load @ self.seen)
        gap = (self.constant + a * trace(self.seen * kernel)) / x - 1
        seen = value_of(self.seen)
        taken = seen * self.k * value_of(load)[:, None]
        pull = trace(seen[:, None, :] * self.k * taken) * (value_of(a) / x)[:, None]
        matrix, right = np.eye(len(x), dtype=int) - pull, gap.slope + 0 * x
        live = np.asarray((value_of(fit.s) > 0).any(axis=0)).astype(int)
        left = value_of(self.penalty) * self.k * live
        if trace(left) <= trace(live) / 2:
            r = int(np.argmax(value_of(fit.rows)))
            share = fit.rows * self.constant / x
            complement = share.sum() - trace(self.penalty * kernel * live) - fit.rows.sum()
            row = value_of(share) + trace(taken * left)
            matrix[r], right[r] = row / row.max(), value_of(0) + complement.slope / row.max()
        return matrix, right


def _where(condition: np.ndarray, a: Any, b: Any) -> Any:
    """Return one of two scalars by a condition."""
    mask = condition.astype(int)
    return mask * a + (1 - mask) * b


@lru_cache(maxsize=256)
def _derivatives(expressions: tuple[Expr, ...], moving: tuple[Symbol, ...]) -> tuple[tuple[int, Symbol, Expr], ...]:
    """Return the derivatives that do not vanish, with the position of the expression and the symbol."""
    found = ((i, x, e.diff(x)) for i, e in enumerate(expressions) for x in moving if e.has(x))
    return tuple((i, x, e) for i, x, e in found if e != 0)
