r"""The fixed point in float64: nothing is expanded, the scalar unknowns are solved component by component.

A function of the covariance is the array of its values at the eigenvalues, and a trace is a dot product with the
multiplicities. The nonlinear unknowns of an atom are found by Newton's iteration, safeguarded by plain fixed-point
steps and, where these stall, by continuation in the strength of the randomness: the solution is the one that connects
to the deterministic matrix. Each is checked by its residual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from sympy import Expr, Symbol, default_sort_key

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.engine.fixed_point import Atom, Solution, solve
from collapse_theory.engine.triangular import Structure, Unknown
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.symbols import Eigenvalue, ordered

__all__ = ["ITERATIONS", "TOLERANCE", "Nodes", "NumericArithmetic", "expressions_of", "solve_numeric", "tabulate"]

TOLERANCE = 1e-11  # residual of an accepted solution, relative to the unknown; Newton gets to round-off well before
_SETTLED = 1e-15
ITERATIONS = 300
_DAMPED = 0.5 ** np.arange(8)
_LONGEST = 200.0  # a step of the logarithms that stays within float64


@dataclass(frozen=True)
class Nodes:
    """The eigenvalues of one space: those of its covariances in a common eigenbasis, with multiplicities.

    Attributes:
        values: Eigenvalues by covariance name, each of shape (k,); empty for a space without covariance.
        counts: Multiplicities, shape (k,), summing to the dimension.
    """

    values: Mapping[str, np.ndarray]
    counts: np.ndarray


@dataclass
class NumericArithmetic:
    """Arrays over the nodes of each space.

    Attributes:
        spaces: Nodes by dimension.
        parameters: Values of the free symbols.
        functions: Values of the expressions that occur.
        start: Values of the nonlinear unknowns known beforehand, by atom; they are verified, and polished.
        residual: Largest relative residual met so far.
    """

    spaces: Mapping[Expr, Nodes]
    functions: Mapping[Expr, Any]
    start: Callable[[Atom], Sequence[float] | None] = lambda _: None
    residual: float = field(default=0.0)

    def function(self, f: Expr) -> Any:
        """Return the values at the nodes."""
        return self.functions[f] if f in self.functions else float(f)

    def trace(self, dimension: Expr, f: Any) -> float:
        """Return the sum over the eigenvalues."""
        counts = self.spaces[dimension].counts
        return float(counts @ f) if np.ndim(f) else float(counts.sum()) * float(f)

    def inverse(self, dimension: Expr, m: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse at every node."""
        if len(m) == 1:
            return [[1 / np.asarray(m[0][0])]]
        shape = np.broadcast_shapes(*(np.shape(x) for row in m for x in row))
        stack = np.stack([np.stack([np.broadcast_to(x, shape) for x in row], -1) for row in m], -2)
        try:
            out = np.linalg.inv(stack)
        except np.linalg.LinAlgError as e:
            raise ConvergenceError(
                f"a block of dimension {dimension} is singular at these values; move away from the threshold"
            ) from e
        return [[out[..., r, c] for c in range(len(m))] for r in range(len(m))]

    def linear(
        self, unknowns: Sequence[Unknown], constant: Sequence[Any], slope: Mapping[tuple[int, int], Any]
    ) -> Sequence[float]:
        """Return the solution of a linear component."""
        c, x = self._system(unknowns, constant, slope)
        try:
            return list(np.linalg.solve(np.eye(len(c)) - x, c))
        except np.linalg.LinAlgError as e:
            raise ConvergenceError(
                "a linear component is singular at these values; move away from the threshold"
            ) from e

    def nonlinear(self, atom: Atom) -> Sequence[float]:
        """Return the solution of one atom's unknowns, on the branch that connects to the deterministic matrix."""
        if not atom.unknowns:
            return []
        given = self.start(atom)
        x, gap = self._newton(
            atom, np.zeros(len(atom.unknowns)) if given is None else np.array(given, dtype=float), 1.0
        )
        if gap > TOLERANCE:
            x = np.zeros(len(atom.unknowns))
            for strength in np.linspace(0, 1, 41)[1:] ** 0.5:
                x, gap = self._newton(atom, x, float(strength))
        if not gap <= TOLERANCE:
            raise ConvergenceError(
                f"a nonlinear component of {len(x)} unknowns did not converge, relative residual {gap:.1e}; "
                "move away from the threshold, or give a ridge > 0"
            )
        self.residual = max(self.residual, gap)
        return list(x)

    def _newton(
        self, atom: Atom, x: np.ndarray, strength: float, iterations: int = ITERATIONS
    ) -> tuple[np.ndarray, float]:
        """Return the best point and its relative residual, with eta scaled by ``strength**2``."""
        best, best_gap, stalled = x, np.inf, 0
        image, slope = self._image(atom, x, strength)
        for _ in range(iterations):
            gap = _relative(image, x)
            if gap < best_gap:
                stalled = 0 if gap < best_gap / 2 else stalled + 1
                best, best_gap = x, gap
            else:
                stalled += 1
            if gap <= _SETTLED or (best_gap <= TOLERANCE and stalled > 3):
                break
            for trial in _trials(x, image, slope):
                following = self._improved(atom, trial, strength, gap)
                if following is not None:
                    x, (image, slope) = trial, following
                    break
            else:
                x = image
                image, slope = self._image(atom, x, strength)
        return best, best_gap

    def _improved(
        self, atom: Atom, trial: np.ndarray, strength: float, gap: float
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return image and slope at a trial point if it is nearer to a root that the plain iteration would keep."""
        try:
            image, slope = self._image(atom, trial, strength)
        except ConvergenceError:
            return None
        better = _relative(image, trial) < gap and np.linalg.det(np.eye(len(trial)) - slope) > 0
        return (image, slope) if better else None

    def _image(self, atom: Atom, x: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the right-hand side of the unknowns' equation and its derivative."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scaled = dict(zip(atom.unknowns, x * strength**2, strict=True))
            green = atom.green(self, scaled)
            slope = atom.response(self, green)
            c, j = self._system(atom.unknowns, [green[u.row, u.column] for u in atom.unknowns], slope)
        if not (np.isfinite(c).all() and np.isfinite(j).all()):
            raise ConvergenceError("a nonlinear component left the domain of its equation; give a ridge > 0")
        return c, j * strength**2

    def _system(
        self, unknowns: Sequence[Unknown], constant: Sequence[Any], slope: Mapping[tuple[int, int], Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        weights = [self.function(u.weight) for u in unknowns]
        c = np.array([self.trace(u.dimension, w * f) for u, w, f in zip(unknowns, weights, constant, strict=True)])
        x = np.zeros((len(c), len(c)))
        for (n, m), f in slope.items():
            x[n, m] = self.trace(unknowns[n].dimension, weights[n] * f)
        return c, x


def _trials(x: np.ndarray, image: np.ndarray, slope: np.ndarray) -> Iterator[np.ndarray]:
    """Yield Newton's step, and then damped steps of Newton's iteration for the logarithms.

    The second finds its way over many orders of magnitude, where the unknowns vanish or diverge like powers of a ridge.
    """
    size = np.where(image == 0, 1.0, np.abs(image))  # unknowns of very different sizes: solve in relative terms
    unit = np.eye(len(x))
    try:
        yield x + size * np.linalg.solve(unit - slope * size / size[:, None], (image - x) / size)
        if (np.sign(x) * np.sign(image) > 0).all():
            step = np.linalg.solve(unit - slope * x / image[:, None], np.log(image / x))
            step *= min(1.0, _LONGEST / np.max(np.abs(step)))
            for damping in _DAMPED:
                yield x * np.exp(damping * step)
    except np.linalg.LinAlgError:
        return


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(a) + np.abs(b), 1e-300), initial=0.0))


def solve_numeric(
    structure: Structure,
    spaces: Mapping[Expr, Nodes],
    parameters: Mapping[Symbol, Any],
    start: Callable[[Atom], Sequence[float] | None] = lambda _: None,
) -> tuple[Solution, float]:
    """Return the solved fixed point and the largest relative residual of its nonlinear components."""
    arithmetic = NumericArithmetic(spaces, tabulate(expressions_of(structure), spaces, parameters), start)
    solution = solve(structure, arithmetic)
    return solution, arithmetic.residual


def expressions_of(structure: Structure) -> set[Expr]:
    """Return the functions of parameters and eigenvalues that the recursion reads."""
    out = {b.fixed for b in structure.pencil.blocks.values()} | {f.factor for f in structure.feeds}
    return out | {f.unknown.weight for f in structure.feeds}


def tabulate(expressions: set[Expr], spaces: Mapping[Expr, Nodes], parameters: Mapping[Symbol, Any]) -> dict[Expr, Any]:
    """Return the values of expressions in parameters and eigenvalues; one compilation for all of them."""
    nodes = {name: values for space in spaces.values() for name, values in space.values.items()}
    open_ = sorted((e for e in expressions if e.free_symbols), key=default_sort_key)
    names = ordered({x for e in open_ for x in e.free_symbols})
    given = [nodes[x.name] if isinstance(x, Eigenvalue) else parameters[x] for x in names]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _compiled(names, tuple(open_))(*given) if open_ else []
    return dict(zip(open_, values, strict=True))


@lru_cache(maxsize=64)
def _compiled(names: tuple[Symbol, ...], expressions: tuple[Expr, ...]) -> Callable[..., Sequence[Any]]:
    return numeric_function(names, expressions, modules="numpy", cse=False)
