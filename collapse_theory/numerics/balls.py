r"""Plans in balls: every number is an interval that contains the exact value, so the result is a proof of its digits.

Arb's balls round outward in every operation; comparisons answer "yes" only where it is certain. What is left are roots, and
decisions. **Roots** are enclosed by interval Newton steps: from a point :math:`x_0` and a ball X around it,

.. math:: N=x_0-f(x_0)/f'(X),\qquad
   N\subset\operatorname{int}X\ \Rightarrow\ f\text{ has exactly one root in }X,\text{ and it is in }N,

for systems with the inverse of the matrix :math:`f'(X)`. The balls of the parameters are inside f, so this holds for each of
their values. That no other root is meant is known of each equation, and is said where it is solved. Float64, or mpmath where
float64 is too coarse, proposes :math:`x_0`; a wrong proposal fails the test, it cannot make a wrong ball. **Decisions** (a ridge
of zero, rows against a rank) are taken of balls that are disjoint or exact. What cannot be decided or enclosed is computed
again with twice the bits.

Source: Moore, Kearfott, Cloud, Introduction to Interval Analysis, 2009, ch. 8; Neumaier, Interval Methods for Systems of
Equations, 1990, theorem 5.1.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from sympy import Symbol

from collapse_theory.core.errors import CollapseTheoryError, ConvergenceError, DomainError
from collapse_theory.core.precision import exact_context
from collapse_theory.numerics.ball_numbers import BallContext, ball_context, enclosure_of, midpoint
from collapse_theory.numerics.ball_tail import Tailed
from collapse_theory.numerics.digits import Digits
from collapse_theory.numerics.effective_ridge import solve_effective_ridge, spacing
from collapse_theory.numerics.enclosure import Enclosure
from collapse_theory.numerics.feature_ridge import solve_features
from collapse_theory.numerics.interpreter import interpret
from collapse_theory.numerics.kernels import mpmath_kernels
from collapse_theory.numerics.measure import COMMON, Measure, TooShallow
from collapse_theory.numerics.plan import Plan, slopes_plan
from collapse_theory.numerics.points import PointArithmetic
from collapse_theory.numerics.ranks import openness
from collapse_theory.numerics.reals import FLOAT64
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers, float64_start
from collapse_theory.numerics.steps import SolveEquations, Unroll

__all__ = ["Balls", "TooWideError", "evaluate_certified"]

_BITS = 128
_MOST_BITS = 1 << 13
_ACCURATE = 90  # bits that an accepted result has: a relative radius of 1e-27
_PASSES = 12
_OCTAVES = 0  # below its 256th eigenvalue, to which a long power law is listed at first


Step = Callable[[Any, Any], Any]


class TooWideError(Exception):
    """The balls are too wide to decide or to enclose something; the message says what."""


def evaluate_certified(
    plan: Plan,
    measure: Callable[[Any, int], Measure | None],
    values: Callable[[Any], Mapping[Any, Any]],
    noise: Callable[[Any], Any] | None = None,
) -> tuple[dict[str, Enclosure], Enclosure]:
    """Return enclosures of the outputs of a plan and of their sum, with at least 27 digits.

    An output that vanishes, or nearly, beside the others has its digits relative to the sum.

    Args:
        plan: The steps and outputs.
        measure: Gives the measure in a context of balls, of a long power law listed so many octaves down.
        values: Gives the inputs in a context of balls.
        noise: Gives the standard deviation of the test point's label noise, whose square is one more output.

    Raises:
        DomainError: Without python-flint, and at an interpolation threshold, where outputs are limits.
        ConvergenceError: If a decision or an enclosure fails with any number of bits.
    """
    why, octaves = "", _OCTAVES
    for bits in _doubled():
        with ball_context(bits) as context:
            try:
                outputs, octaves = _deep_enough(plan, measure, context, values(context), octaves)
            except (TooWideError, ConvergenceError) as e:
                why = str(e)
                continue
            if noise is not None:
                outputs["test noise"] = noise(context) ** 2
            total = sum(outputs.values(), context.mpf(0))
            last = bits == _MOST_BITS
            if all(x.is_finite() for x in outputs.values()) and (last or _settled(total, outputs.values())):
                return {name: enclosure_of(x) for name, x in outputs.items()}, enclosure_of(total)
            why = "an output is not bounded" if last else why
    raise ConvergenceError(
        f"certified= found no enclosure with {_MOST_BITS} bits: {why}; move the values off the limit they are at"
    )


def _deep_enough(
    plan: Plan, measure: Callable[[Any, int], Measure | None], context: BallContext, values: Any, octaves: int
) -> tuple[dict[str, Any], int]:
    while True:
        try:
            return interpret(plan, Balls(context), measure(context, octaves), values), octaves
        except TooShallow as e:
            octaves += max(1, math.ceil(e.octaves or 1))


def _doubled() -> Iterator[int]:
    bits = _BITS
    while bits <= _MOST_BITS:
        yield bits
        bits *= 2


def _settled(total: Any, outputs: Iterable[Any]) -> bool:
    """Return whether the sum has its digits, and each output its own or those of the sum."""
    small = abs(total).lower() * 2**-_ACCURATE
    return all(x.is_exact() or x.rel_accuracy_bits() >= _ACCURATE or x.rad() <= small for x in (total, *outputs))


class Balls(PointArithmetic):
    """Numbers of a context of balls.

    Args:
        context: The context.
    """

    def __init__(self, context: BallContext) -> None:
        self.context = context
        self.kernels = mpmath_kernels(context)
        self.epsilon = context.arb((1, 1 - context.prec))

    def number(self, x: Any) -> Any:
        """Return a ball."""
        return self.context.mpf(x)

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        r"""Return the effective ridge and :math:`T-\mathrm{df}_2`.

        The equation :math:`f(\kappa)=\kappa(T-\mathrm{df}_1)-T\lambda` is convex with :math:`f(0)=-T\lambda` and
        :math:`f'(0)=T-\mathrm{rank}`: it has one positive root if :math:`\lambda>0`, or if :math:`\lambda=0` and T is below the
        rank; else the effective ridge is 0. So a positive ball with a root has the one that is meant.

        Raises:
            DomainError: At a threshold, where they are limits, and at a negative ridge.
            TooWideError: If the balls are too wide.
        """
        if self._positive(lam, "a ridge") or self._positive(measure.rank - T, "rank - T", signed=True):
            kappa = self._kappa(measure, T, lam)
            return kappa, T * lam / kappa + self._spread(measure, kappa)
        if measure.rank == T:
            raise DomainError(_THRESHOLD)
        return self.number(0), T - measure.rank

    def _kappa(self, measure: Measure, T: Any, lam: Any) -> Any:
        s, sums = measure.nodes, measure.trace

        def unexplained(x: Any, above: np.ndarray, signs: np.ndarray) -> Any:
            return (T - _listed(measure, above)) + sums(signs * np.where(above, x, s) / (s + x))

        def step(x: Any, around: Any) -> Any:
            above = np.array([bool(y >= x) for y in s])  # either form of a term is right
            signs = np.where(above, 1, -1)
            return (T * lam / x - unexplained(x, above, signs)) / (T * lam / around + self._spread(measure, around))

        def near(mp: Any) -> np.ndarray:
            rows, ridge = self._midpoints(mp, T, lam)
            kappa = _proposed(measure, mp, lambda numbers: solve_effective_ridge(numbers, rows, ridge))
            _check_depth(measure, kappa[0])
            return kappa

        return self._root(_alone(step), near, "an effective ridge")[0]

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        r"""Return the features' effective ridge and the residual degrees of freedom of the fit on them.

        With a the fewer and b the more of rows and features, :math:`C=\lambda ab` and :math:`D=b-a`, the equation is

        .. math:: a-\mathrm{df}_1(\kappa)=u,\qquad u=\frac{2C/\kappa}{D+\sqrt{D^2+4C/\kappa}}.

        Its left side increases from :math:`a-\mathrm{rank}` to a, its right side falls from infinity to 0: one positive root if
        :math:`\lambda>0`. Without a ridge :math:`u=0`: one if a is below the rank, else the effective ridge is 0.

        Raises:
            DomainError: At a threshold, where they are limits, and at a negative ridge.
            TooWideError: If the balls are too wide.
        """
        fewer_rows = not self._positive(T - m, "T - m", signed=True)
        a, b = (T, m) if fewer_rows else (m, T)
        if self._positive(lam, "a ridge"):
            kappa, u = self._features_kappa(measure, a, b, lam)
        else:
            kappa = self.ridge(measure, a, lam)[0]
            u = self.number(0) if kappa > 0 else a - measure.rank
        spread = measure.trace(measure.nodes / (measure.nodes + kappa) ** 2)
        features = (m - a) + u  # m - df1; every term is positive
        residual = (T - a) + u + kappa * features / (features + kappa * spread) * spread
        if residual == 0:
            raise DomainError(_THRESHOLD)
        return (kappa * features / m if fewer_rows else kappa * u / a), residual

    def _features_kappa(self, measure: Measure, a: Any, b: Any, lam: Any) -> tuple[Any, Any]:
        s, sums, C, D = measure.nodes, measure.trace, lam * a * b, b - a

        def root(x: Any) -> Any:
            return (D**2 + 4 * C / x).sqrt()

        def left(x: Any) -> Any:
            return 2 * C / x / (D + root(x))

        def step(x: Any, around: Any) -> Any:
            above = np.array([bool(y >= x) for y in s])
            unexplained = (a - _listed(measure, above)) + sums(np.where(above, 1, -1) * np.where(above, x, s) / (s + x))
            return (left(x) - unexplained) / (self._spread(measure, around) + C / around / root(around))

        def near(mp: Any) -> np.ndarray:
            fewer, more, ridge = self._midpoints(mp, a, b, lam)
            epsilon = FLOAT64.epsilon if mp is None else spacing(mp)

            def solve(numbers: Measure) -> np.ndarray:
                return solve_effective_ridge(numbers, more, solve_features(numbers, fewer, more, ridge, epsilon)[0])

            kappa = _proposed(measure, mp, solve)
            _check_depth(measure, kappa[0])
            return kappa

        kappa = self._root(_alone(step), near, "an effective ridge on features")[0]
        return kappa, left(kappa)

    def resolvent(self, fit: FitNumbers) -> Resolvent:
        r"""Return the effective ridges of one fit.

        The right-hand sides of the equations in :mod:`.resolvents` are increasing and concave in the positive unknowns, and
        grow by less than the factor by which all unknowns grow, because a constant or a penalty is positive: two positive
        solutions would differ by a largest factor in some unknown, and its equation forbids it. So there is one.

        Raises:
            DomainError: Without a ridge at a threshold, where they are limits, and where rows are no binary numbers.
            TooWideError: If the balls are too wide.
        """
        rows = [self.context.mpf(float(t)) for t in fit.rows]
        if not self._positive(fit.ridge, "a ridge") and not all(a == b for a, b in zip(rows, fit.rows, strict=True)):
            raise DomainError(
                "certified= needs rows that float64 holds where a fit has no ridge, got others; round them, or give a ridge > 0"
            )
        if not all(self._positive(a, "a row weight") for a in fit.weights):
            raise TooWideError("whether a row weight is zero")
        opened = openness(fit.s > 0, fit.measure, np.array([float(t) for t in fit.rows]))
        if fit.ridge == 0 and opened.threshold > 0:
            raise DomainError(_THRESHOLD)
        one = self.number(1)
        penalty = np.where(opened.directions, one, fit.ridge)
        constant = np.where(opened.designs, fit.ridge, one)
        seen = np.where(opened.designs[:, None], fit.s * penalty, fit.s)
        a, mass = fit.weights / fit.total_rows, fit.weights * fit.rows / fit.total_rows

        def kernel(x: np.ndarray) -> np.ndarray:
            return np.asarray(1 / (penalty + (mass / x) @ seen))

        def image(x: np.ndarray, k: np.ndarray) -> np.ndarray:
            return np.asarray((constant + a * fit.measure.trace(seen * k)) / x)

        def step(x: np.ndarray, around: np.ndarray) -> np.ndarray:
            k = kernel(around)
            taken = seen * k * (mass / around)[:, None]
            pull = fit.measure.trace((seen * k * (a / around)[:, None])[:, None] * taken)
            slope = np.diag(image(around, k)) - pull
            return self.solve(slope, image(x, kernel(x)) - 1)

        x = self._root(step, partial(self._near, fit), "the effective ridges of a fit")
        return Resolvent(opened, x, constant, kernel(x), penalty, 0.0)

    def equations(self, step: SolveEquations, measure: Measure, env: Mapping[Symbol, Any]) -> Sequence[Any]:
        """Return the solution that iteration in mpmath proposes, from both sides; the ball around it has no other.

        Raises:
            TooWideError: If the balls are too wide.
        """
        count = len(step.unknowns)
        plan = slopes_plan(step.expressions, step.unknowns)

        def at(plan: Plan, x: Any) -> np.ndarray:
            point = {**env, **dict(zip(step.unknowns, x, strict=True))}
            return np.array(list(interpret(plan, self, measure, point).values()), dtype=object)

        def move(x: np.ndarray, around: np.ndarray) -> np.ndarray:
            slope = at(plan, around).reshape(count, count) * around / around[:, None]
            return self.solve(np.diag(at(step.sides, around) / around) - slope, at(step.sides, x) / x - 1)

        def near(mp: Any) -> np.ndarray:
            if mp is None:
                raise ConvergenceError("equations are solved in mpmath; float64 has no arithmetic of one point")
            given = {x: _numbers(mp)(v)[()] for x, v in env.items()}
            found = _proposed(measure, mp, lambda numbers: Digits(mp).equations(step, numbers, given))
            _check_depth(measure, min(found))
            return np.array(found, dtype=object)

        return list(self._root(move, near, "implicit equations"))

    def whole(self, x: Any) -> int:
        """Return an integer.

        Raises:
            TooWideError: If the ball is not exactly one.
        """
        found = x.unique_fmpz()
        if found is None or not x.is_exact():
            raise TooWideError("whether a count is an integer")
        return int(found)

    def _near(self, fit: FitNumbers, mp: Any) -> np.ndarray:
        """Return the effective ridges of one fit in float64, or in a context of mpmath."""
        number = _floats if mp is None else _numbers(mp)
        weights, rows, total_rows, ridge = map(
            number, map(self.array, (fit.weights, fit.rows, fit.total_rows, fit.ridge))
        )

        def solve(numbers: Measure) -> np.ndarray | None:
            s = np.stack([numbers.nodes] * len(rows)) if isinstance(fit.measure.extent, Tailed) else number(fit.s)
            rough = FitNumbers(s, numbers, weights, rows, total_rows[()], ridge[()])
            return float64_start(rough) if mp is None else Digits(mp).resolvent(rough).scale

        found = _proposed(fit.measure, mp, solve)
        if found is None:
            raise ConvergenceError("float64 has no effective ridges of a fit")
        _check_depth(fit.measure, 1 / (weights * rows / total_rows / found).sum())  # that of an endless spectrum
        return np.asarray(found)

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return what contains every solution of the systems in the balls.

        Raises:
            TooWideError: If one may be singular.
        """
        out, size = np.empty(right.shape, dtype=object), right.shape[-1]
        for i in np.ndindex(right.shape[:-1]):
            a = self.context.matrix(size, size, self.array(matrix[i]).ravel().tolist())
            b = self.context.matrix(size, 1, self.array(right[i]).tolist())
            try:
                out[i] = a.solve(b).entries()
            except ZeroDivisionError as e:
                raise TooWideError("a linear component may be singular") from e
        return out

    def on_atoms(
        self,
        atoms: Sequence[Sequence[Any]],
        env: Mapping[Symbol, Any],
        step: Callable[[Measure, Mapping[Symbol, Any]], Sequence[Any]],
    ) -> Sequence[Any]:
        """Return the results of a step on a spectrum of a few atoms, of which two may be equal."""
        nodes, counts, energies = map(self.array, atoms)
        if not all(self._positive(s, "an eigenvalue") for s in nodes):
            raise DomainError("an eigenvalue needs to be > 0, got 0; leave out directions without variance")
        whole = np.array([self.whole(x) for x in counts])
        there = whole > 0
        return step(Measure({COMMON: nodes[there]}, whole[there], energies[there] if energies.size else None), env)

    def unroll(self, step: Unroll, measure: Measure, rounds: Any, arguments: Sequence[Any]) -> list[Any]:
        """Return the terms after a number of rounds."""
        return super().unroll(step, measure, self.whole(rounds), arguments)

    def _spread(self, measure: Measure, x: Any) -> Any:
        r"""Return :math:`\sum_js_jx/(s_j+x)^2`, in which nothing cancels."""
        over = measure.nodes + x
        return measure.trace((measure.nodes / over) * (x / over))

    def _positive(self, x: Any, what: str, *, signed: bool = False) -> bool:
        """Return whether a ball is positive rather than zero, or negative if it may be."""
        if x > 0:
            return True
        if x == 0 or (signed and x < 0):
            return False
        if x < 0:
            raise DomainError(f"{what} needs to be >= 0, got about {float(x):g}; change it")
        raise TooWideError(f"whether {what} is positive")

    # ------------------------------------------------------------------ roots
    def _root(self, step: Step, near: Callable[[Any], np.ndarray], what: str) -> np.ndarray:
        """Return the positive root near a proposal of float64, or of mpmath.

        Args:
            step: Newton's step in the logarithms of the unknowns, from a point, with the slope on the balls around it.
            near: Returns a proposal: in float64 for None, or in a context of mpmath.
            what: The root, in words.

        Raises:
            TooWideError: If there may be none near either, or several.
        """
        x = _tried(near, None)
        if x is not None and ((x > _LEAST) & (x < 1 / _LEAST)).all():
            found = self._narrowed(step, self.array(x), self.number(_FLOAT64))
            if found is not None:
                return found
        with exact_context(self.context.prec + _SPARE) as mp:
            x = _tried(near, mp)
        found = (
            None
            if x is None
            else self._narrowed(step, self.array(x), self.context.arb((1, -3 * self.context.prec // 5)))
        )
        if found is None:
            raise TooWideError(what)
        return found

    def _narrowed(self, step: Step, x: np.ndarray, radius: Any) -> np.ndarray | None:
        """Return the balls of the one root within a relative radius of a point; None if there may be none, or several."""
        best, enough = None, self.epsilon * 2**_SLACK
        for _ in range(_PASSES):
            box = self.context.ball(radius)
            try:
                moves = step(x, x * box.exp())
            except TooWideError:
                break
            if not all(box.contains_interior(move) for move in moves):
                break
            best = np.array([y * move.exp() for y, move in zip(x, moves, strict=True)], dtype=object)
            left = 8 * self.context.max(*(move.rad() for move in moves))
            if left <= enough or not left < radius / 2:
                break
            x, radius = np.array([y.mid() for y in best], dtype=object), left.mid()
        return best

    def _midpoints(self, mp: Any, *balls: Any) -> tuple[np.ndarray, ...]:
        """Return midpoints in float64, or in a context of mpmath, each an array of one."""
        return tuple(map(_floats if mp is None else _numbers(mp), (self.array([x]) for x in balls)))


_THRESHOLD = (
    "certified= needs a point away from T = rank without ridge, where the theory is a limit; evaluate in float64"
)
_FLOAT64 = 2.0**-42  # how far a root is from that of float64, relatively: a thousand units of its round-off
_LEAST = 1e-290
_SPARE = 20
_SLACK = 8  # bits


def _tried(near: Callable[[Any], np.ndarray], mp: Any) -> np.ndarray | None:
    """Return a proposal; None where float64, or the digits of a context of mpmath, have none."""
    try:
        with np.errstate(all="ignore"):
            return near(mp)
    except (CollapseTheoryError, ArithmeticError):
        return None
    except TooShallow as e:
        if e.octaves is None:  # for float64
            return None
        raise


def _alone(step: Callable[[Any, Any], Any]) -> Step:
    """Return a step in one unknown as one in arrays of one."""
    return lambda x, around: [step(x[0], around[0])]


def _listed(measure: Measure, chosen: np.ndarray) -> int:
    """Return the number of directions at some nodes, none of them a tail."""
    return int(measure.counts[chosen].sum())


def _proposed(measure: Measure, mp: Any, compute: Callable[[Measure], Any]) -> Any:
    """Return what is computed on the midpoints in float64, or in a context of mpmath."""
    if isinstance(measure.extent, Tailed):
        return measure.extent.proposed(compute, mp)
    return compute(measure.mapped(_floats if mp is None else _numbers(mp)))


def _check_depth(measure: Measure, ridge: Any) -> None:
    """Check that a tail begins well below a ridge.

    Raises:
        TooShallow: If it does not.
    """
    if isinstance(measure.extent, Tailed) and float(ridge) < float(measure.extent.least):
        raise TooShallow(math.log2(float(measure.extent.least)) - math.log2(float(ridge)))


def _floats(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.astype(float))


def _numbers(mp: Any) -> Callable[[Any], np.ndarray]:
    """Return the function that gives the midpoints of balls as numbers of an mpmath context."""
    return np.vectorize(lambda x: mp.make_mpf(midpoint(x)._mpf_), otypes=[object])
