r"""Expansions of a formula on power laws in powers of T, beyond the leading one.

A sum over the spectrum is expanded by the method of regions, which are the residues of its Mellin transform: with
:math:`s=j^{-\beta}` and poles :math:`-\kappa_i` on different scales it is a sum over the scales :math:`s\sim1` and
:math:`s\sim\kappa_i`, in each of which the other factors are expanded in :math:`s/\kappa` or :math:`\kappa/s`,

.. math:: \sum_js_j^p\to\zeta(\beta p),\qquad
   \sum_js_j^p(s_j+\kappa)^{-q}\to\tfrac1\beta B\big(p-\tfrac1\beta,q-p+\tfrac1\beta\big)\kappa^{p-q-1/\beta},

and at the end of the spectrum :math:`\sum_{j\le d}s_j^p\to d^{1-\beta p}/(1-\beta p)`. For one pole that is
:math:`\mathrm{df}_1=\frac{\pi/\beta}{\sin(\pi/\beta)}\kappa^{-1/\beta}+\sum_m(-\kappa)^m\zeta(-m\beta)`. A pole of two of these
functions at once is a logarithm, and two :math:`\kappa` of one order have no scales of their own: both are refused.

The effective ridge is the fixed point of :math:`\kappa=\lambda+\kappa\,\mathrm{df}_1(\kappa)/T`, or of that equation solved for
the leading term of :math:`\mathrm{df}_1`, whichever contracts; each step gains a power of T.

Source: Beneke, Smirnov 1998 (regions); Flajolet, Gourdon, Dumas 1995 (Mellin transforms and harmonic sums).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sympy import Add, Expr, Integer, Mul, Pow, Rational, S, Symbol, binomial, gamma, pi, sin, zeta

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.exponents import Order
from collapse_theory.algebra.integrals import OffsetForm, QuadraticForm, SpectralIntegral
from collapse_theory.algebra.power_sums import PowerSum
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.derive.asymptotics import Asymptotics
from collapse_theory.derive.integrands import integrand_factors
from collapse_theory.symbols import d

__all__ = ["Expansion", "expanded"]

_WINDOWS = tuple(Fraction(x) for x in ("1/16", "1/8", "1/4", "1/2", "1", "5/4", "5/2", "4"))
_MOST = 60  # powers of T in one window


def expanded(
    e: Expr, order: Order, asymptotics: Asymptotics, fixed: Mapping[Symbol, Expr], powers: int
) -> dict[Fraction, Expr]:
    """Return the largest powers of T in an expression with their constants, all exponents numbers.

    Args:
        e: The expression.
        order: Its order, which the expansion needs to agree with.
        asymptotics: The orders of its parts.
        fixed: Values of the symbols that do not change with T.
        powers: How many.

    Raises:
        DomainError: If two scales tie, an object has no expansion, or the powers are too close or too far apart.
    """
    for window in _WINDOWS:
        found = Expansion(asymptotics, fixed, window).of(e)
        if len(found.terms) >= powers or found.error is None:
            break
    else:
        raise DomainError(
            f"the next power of T of {shown(e)} is too far below the leading one, or never known; take powers=1"
        )
    lead = Fraction(str(asymptotics.chamber.shown(order.exponent)))
    if order.exact and found.terms and found.lead != lead:
        raise AssertionError(f"the expansion of {shown(e)} needs to begin with T**{lead}, got T**{found.lead}")
    return dict(found.largest[:powers])


@dataclass
class Expansion:
    """Expansions of the parts of a formula.

    Attributes:
        asymptotics: The leading orders.
        fixed: Values of the symbols that do not change with T.
        window: Exponent of the remainder below that of the leading term.
    """

    asymptotics: Asymptotics
    fixed: Mapping[Symbol, Expr]
    window: Fraction
    _known: dict[Expr, PowerSum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the exponents of the laws as fractions."""
        laws = self.asymptotics.laws
        self._beta, self._r = Fraction(str(laws.beta)), Fraction(str(laws.r))
        self._dimension = None if laws.dimension is None else Fraction(str(laws.dimension))

    def of(self, e: Expr) -> PowerSum:
        """Return the expansion of an expression.

        Raises:
            DomainError: If it has none.
        """
        if e not in self._known:
            self._known[e] = _few(self._of(e))
        return self._known[e]

    def _of(self, e: Expr) -> PowerSum:
        if isinstance(e, Symbol):
            return self._symbol(e)
        if isinstance(e, Add):
            return sum(map(self.of, e.args), PowerSum())
        if isinstance(e, Mul):
            return self._product(list(map(self.of, e.args)))
        if isinstance(e, Pow) and e.exp.is_Rational and not e.is_number:
            return self.of(e.base).power(e.exp, self.window)
        if isinstance(e, OffsetForm):
            raise DomainError(
                f"rates need one truth, got {e}: offsets have no source exponent; test with TRUTH as the labeller"
            )
        if isinstance(e, SpectralIntegral):
            return self._integral(e)
        if isinstance(e, EffectiveRidge):
            return self._effective_ridge(e)
        if isinstance(e, ResidualDegrees):
            return self._residual_degrees(*e.args)
        if e.is_number and e.is_finite:
            return PowerSum.power_of(0, e) if e != 0 else PowerSum()
        raise DomainError(f"no expansion in powers of T is known of {shown(e)}; take powers=1")

    def _symbol(self, x: Symbol) -> PowerSum:
        laws = self.asymptotics.laws
        if x in self.asymptotics.definitions:
            return self.of(self.asymptotics.definitions[x])
        if x == d:  # d is the integer part of T**a
            if self._dimension is None:
                raise DomainError("the number d of features needs to be finite here; give d = T**a by a=")
            return PowerSum.power_of(self._dimension).cut(Fraction(0))
        if x in self.fixed:
            value = self.fixed[x]
            return PowerSum.power_of(0, value) if value != 0 else PowerSum()
        exponent = laws.scales.get(x, S.Zero)
        return PowerSum() if exponent is None else PowerSum.power_of(exponent)

    @staticmethod
    def _product(factors: list[PowerSum]) -> PowerSum:
        out = PowerSum.power_of(0)
        for x in factors:
            out = out * x
        return out

    # ------------------------------------------------------------------ sums over the spectrum
    def _integral(self, e: SpectralIntegral) -> PowerSum:
        measure = 2 * self._r - 1 + 1 / self._beta if isinstance(e, QuadraticForm) else Fraction(0)
        numerators, denominators = integrand_factors(e.integrand)
        scale = PowerSum.power_of(0)
        poles: dict[Expr, int] = {}
        for lead, at, q in denominators:
            scale = scale * self.of(lead).power(-q, self.window)
            if at is not None:
                poles[at] = poles.get(at, 0) + q
        terms = {0: scale}
        for coefficients, power in numerators:
            for _ in range(power):
                grown: dict[int, PowerSum] = {}
                for p, x in terms.items():
                    for q, c in coefficients:
                        grown[p + q] = grown.get(p + q, PowerSum()) + x * self.of(c)
                terms = grown
        located = [(self.of(at), q) for at, q in poles.items()]
        gone = sum(q for at, q in located if at.vanishes)
        located = [(at, q) for at, q in located if not at.vanishes]
        parts = [x * self.power_sum(measure + p - gone, located) for p, x in terms.items() if not x.vanishes]
        return sum(parts, PowerSum())

    def power_sum(self, p: Fraction, poles: list[tuple[PowerSum, int]]) -> PowerSum:
        r"""Return :math:`\sum_js_j^p\prod_i(s_j+\kappa_i)^{-q_i}`.

        Raises:
            DomainError: If two scales tie.
        """
        return sum((self._region(p, poles, i) for i in self._regions(poles)), PowerSum())

    def _regions(self, poles: list[tuple[PowerSum, int]]) -> list[int]:
        """Return the places of the poles within the spectrum, -1 for its beginning and -2 for its end."""
        end = None if self._dimension is None else -self._beta * self._dimension
        within = [i for i, (at, _) in enumerate(poles) if at.lead < 0 and (end is None or at.lead > end)]
        scales = [Fraction(0), *(at.lead for at, _ in poles), *([] if end is None else [end])]
        if len(set(scales)) < len(scales):
            raise DomainError(
                "the next power of T is not known at these exponents, at which two scales are of one order; choose ell inside a "
                "regime, or take powers=1"
            )
        return [-1, *within, *([] if end is None else [-2])]

    def _region(self, p: Fraction, poles: list[tuple[PowerSum, int]], place: int) -> PowerSum:
        """Return what the eigenvalues of one scale add."""
        here = poles[place][0].lead if place >= 0 else Fraction(0)
        if place == -2:
            here = -self._beta * (self._dimension or 0)
        terms = [(p, PowerSum.power_of(0))]
        for i, (at, q) in enumerate(poles):
            if i == place:
                continue
            above = at.lead > here
            steps = range(int(self.window / abs(at.lead - here)) + 1)
            powers = [(m, at.power(-q - m if above else m, self.window) * _constant(binomial(-q, m))) for m in steps]
            if len(terms) * len(powers) > _MOST:
                raise _close()
            terms = [(x + (m if above else -q - m), c * k) for x, c in terms for m, k in powers]
        whole = sum((c * self._local(x, poles, place) for x, c in terms), PowerSum())
        first, coefficient = terms[0]
        return whole.cut(coefficient.lead + self._size(first, poles, place) - self.window)

    def _size(self, p: Fraction, poles: list[tuple[PowerSum, int]], place: int) -> Fraction:
        if place == -1:
            return Fraction(0)
        if place == -2:
            return (self._dimension or 0) * (1 - self._beta * p)
        at, q = poles[place]
        return at.lead * (p - q - 1 / self._beta)

    def _local(self, p: Fraction, poles: list[tuple[PowerSum, int]], place: int) -> PowerSum:
        x = self._beta * p
        if place < 0 and x == 1:
            raise _logarithm()
        if place == -1:
            return _constant(zeta(_rational(x)))
        if place == -2:  # less half a term, and d is an integer
            size = (self._dimension or 0) * (1 - x)
            return PowerSum({size: 1 / _rational(1 - x)}, size - (self._dimension or 0))
        at, q = poles[place]
        left, right = p - 1 / self._beta, q - p + 1 / self._beta
        if any(y <= 0 and y.denominator == 1 for y in (left, right)):
            raise _logarithm()
        constant = gamma(_rational(left)) * gamma(_rational(right)) / gamma(Integer(q)) / _rational(self._beta)
        return at.power(_rational(-right), self.window) * _constant(constant)

    # ------------------------------------------------------------------ implicit scalars
    def _effective_ridge(self, e: EffectiveRidge) -> PowerSum:
        rows, ridge = map(self.of, e.args)
        order = self.asymptotics.order(e)
        if order.vanishes:
            return PowerSum()
        lead = Fraction(str(self.asymptotics.chamber.shown(order.exponent)))
        if order.constant is None:
            raise DomainError(
                f"the constant of {shown(e)} is not known at these exponents, at which two scales are of one order; choose ell "
                "inside a regime"
            )
        inverse = rows.power(-1, self.window)
        if not ridge.vanishes and lead == ridge.lead:
            first = self.power_sum(Fraction(1), [(ridge, 1)]).lead - rows.lead

            def step(kappa: PowerSum) -> PowerSum:
                return ridge + kappa * self.power_sum(Fraction(1), [(kappa, 1)]) * inverse

            return self._fixed_point(step, ridge.cut(lead + first), lead)
        b = _rational(self._beta)
        front = _constant((pi / b / sin(pi / b)) ** b)

        def solved(kappa: PowerSum) -> PowerSum:
            poles = [(kappa, 1)]
            rest = sum((self._region(Fraction(1), poles, i) for i in self._regions(poles) if i < 0), PowerSum())
            felt = rows * ridge * kappa.power(-1, self.window)
            return front * (rows + _constant(-1) * (felt + rest)).power(-b, self.window)

        gaps = [rows.lead, *([] if ridge.vanishes else [lead - ridge.lead])]
        if self._dimension is not None:  # the directions beyond the end
            gaps.append((self._beta - 1) * (self._dimension - rows.lead))
        start = (front * rows.power(-b, self.window)).cut(lead - min(gaps))
        return self._fixed_point(solved, start, lead)

    def _fixed_point(self, step: Callable[[PowerSum], PowerSum], start: PowerSum, lead: Fraction) -> PowerSum:
        """Return the fixed point of a map that moves the remainder down, as far as the window."""
        kappa = start
        while kappa.error is not None and kappa.error > lead - self.window:
            better = _few(step(kappa))
            if better.error is not None and better.error >= kappa.error:
                return better  # what is known of d and T
            kappa = better
        return kappa

    def _residual_degrees(self, T: Expr, lam: Expr) -> PowerSum:
        r"""Return :math:`T\lambda/\kappa+\kappa\operatorname{tr}\Sigma(\Sigma+\kappa)^{-2}`."""
        kappa = self.of(EffectiveRidge(T, lam))
        if kappa.vanishes:
            return self.of(T) + _constant(-1) * self.of(d)
        spread = kappa * self.power_sum(Fraction(1), [(kappa, 2)])
        return self.of(T) * self.of(lam) * kappa.power(-1, self.window) + spread


def _rational(x: Fraction) -> Rational:
    return Rational(x.numerator, x.denominator)


def _constant(c: Any) -> PowerSum:
    return PowerSum.power_of(0, c)


def _few(x: PowerSum) -> PowerSum:
    """Return a sum that is short enough to be continued."""
    if len(x.terms) > _MOST:
        raise _close()
    return x


def _close() -> DomainError:
    return DomainError(
        "the next power of T is hidden by very many that lie close together at these exponents; change ell or b a little, or take "
        "powers=1"
    )


def _logarithm() -> DomainError:
    return DomainError(
        "the next power of T has a logarithm at these exponents, at which two powers are equal; change beta or r a little, or take "
        "powers=1"
    )
