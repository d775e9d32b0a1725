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
from collapse_theory.engine.fixed_point import Atom
from collapse_theory.engine.triangular import Structure, Unknown
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.newton import solve_system
from collapse_theory.numerics.solution import Solution, Status
from collapse_theory.symbols import Eigenvalue, ordered

__all__ = ["NumericArithmetic", "expressions_of", "tabulate"]

_Image = tuple[np.ndarray, np.ndarray]
_CONTINUED = 40  # steps of the continuation
_DAMPED = 0.5 ** np.arange(8)
_LONGEST = 200.0  # a step of the logarithms that stays within float64


@dataclass
class NumericArithmetic:
    """Arrays over the nodes of each space.

    Attributes:
        spaces: Measures by dimension.
        functions: Values of the expressions that occur.
        start: Values of the nonlinear unknowns known beforehand, by atom; they are verified, and polished.
        residual: Largest relative residual met so far.
    """

    spaces: Mapping[Expr, Measure]
    functions: Mapping[Expr, Any]
    start: Callable[[Atom], Sequence[float] | None] = lambda _: None
    residual: float = field(default=0.0)

    def function(self, f: Expr) -> Any:
        """Return the values at the nodes."""
        return self.functions[f] if f in self.functions else float(f)

    def trace(self, dimension: Expr, f: Any) -> float:
        """Return the sum over the eigenvalues."""
        return float(self.spaces[dimension].trace(f))

    def inverse(self, dimension: Expr, matrix: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse at every node."""
        if len(matrix) == 1:
            return [[1 / np.asarray(matrix[0][0])]]
        shape = np.broadcast_shapes(*(np.shape(x) for row in matrix for x in row))
        stack = np.stack([np.stack([np.broadcast_to(x, shape) for x in row], -1) for row in matrix], -2)
        try:
            out = np.linalg.inv(stack)
        except np.linalg.LinAlgError as e:
            raise ConvergenceError(
                f"a block of dimension {dimension} is singular at these values; move away from the threshold"
            ) from e
        return [[out[..., r, c] for c in range(len(matrix))] for r in range(len(matrix))]

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
        """Return the solution of one atom's unknowns, on the branch that connects to the deterministic matrix.

        Raises:
            ConvergenceError: If the iteration does not settle, by continuation neither.
        """
        if not atom.unknowns:
            return []
        given = self.start(atom)
        found = self.root(atom, np.zeros(len(atom.unknowns)) if given is None else np.array(given, dtype=float))
        if found.status is not Status.SETTLED:
            x = np.zeros(len(atom.unknowns))
            for strength in np.linspace(0, 1, _CONTINUED + 1)[1:] ** 0.5:
                found = self.root(atom, x, float(strength))
                x = found.value
        what = f"a nonlinear component of {len(atom.unknowns)} unknowns"
        x = found.checked(what, "move away from the threshold, or give a ridge > 0")
        self.residual = max(self.residual, found.largest)
        return list(x)

    def root(self, atom: Atom, x: np.ndarray, strength: float = 1.0) -> Solution:
        """Return the solution near a point, with eta scaled by ``strength**2``."""
        if not atom.unknowns:
            return Solution(x, Status.SETTLED, 0.0, 0)
        return solve_system(_Component(self, atom, strength), x)

    def image(self, atom: Atom, x: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
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
        for (n, k), f in slope.items():
            x[n, k] = self.trace(unknowns[n].dimension, weights[n] * f)
        return c, x


@dataclass(frozen=True)
class _Component:
    """The unknowns of one atom as a :class:`.System`; a state is the image of a point and its derivative."""

    arithmetic: NumericArithmetic
    atom: Atom
    strength: float

    def state(self, x: np.ndarray) -> _Image:
        """Return the image."""
        return self.arithmetic.image(self.atom, x, self.strength)

    def residual(self, x: np.ndarray, state: _Image) -> float:
        """Return how far the image is, relative to the unknowns."""
        return _relative(state[0], x)

    def following(self, x: np.ndarray, state: _Image) -> tuple[np.ndarray, _Image]:
        """Return the first trial that is nearer to a root which the plain iteration would keep, else the image."""
        gap = self.residual(x, state)
        for trial in _trials(x, *state):
            try:
                image, slope = self.state(trial)
            except ConvergenceError:
                continue
            if _relative(image, trial) < gap and np.linalg.det(np.eye(len(trial)) - slope) > 0:
                return trial, (image, slope)
        return state[0], self.state(state[0])


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
            step *= _LONGEST / max(_LONGEST, np.max(np.abs(step)))
            for damping in _DAMPED:
                yield x * np.exp(damping * step)
    except np.linalg.LinAlgError:
        return


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(a) + np.abs(b), 1e-300), initial=0.0))


def expressions_of(structure: Structure) -> set[Expr]:
    """Return the functions of parameters and eigenvalues that the recursion reads."""
    out = {b.fixed for b in structure.pencil.blocks.values()} | {f.factor for f in structure.feeds}
    return out | {f.unknown.weight for f in structure.feeds}


def tabulate(
    expressions: set[Expr], spaces: Mapping[Expr, Measure], parameters: Mapping[Symbol, Any]
) -> dict[Expr, Any]:
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
