r"""The rate at which a test error falls on power laws, term by term from the asymptotics of its traces.

With :math:`\lambda=T^{-\ell}` and every other symbol a power of T, each term is :math:`T^{-c(\ell)}`, its exponent piecewise affine
in :math:`\ell` and in the other scale exponents. The error falls like its slowest term; the best ridge exponent maximises that
rate, at an end of one of the pieces.

Source: Caponnetto, De Vito 2007 (the clean rate); Dohmatob, Feng, Kempe 2024 (the crossover under replacement).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from mpmath import mp
from sympy import And, Dummy, Eq, Expr, Float, Interval, Le, Lt, Or, Piecewise, S, Symbol, piecewise_fold
from sympy.logic.boolalg import Boolean
from sympy.sets.sets import Set

from collapse_theory import symbols
from collapse_theory.algebra.cases import Piece, boundaries, cases
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.doors import through
from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import integer, real, real_array
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.predicted_curve import ROWS, PredictedCurve, RateCheck
from collapse_theory.derive.regimes import Orders, RateLaw, Regimes, unfolded_terms
from collapse_theory.derive.scales import Scales, scaled

__all__ = ["EXPONENTS", "Crossover", "Rates", "rates"]


@dataclass(frozen=True)
class Crossover:
    """A boundary between two regimes.

    Attributes:
        at: The boundary, an equation between exponents.
        where: What else holds there.
        before: The terms that lead on the side of smaller values, or the rate there.
        after: The same for larger values.
        log: Power of ``log T`` on the boundary.
        time: For a noise variance that does not change with T: the T at which the regime changes, in ``variance``.
    """

    at: Boolean
    where: Boolean
    before: Any
    after: Any
    log: Any = 0
    time: Expr | None = None


@dataclass(frozen=True)
class Rates(Displayed):
    r"""The rate of a test error, :math:`E\asymp T^{-c}(\log T)^k`.

    Attributes:
        formula: The test error.
        regimes: Its terms at the scales.
        arguments: The scale exponents as given.
    """

    formula: ErrorFormula
    regimes: Regimes = field(repr=False)
    arguments: Mapping[str, Any] = field(repr=False)

    @property
    def scales(self) -> Scales:
        """What every symbol is."""
        return self.regimes.scales

    # ------------------------------------------------------------------ exponents
    @cached_property
    def exponent(self) -> Expr:
        """``c``: a number, or a ``Piecewise`` in ``ell`` and the other symbols with complete and disjoint conditions."""
        return self._over_ridges(lambda at: -at.exponent)

    @cached_property
    def log(self) -> Expr:
        """``k``, in the same way; at single points see :attr:`crossovers`."""
        return self._over_ridges(lambda at: at.log)

    @cached_property
    def terms(self) -> Mapping[str, Expr | None]:
        """Exponent of each term that does not vanish; None for a difference of two terms of one order."""

        def of(name: str, at: Orders) -> Any:
            found = {k: e for k, e, _ in at.terms}
            return S.Infinity if name not in found else _UNKNOWN if found[name] is None else -found[name]

        found = {name: self._over_ridges(partial(of, name)) for name in self.regimes.parts}
        return MappingProxyType({name: None if e.has(_UNKNOWN) else e for name, e in found.items()})

    @cached_property
    def leading_terms(self) -> tuple[tuple[tuple[str, ...], Boolean], ...]:
        """Which terms lead, and where."""
        found: dict[tuple[str, ...], list[Boolean]] = {}
        for leaf, condition in self._leaves:
            for piece, within in self._within(leaf):
                found.setdefault(piece.value.leading, []).append(And(condition, within))
        return tuple((names, Or(*conditions)) for names, conditions in found.items())

    # ------------------------------------------------------------------ the best ridge
    @cached_property
    def optimal_ell(self) -> Expr | None:
        """The ridge exponent of the fastest rate, the smallest if there are several; None without a ridge to choose."""
        return self._of_best(lambda best: best[0])

    @cached_property
    def optimal_exponent(self) -> Expr:
        """The exponent ``c`` at :attr:`optimal_ell`."""
        return self._of_best(lambda best: -best[2]) if self.scales.inner else self.exponent

    @cached_property
    def optimal_log(self) -> Expr:
        """The power of ``log T`` there."""
        return self._of_best(lambda best: best[3]) if self.scales.inner else self.log

    @cached_property
    def optimal_set(self) -> Set | tuple[tuple[Set, Boolean], ...]:
        """All ridge exponents of the fastest rate, an ``Interval``; with symbols one for each case."""
        if self.scales.inner is None:
            return S.EmptySet
        found = self._cases(lambda leaf: leaf.best and leaf.best[:2])
        sets = [(Interval(*map(self._shown, ends)), condition) for ends, condition in found]
        return sets[0][0] if len(sets) == 1 else tuple(sets)

    # ------------------------------------------------------------------ crossovers
    @cached_property
    def crossovers(self) -> tuple[Crossover, ...]:
        """Where the leading terms change: in the ridge exponent, between cases, and in the noise."""
        return (*self._ridge_crossovers(), *self._case_crossovers(), *self._noise_crossovers())

    def _ridge_crossovers(self) -> list[Crossover]:
        out: list[Crossover] = []
        for leaf, condition in self._leaves:
            for (left, right), power in zip(pairwise(leaf.pieces), leaf.logs, strict=True):
                at = Eq(symbols.ell, self._shown(left.high), evaluate=False)
                before, after = left.value.leading, right.value.leading
                if before == after:
                    before, after = (-self._shown(x.value.exponent) for x in (left, right))
                if before != after:
                    out.append(Crossover(at, condition, before, after, power))
        return out

    def _case_crossovers(self) -> list[Crossover]:
        """Return the boundaries between cases at which the optimal exponent changes its form."""
        out = []
        for polynomial, where, below, above in boundaries(self.regimes.tree, self._best_exponent, self.regimes.chamber):
            e = polynomial.as_expr()
            x, root = next(
                ((x, y) for x in symbols.ordered(e.free_symbols) if (y := _root(e, x)) is not None), (None, None)
            )
            log = S.Zero if x is None else rates(self.formula, **_put(self.arguments, x, root)).optimal_log
            sides = (below, above) if x is None or e.diff(x) > 0 else (above, below)
            at = Eq(e, 0, evaluate=False) if x is None else Eq(x, root, evaluate=False)
            out.append(Crossover(at, where, *sides, log))
        return out

    def _noise_crossovers(self) -> list[Crossover]:
        r"""Return for each noise, the others absent, where it begins to slow the optimal rate.

        With variance :math:`T^{-\gamma}` it does below some :math:`\gamma_\times`; a variance that does not change with T is
        :math:`T^{-\gamma_\times}` at :math:`T_\times=\mathrm{variance}^{-1/\gamma_\times}`. A noise is
        left out where the terms without the others have no power-law asymptotics.
        """
        noises = [x for x in _NOISES if self._noisy(x)]
        out = []
        for name in noises:
            gamma = symbols.scale_exponent(name)
            others = {x: S.Infinity for x in noises if x != name}
            alone = rates(self.formula, **{**self.arguments, **others, name: gamma})
            try:
                sides_of = boundaries(alone.regimes.tree, alone._best_exponent, alone.regimes.chamber)
            except DomainError:  # an undecided difference, which the other noises hide
                continue
            for polynomial, where, below, above in sides_of:
                root = _root(polynomial.as_expr(), gamma)
                if root is None or root == 0:
                    continue
                sides = (below, above) if polynomial.as_expr().diff(gamma) > 0 else (above, below)
                out.append(
                    Crossover(Eq(gamma, root, evaluate=False), where, *sides, time=symbols.variance ** (-1 / root))
                )
        return out

    @cached_property
    def plateau(self) -> Plateau:
        r"""What is left for :math:`T\to\infty` at a fixed size :math:`T_0` of the generators' samples.

        Raises:
            DomainError: If there are no generators.
        """
        if not any(x.name == "T0" for x in self.scales.laws.scales):
            raise DomainError(f"a plateau needs generators on T0 rows, got {self.formula.name}, which has none")
        scales = dict(self.arguments.get("scales") or {})
        at_rest = {**self.arguments, "b": 1, "gamma_0": 0, "scales": {**scales, "T": S.Infinity}}
        noiseless = {**self.arguments, "b": 1, "gamma_0": S.Infinity, "gamma_sigma": S.Infinity}
        return Plateau(rates(self.formula, **at_rest), rates(self.formula, **noiseless))

    # ------------------------------------------------------------------ curves
    def leading(self, T: Any, ell: Any = None, powers: int = 1, **values: Any) -> Any:
        """Return the predicted curve with its constants: the leading part of every term, or more of it.

        Args:
            T: Numbers, an array, or a symbol, for which an expression is returned.
            ell: The ridge exponent, a number; default the optimal one.
            powers: How many powers of T of each term: 1 is the leading one, 2 adds the next. More than one are known of traces,
                quadratic forms and effective ridges, where no two scales are of one order. The gap then falls like the first power
                left out, which may be close to the last.
            **values: One value per symbol of the formula that does not change with T, by name (``n``, ``sigma``, ...).

        Raises:
            DomainError: If a value is missing, an exponent is not a number, or the constant of the largest term is not known.
        """
        expression = self.curve(ell, **values).expression(integer(powers, "powers", least=1))
        if isinstance(T, Expr) and T.free_symbols:
            return expression.xreplace({ROWS: T})
        rows = (
            real_array(T, "T", nonnegative=True)
            if np.ndim(T)
            else np.array(float(real(T, "T", positive=True, number=True)))
        )
        curve = np.reshape([float(expression.xreplace({ROWS: Float(x)}).evalf(20)) for x in rows.flat], rows.shape)
        return np.array(curve) if rows.ndim else float(curve)

    def check(
        self, T: Sequence[Any] | None = None, ell: Any = None, digits: int | None = None, **values: Any
    ) -> RateCheck:
        """Return local slopes of the test error, evaluated at numbers far out, beside the predicted ones.

        Args:
            T: Where, increasing; default ``10**3, 10**6, ..., 10**30``.
            ell: The ridge exponent, a number; default the optimal one.
            digits: Digits of the evaluation; None is float64.
            **values: As in :meth:`leading`.

        Raises:
            DomainError: If a value is missing or an exponent is not a number.
        """
        curve = self.curve(ell, **values)
        rows = [10**k for k in range(3, 31, 3)] if T is None else [real(x, "T", positive=True, number=True) for x in T]
        at = curve.regimes.tree.pieces[0].value
        logs = [at.log * float(mp.log(mp.log(2 * t) / mp.log(t), 2)) for t in rows]
        observed = tuple(curve.slope(t, digits) - x for t, x in zip(rows, logs, strict=True))
        return RateCheck(tuple(rows), float(curve.regimes.chamber.shown(at.exponent)), observed)

    def curve(self, ell: Any = None, **values: Any) -> PredictedCurve:
        """Return the curve at one ridge exponent, term by term.

        Args:
            ell: As in :meth:`leading`.
            **values: As in :meth:`leading`.

        Raises:
            DomainError: If an exponent is not a number.
        """
        if names := ", ".join(str(x) for x in self.scales.symbols if x != self.scales.inner):
            raise DomainError(f"a curve needs numbers for all exponents, got the symbols {names}; give them values")
        at = self
        if self.scales.inner is not None:
            at = rates(self.formula, **{**self.arguments, "ell": self.optimal_ell if ell is None else ell})
        return PredictedCurve(self.formula, at.regimes, values)

    def draw(self, **values: Any) -> Any:
        """Return a picture, a Matplotlib figure: phases, or the crossover of a curve.

        With one symbol beside ``ell`` (``b=b``) it shows the regions of both, labelled by their exponents, and the best ridge.
        With numbers for all exponents, ``ell`` too, it shows the test error over T, the slopes of its terms and where they cross.

        Args:
            **values: For a curve, as in :meth:`leading`.

        Raises:
            DomainError: If there are other symbols, a value is missing, or the terms do not cross.
        """
        return through("Rates.draw")(self, **values)

    # ------------------------------------------------------------------ inside
    @cached_property
    def _leaves(self) -> list[tuple[RateLaw, Boolean]]:
        return self._cases(lambda leaf: leaf)

    def _cases(self, value: Callable[[RateLaw], Any]) -> list[tuple[Any, Boolean]]:
        return cases(self.regimes.tree, value, self.regimes.chamber)

    def _noisy(self, argument: str) -> bool:
        return any(x.name == _NOISES[argument] and e is not None for x, e in self.scales.laws.scales.items())

    def _shown(self, e: Any) -> Expr:
        return e if isinstance(e, Expr) else S(e) if isinstance(e, int) else self.regimes.chamber.shown(e)

    def _best_exponent(self, leaf: RateLaw) -> Expr:
        return self._shown(-leaf.best[2] if leaf.best else -leaf.pieces[0].value.exponent)

    def _of_best(self, value: Callable[[Any], Any]) -> Expr | None:
        if self.scales.inner is None:
            return None
        return _piecewise(self._cases(lambda leaf: self._shown(value(leaf.best))))

    def _over_ridges(self, value: Callable[[Orders], Any]) -> Expr:
        """Return a quantity as a function of the ridge exponent and the outer symbols."""
        found: dict[Expr, list[Boolean]] = {}
        for leaf, condition in self._cases(lambda leaf: self._merged(leaf, value)):
            for piece, within in self._within(leaf):
                found.setdefault(piece.value, []).append(And(condition, within))
        return _piecewise([(e, Or(*conditions)) for e, conditions in found.items()])

    def _merged(self, leaf: RateLaw, value: Callable[[Orders], Any]) -> RateLaw:
        """Return the leaf with a quantity at its pieces, equal neighbours as one."""
        pieces: list[Piece] = []
        for x in leaf.pieces:
            e = self._shown(value(x.value))
            if pieces and pieces[-1].value == e:
                pieces[-1] = replace(pieces[-1], high=x.high)
            else:
                pieces.append(Piece(x.low, x.high, e))
        return RateLaw(tuple(pieces), None, ())

    def _within(self, leaf: RateLaw) -> list[tuple[Piece, Boolean]]:
        """Return the pieces of a leaf and the range of the ridge exponent of each."""
        out = []
        for i, x in enumerate(leaf.pieces):
            low = Lt(self._shown(x.low), symbols.ell) if i else S.true
            high = Le(symbols.ell, self._shown(x.high)) if i < len(leaf.pieces) - 1 else S.true
            out.append((x, And(low, high)))
        return out


_UNKNOWN = Dummy("unknown")
_NOISES = {"gamma_sigma": "sigma", "gamma_0": "sigma0"}


@dataclass(frozen=True)
class Plateau:
    r"""The error that is left for :math:`T\to\infty` at a fixed :math:`T_0`, a power of :math:`n\sigma_0^2/T_0`.

    Attributes:
        rates: The rate in :math:`T_0/(n\sigma_0^2)` in the place of T, for infinitely many rows of the tested fit.
        noiseless: The rate in T before it, without noise.
    """

    rates: Rates
    noiseless: Rates

    @property
    def exponent(self) -> Expr:
        r"""The exponent of :math:`n\sigma_0^2/T_0`."""
        return self.rates.optimal_exponent

    @property
    def optimal_ell(self) -> Expr | None:
        r"""The exponent of :math:`n\sigma_0^2/T_0` in the best ridge."""
        return self.rates.optimal_ell

    @property
    def reached(self) -> Expr:
        r"""The T at which it is reached, with ``variance`` for :math:`n\sigma_0^2/T_0`."""
        return piecewise_fold(symbols.variance ** (-self.exponent / self.noiseless.optimal_exponent))


def rates(th_or_err: Any, beta: Any = None, r: Any = None, **scale_exponents: Any) -> Rates:
    r"""Return the rate of a test error on power laws, :math:`E\asymp T^{-c}`.

    The spectrum is :math:`s_j=j^{-\beta}` and the target :math:`s_jw_{0,j}^2=j^{-(1+2r\beta)}`; the ridge is
    :math:`\lambda=T^{-\ell}`. Constants are left aside: where a condition such as :math:`T_0\ge d+2` has both sides of one
    order, their ratio is taken to stay away from 1.

    Args:
        th_or_err: A theorem of the catalogue or an error formula.
        beta: Capacity exponent, a rational number or a symbol (then above 1). Default: the symbol.
        r: Source exponent, positive. Default: the symbol.
        **scale_exponents: ``a`` (:math:`d=T^a`; default infinite, or 1 where the formula needs more rows than features), ``b``
            (:math:`T_0=T^b`, default 1), ``ell`` (default the symbol, over ``[0, beta]``), ``gamma_sigma`` and ``gamma_0`` (the
            noise variances are :math:`T^{-\gamma}`, default 0, ``oo`` noise-free), and ``scales={"m": c}``: any symbol by name
            is :math:`T^c`.

    Raises:
        DomainError: If an exponent is out of range or missing, or a term has no power-law asymptotics.

    >>> from fractions import Fraction
    >>> import collapse_theory as ct
    >>> found = rates(ct.catalog["ridge-clean"], beta=Fraction(3, 2), r=Fraction(1, 2))
    >>> found.optimal_ell, found.optimal_exponent
    (3/5, 3/5)
    """
    formula = getattr(th_or_err, "error", th_or_err)
    if not isinstance(formula, ErrorFormula):
        raise DomainError(
            f"rates needs a theorem or an error formula, got {type(th_or_err).__name__}; use ct.catalog or ct.test_error"
        )
    unknown = sorted(set(scale_exponents) - _ARGUMENTS)
    if unknown:
        raise DomainError(f"rates has no scale exponent {unknown[0]!r}; valid: {', '.join(sorted(_ARGUMENTS))}")
    scales = scaled(formula, beta, r, **scale_exponents)
    regimes = Regimes(formula.name, unfolded_terms(formula), scales)
    return Rates(formula, regimes, {"beta": beta, "r": r, **scale_exponents})


EXPONENTS = frozenset({"a", "b", "gamma_sigma", "gamma_0", "ell"})
"""Arguments that are exponents of symbols, beside ``beta`` and ``r``."""
_ARGUMENTS = EXPONENTS | {"scales"}


def _piecewise(found: list[tuple[Expr, Boolean]]) -> Expr:
    return found[0][0] if len(found) == 1 else Piecewise(*found, evaluate=False)


def _root(e: Expr, x: Symbol) -> Expr | None:
    """Return the root of a polynomial in a symbol that it is affine in with a constant slope, or None."""
    slope = e.diff(x)
    return (-e.subs(x, 0) / slope).factor() if slope.is_number and slope != 0 else None


def _put(arguments: Mapping[str, Any], x: Symbol, value: Expr) -> dict[str, Any]:
    """Return arguments with an expression for a symbol, which is also the default of ``beta`` and ``r``."""

    def put(e: Any) -> Any:
        if isinstance(e, Mapping):
            return {k: put(v) for k, v in e.items()}
        return e.xreplace({x: value}) if isinstance(e, Expr) else e

    defaults = {"beta": symbols.beta, "r": symbols.r}
    return {k: put(defaults.get(k) if e is None else e) for k, e in arguments.items()}
