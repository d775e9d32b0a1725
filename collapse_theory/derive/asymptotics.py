r"""The order of magnitude of any formula on power laws, by that of its traces and implicit scalars.

On :math:`s_j=j^{-\beta}`, :math:`s_jw_{0,j}^2=j^{-(1+2r\beta)}`, :math:`j\le d`, with every symbol a power of T, a trace is a
sum of

.. math:: \sum_jw_js_j^p\prod_i(s_j+\kappa_i)^{-q_i},\qquad\kappa_i=T^{-k_i},\quad q_i>0.

At :math:`j=T^x` a summand is :math:`T^{g(x)}`, :math:`g` concave and affine between the ranks :math:`x_i=k_i/\beta` at which
:math:`s_j=\kappa_i`, so the sum is :math:`T^{\max(x+g(x))}` over these ranks and the ends 0 and :math:`\log_Td`, times
:math:`\log T` where the maximum is attained on an interval. The constant is that of the place of the maximum: a zeta value at the
first ranks, at :math:`s_j\sim\kappa` the Mellin transform

.. math:: \sum_js_j^p(s_j+\kappa)^{-q}\sim
   \tfrac1\beta B\big(p-\tfrac1\beta,\,q-p+\tfrac1\beta\big)\,\kappa^{p-q-1/\beta}.

Implicit scalars are solved in the same algebra: :math:`\kappa=\lambda+\kappa\,\mathrm{df}_1(\kappa)/T` is
:math:`\kappa\asymp\max(\lambda,\kappa^*)` with :math:`\mathrm{df}_1(\kappa^*)\asymp T`, if there are so many directions.

Source: Caponnetto, De Vito 2007; Cui, Loureiro, Krzakala, Zdeborova 2021 (one fit).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sympy import (
    Add,
    Expr,
    Integer,
    Mul,
    Pow,
    S,
    Symbol,
    pi,
    polygamma,
    sin,
    zeta,
)
from sympy import beta as beta_function
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.exponents import Chamber, Order, total
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.integrals import OffsetForm, QuadraticForm, SpectralIntegral, SpectralTrace
from collapse_theory.algebra.special import DigammaDifference
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.conditions import implied_by, ridges_apart
from collapse_theory.derive.integrands import integrand_factors
from collapse_theory.symbols import d, eigenvalue

__all__ = ["Asymptotics", "PowerLaws"]


@dataclass(frozen=True)
class PowerLaws:
    """What every symbol is, as a power of T.

    Attributes:
        beta: Capacity exponent.
        r: Source exponent.
        dimension: Exponent of ``d``; None if it is infinite.
        scales: Exponent of each symbol of the formula, by symbol; None for a symbol that is zero.
        fixed: Symbols that do not change with T: what is made of them alone is a constant.
        conditions: What the formula presupposes; a difference that a condition keeps positive is taken to stay away from zero
            by a factor.
    """

    beta: Expr
    r: Expr
    dimension: Expr | None
    scales: Mapping[Symbol, Expr | None]
    fixed: frozenset[Symbol] = frozenset()
    conditions: tuple[Boolean, ...] = ()


@dataclass
class Asymptotics:
    """The orders of expressions in one chamber.

    Attributes:
        laws: What every symbol is.
        chamber: Where exponents are compared.
        definitions: What stands for a symbol that is no parameter.
    """

    laws: PowerLaws
    chamber: Chamber
    definitions: Mapping[Symbol, Expr] = field(default_factory=dict)
    _known: dict[Expr, Order] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the exponents into the field of the chamber."""
        put = self.chamber.element
        self._beta, self._r = put(self.laws.beta), put(self.laws.r)
        self._dimension = None if self.laws.dimension is None else put(self.laws.dimension)

    def order(self, e: Expr) -> Order:
        """Return the order of an expression.

        Raises:
            DomainError: If it has no power-law asymptotics.
        """
        if e not in self._known:
            self._known[e] = self._order(e)
        return self._known[e]

    # ------------------------------------------------------------------ expressions
    def _order(self, e: Expr) -> Order:  # noqa: C901 - one case per kind of expression
        if e.is_number:
            return self._number(e)
        if isinstance(e, Symbol):
            return self._symbol(e)
        if isinstance(e, Mul):
            return self._product(map(self.order, e.args))
        if isinstance(e, Pow) and e.exp.is_Rational:
            return self.order(e.base).power(e.exp)
        if isinstance(e, Add):
            return self._sum(e)
        if isinstance(e, OffsetForm):
            raise DomainError(
                f"rates need one truth, got {e}: offsets have no source exponent; test with TRUTH as the labeller"
            )
        if isinstance(e, SpectralIntegral):
            return self._integral(e)
        if isinstance(e, EffectiveRidge):
            return self._effective_ridge(*e.args)
        if isinstance(e, ResidualDegrees):
            return self._residual_degrees(*e.args)
        if isinstance(e, FeatureRidge):
            return self._feature_ridge(*map(self.order, e.args))
        if isinstance(e, FeatureResidual):
            return self._feature_residual(*e.args)
        if isinstance(e, DigammaDifference):
            return self._digamma_difference(*e.args)
        if e.free_symbols <= self.laws.fixed and (e.is_positive or e.is_negative):
            return self._constant(e)
        raise DomainError(f"no power-law asymptotics are known of {_short(e)}; give the symbols in it numbers")

    def _number(self, e: Expr) -> Order:
        if e.is_zero:
            return Order(None)
        if not (e.is_positive or e.is_negative):
            raise DomainError(f"no power-law asymptotics are known of {_short(e)}; it needs to be a finite number")
        return self._constant(e)

    def _constant(self, e: Expr) -> Order:
        sign = 1 if e.is_positive else -1
        return Order(self.chamber.domain.zero, 0, sign * e, sign)

    def _symbol(self, x: Symbol) -> Order:
        if x in self.definitions:
            return self.order(self.definitions[x])
        if x == d:
            if self._dimension is None:
                raise DomainError("the number d of features needs to be finite here; give d = T**a by a=")
            return Order(self._dimension, 0, S.One)
        exponent = self.laws.scales.get(x, S.Zero)
        if exponent is None:
            return Order(None)
        return Order(self.chamber.element(exponent), 0, x if x in self.laws.fixed else S.One)

    def _product(self, orders: Iterable[Order]) -> Order:
        out = Order(self.chamber.domain.zero, 0, S.One)
        for x in orders:
            out = out * x
        return out

    def _sum(self, e: Add) -> Order:
        apart = ridges_apart(e)
        if apart is not None and implied_by(self.laws.conditions, apart):
            return Order(self.order(e.args[0]).exponent, 0, None, 1, exact=False)
        found = total(map(self.order, e.args), self.chamber)
        plain = len(e.args) <= _READABLE and not e.free_symbols & set(self.definitions)
        if found.exact or not plain or not e.is_polynomial(*e.free_symbols):
            return found
        # The largest terms have both signs: conditions may say that they leave a positive rest.
        constant = e if e.free_symbols <= self.laws.fixed else None
        for sign in (1, -1):
            if implied_by(self.laws.conditions, sign * e):
                return Order(found.exponent, found.log, constant and sign * constant, sign)
        return found

    # ------------------------------------------------------------------ spectral integrals
    def _integral(self, e: SpectralIntegral) -> Order:
        measure = self.chamber.domain.zero
        if isinstance(e, QuadraticForm):  # w_j^2 = s_j^(2r - 1 + 1/beta)
            measure = 2 * self._r - 1 + 1 / self._beta
        numerators, denominators = integrand_factors(e.integrand)
        poles: dict[Expr, int] = {}
        scale = self._product(())
        for lead, at, q in denominators:
            scale = scale * self.order(lead).power(Integer(-q))
            if at is not None:
                poles[at] = poles.get(at, 0) + q
        terms = [(0, scale)]
        for coefficients, power in numerators:
            own = [(p, self.order(c)) for p, c in coefficients]
            mixed = len({x.sign for _, x in own if not x.vanishes}) > 1
            if mixed and power % 2 == 0:
                # Terms of different powers are never equal on a range of eigenvalues: a square is of the order of its largest.
                own = [(p, Order(x.exponent, x.log, None, 1, x.exact)) for p, x in own]
            for _ in range(power):
                terms = [(p + q, x * y) for p, x in terms for q, y in own]
        located = [(self.order(at), at, q) for at, q in poles.items()]
        orders = [x * self._power_sum(measure + p, located, e) for p, x in terms if not x.vanishes]
        return total(orders, self.chamber)

    def _power_sum(self, p: Any, poles: Iterable[tuple[Order, Expr, int]], e: Expr) -> Order:
        r"""Return the order of :math:`\sum_js_j^p\prod(s_j+\kappa_i)^{-q_i}`."""
        sign, zero, one = self.chamber.sign, self.chamber.domain.zero, self.chamber.domain.one
        passed: list[tuple[Order, Expr, int]] = []
        later: list[tuple[Any, Order, Expr, int]] = []
        for x, at, q in poles:
            if x.vanishes:
                p = p - q
                continue
            if x.log or not x.exact or x.sign < 0:
                raise DomainError(f"no power-law asymptotics: {_short(at)} in {_short(e)} is no power of T")
            rank = -x.exponent / self._beta
            if sign(rank) > 0:
                later.append((rank, x, at, q))
            else:
                passed.append((x, at, q))
        later = self._sorted(later)
        # Before the ranks of `later`, s_j is the larger of s_j + kappa; before that of an end d, it counts to the end.
        slope = one - self._beta * (p - sum((q for *_, q in later), 0))
        value = sum((-q * x.exponent for x, _, q in passed), zero)
        places = [_Breakpoint(zero, value, slope, [(x, at, q) for x, at, q in passed if not sign(x.exponent)])]
        for rank, x, at, q in later:
            if self._dimension is not None and sign(rank - self._dimension) >= 0:
                break
            last = places[-1]
            if sign(rank - last.rank):
                last = _Breakpoint(rank, last.value + last.slope * (rank - last.rank), last.slope, [])
                places.append(last)
            last.poles.append((x, at, q))
            last.slope = last.slope - self._beta * q
        if self._dimension is not None and sign(self._dimension - places[-1].rank):
            last = places[-1]
            places.append(
                _Breakpoint(self._dimension, last.value + last.slope * (self._dimension - last.rank), zero, [])
            )
        elif self._dimension is None and sign(places[-1].slope) >= 0:
            raise DomainError(f"the sum {_short(e)} diverges with d = oo; give d = T**a by a=")
        return self._largest(places, p, (passed, later))

    def _sorted(self, poles: list[tuple[Any, Order, Expr, int]]) -> list[tuple[Any, Order, Expr, int]]:
        out: list[tuple[Any, Order, Expr, int]] = []
        for x in poles:
            at = 0
            while at < len(out) and self.chamber.sign(out[at][0] - x[0]) <= 0:
                at += 1
            out.insert(at, x)
        return out

    def _largest(self, places: list[_Breakpoint], p: Any, poles: Any) -> Order:
        top = [places[0]]
        for place in places[1:]:
            side = self.chamber.sign(place.value - top[0].value)
            if side >= 0:
                top = [place] if side > 0 else [*top, place]
        if len(top) > 1:  # as many terms as ranks on a logarithmic scale
            length = self.chamber.shown(top[-1].rank - top[0].rank)
            before = self._front(top[0].rank, None, poles)
            return Order(top[0].value, 1, None if before is None else length * before)
        return Order(top[0].value, 0, self._local(top[0], places, p, poles))

    def _front(self, rank: Any, here: Any, poles: Any) -> Expr | None:
        """Return the constant of the factors ``kappa**-q`` of the ranks up to one, or None if one is unknown."""
        passed, later = poles
        before = [(x, q) for x, _, q in passed]
        before += [(x, q) for at, x, _, q in later if self.chamber.sign(at - rank) <= (0 if here is None else -1)]
        if any(x.constant is None for x, _ in before):
            return None
        return Mul(*(x.constant**-q for x, q in before))

    def _local(self, place: _Breakpoint, places: list[_Breakpoint], p: Any, poles: Any) -> Expr | None:
        """Return the constant of the sum around the rank of its largest terms."""
        shown, beta = self.chamber.shown, self._beta
        front = self._front(place.rank, place, poles)
        if front is None:
            return None
        after = sum((q for at, _, _, q in poles[1] if self.chamber.sign(at - place.rank) > 0), 0)
        if place is places[0]:
            if place.poles or len(places) == 1:
                return None
            return front * zeta(shown(beta * (p - after)))
        if not place.poles:  # the end d
            crossing = any(not self.chamber.sign(at - place.rank) for at, *_ in poles[1])
            return None if crossing else front / shown(places[-2].slope)
        if len({at for _, at, _ in place.poles}) > 1 or place.poles[0][0].constant is None:
            return None
        if self._dimension is not None and not self.chamber.sign(self._dimension - place.rank):
            return None
        q = sum(q for *_, q in place.poles)
        power = shown(p - after - 1 / beta)
        return front * place.poles[0][0].constant ** (power - q) * beta_function(power, q - power) / shown(beta)

    # ------------------------------------------------------------------ implicit scalars
    def _fewer_rows(self, rows: Expr, t: Any) -> bool:
        """Return whether the rows are fewer than the directions."""
        if self._dimension is None:
            return True
        side = self.chamber.sign(t - self._dimension)
        if side:
            return side < 0
        if implied_by(self.laws.conditions, d - rows):
            return True
        if implied_by(self.laws.conditions, rows - d):
            return False
        raise DomainError(
            f"cannot decide whether {_short(rows)} is above or below d, both of one order; change the exponent a= of d"
        )

    def _threshold(self, t: Any) -> Any:
        r"""Return :math:`k` with :math:`\mathrm{df}_1(T^{-k})\asymp T^t`, for fewer rows than directions."""
        side = self.chamber.sign(self._beta - 1)
        if side > 0:
            return self._beta * t
        if side < 0 and self._dimension is not None:  # the sum of the small eigenvalues
            return t - (1 - self._beta) * self._dimension
        raise DomainError(
            "df1 of a power law with beta = 1 has a logarithm and no power-law asymptotics; take beta > 1"
        )

    def _interpolating(self, rows: Order, t: Any) -> Order:
        """Return the effective ridge without a ridge, for fewer rows than directions."""
        k = self._threshold(t)
        below = self._dimension is None or self.chamber.sign(self._dimension - t) > 0
        constant = None
        if below and rows.constant is not None and self.chamber.sign(self._beta - 1) > 0:
            b = self.laws.beta
            constant = (pi / b / sin(pi / b) / rows.constant) ** b
        return Order(-k, 0, constant)

    def _effective_ridge(self, T: Expr, lam: Expr) -> Order:
        rows, ridge = self.order(T), self.order(lam)
        t = rows.exponent
        if ridge.vanishes:
            return self._interpolating(rows, t) if self._fewer_rows(T, t) else Order(None)
        side = self.chamber.sign(ridge.exponent + self._threshold(t))
        if side == 0:  # one order, whichever is the larger
            return Order(ridge.exponent, ridge.log)
        return ridge if side > 0 or not self._fewer_rows(T, t) else self._interpolating(rows, t)

    def _residual_degrees(self, T: Expr, lam: Expr) -> Order:
        r"""Return that of :math:`T-\mathrm{df}_2=T\lambda/\kappa+\kappa\operatorname{tr}\Sigma(\Sigma+\kappa)^{-2}`."""
        kappa = EffectiveRidge(T, lam)
        found = self.order(kappa)
        if found.vanishes:  # T - d
            rows = self.order(T)
            near = self._dimension is not None and not self.chamber.sign(rows.exponent - self._dimension)
            return Order(rows.exponent, 0, None if near else rows.constant)
        spread = self._product((found, self.order(SpectralTrace(eigenvalue / (eigenvalue + kappa) ** 2))))
        return total((self._product((self.order(T), self.order(lam), found.power(Integer(-1)))), spread), self.chamber)

    def _feature_ridge(self, rows: Order, features: Order, ridge: Order) -> Order:
        t, m = rows.exponent, features.exponent
        sign = self.chamber.sign
        if sign(t - m) == 0:
            raise DomainError("cannot decide between T and m, both of one order; change the exponent of m")
        side = 1 if ridge.vanishes else -sign(ridge.exponent + self._threshold(t))
        if side <= 0:
            return ridge if side else Order(ridge.exponent, ridge.log)
        if sign(t - m) < 0 and (self._dimension is None or sign(t - self._dimension) < 0):
            return self._interpolating(rows, t)
        return ridge

    def _feature_residual(self, T: Expr, m: Expr, lam: Expr) -> Order:
        r"""Return that of :math:`T\lambda/\kappa_1+m\kappa_1\operatorname{tr}[\Sigma(\Sigma+\kappa)^{-2}]/(m-\mathrm{df}_2)`."""
        own = FeatureRidge(T, m, lam)
        kappa = EffectiveRidge(m, own)
        spread = m * own * SpectralTrace(eigenvalue / (eigenvalue + kappa) ** 2) / ResidualDegrees(m, own)
        return total((self.order(T * lam / own), self.order(spread)), self.chamber)

    def _digamma_difference(self, x: Expr, h: Expr) -> Order:
        step = self.order(h)
        if step.vanishes or not x.is_number or self.chamber.sign(step.exponent) >= 0:
            raise DomainError(f"no power-law asymptotics are known of {_short(DigammaDifference(x, h))}")
        return step * self._constant(polygamma(1, x))


_READABLE = 8  # conditions speak of short sums; to factor a long one takes minutes


@dataclass
class _Breakpoint:
    """A rank ``T**rank``, the exponent of the sum there and its slope beyond, and what ``s_j + kappa`` turn there."""

    rank: Any
    value: Any
    slope: Any
    poles: list[tuple[Order, Expr, int]]


def _short(e: Any) -> str:
    text = str(e)
    return text if len(text) <= 120 else f"{text[:117]}..."
