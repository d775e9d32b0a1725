r"""Tail cutting: tokens with a Zipf law, learnt by heart from text in which rare tokens are missing.

Token i of the truth has the probability :math:`p_i=i^{-\beta}/\zeta(\beta)`. A model knows the tokens that occur among the T
it was trained on; its error is the probability of meeting one that it does not know. Trained on i.i.d. tokens of a law q,

.. math:: E=\sum_ip_i(1-q_i)^T.

The training law may be *cut*, to :math:`q_i\propto i^{-\beta}` for :math:`i\le k`, or *narrowed*, to
:math:`q_i\propto i^{-\beta'}` with :math:`\beta'>\beta` (a temperature below one), or be what a generator gives that was itself
trained on :math:`T_0` tokens, n times over. With :math:`N_i` the count of token i in the text of the last generator
:math:`E=\sum_ip_i\,\mathbb E(1-N_i/T_0)^T`: the counts are a Wright-Fisher chain, and with :math:`f` a function of the count
:math:`(Pf)(m)=\mathbb Ef(\mathrm{Bin}(T_0,m/T_0))`, so that n generators take :math:`f(m)=(1-m/T_0)^T` to
:math:`P^{n-1}f`, and a last binomial mean, over :math:`\mathrm{Bin}(T_0,q_i)`, gives the chance that token i is unknown.

The sums are exact, over any number of tokens or infinitely many, at a cost that does not depend on it: the quadrature of
:mod:`collapse_theory.numerics.panels`. To leading order counts are Poisson, with :math:`u_0=T`, and n generators

.. math:: u_n=T_0g_n,\qquad g_1=1-e^{-T/T_0},\quad g_{k+1}=1-e^{-g_k},

leave :math:`e^{-u_nq_i}` of token i, hence, with :math:`c=(\beta-1)/\beta'`,

.. math:: E\sim Cu_n^{-c},\qquad C=\frac{\zeta(\beta')^{c}\,\Gamma(c)}{\beta'\,\zeta(\beta)}.

Since :math:`g_n\sim2/n`, the plateau that generators leave grows with their number like :math:`n^c`.

Source: Dohmatob, Feng, Yang, Charton, Kempe, A Tale of Tails, 2024 (the model and its exponents). The constants, the finite sums
and the law in n are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import gamma as gamma_function
from scipy.special import gammaincc
from sympy import Expr, S, gamma, zeta

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import Scalar, integer, real, real_values
from collapse_theory.core.precision import exact_context
from collapse_theory.families.binomial import probabilities
from collapse_theory.numerics.panels import Power, power_law_directions, usable_length

__all__ = ["Tails"]

_LARGEST = 1e250  # of T: probabilities of that order are numbers of float64
_STEEPEST = 100
_COUNTED = 2**53
_GENERATORS = 10**6
_BITS = 64
_DEPTH = 64  # octaves are rounded up to multiples of this, so that nodes serve many T
_NEGLIGIBLE = 1e-17  # share of the error that counts beyond the last one carry
_COUNTS, _ONCE = 4096, 200_000  # largest count carried through several generators, and through one
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Tails:
    r"""Zipf tokens :math:`p_i\propto i^{-\beta}` and the law that training text has.

    Args:
        beta: Exponent of the truth, above 1 where the vocabulary is infinite.
        cut: Largest rank k that training text contains.
        narrowed: Exponent of training text, at least ``beta``; None is that of the truth.
        vocabulary: Number of tokens of the truth.

    Raises:
        DomainError: If a parameter is out of range.

    >>> tails = Tails(beta=2)
    >>> tails.exponent, tails.constant
    (1/2, sqrt(6)/(2*sqrt(pi)))
    >>> round(tails.error(10**6), 9), round(tails.leading(10**6), 9)
    (0.000690988, 0.000690988)
    >>> tails.crossover(T0=10**4, n=1)  # more tokens of a generator trained on T0 do not help
    10000.0
    """

    beta: Scalar
    cut: int | float = math.inf
    narrowed: Scalar | None = None
    vocabulary: int | float = math.inf

    def __post_init__(self) -> None:
        """Check the parameters."""
        beta = real(self.beta, "beta", positive=True, number=True, most=_STEEPEST)
        training = beta if self.narrowed is None else real(self.narrowed, "narrowed", number=True, most=_STEEPEST)
        if training < beta:
            raise DomainError(
                f"narrowed needs to be >= beta, got narrowed={shown(self.narrowed)}, beta={shown(self.beta)}; a narrowed tail "
                "falls faster than the truth"
            )
        for name in ("cut", "vocabulary"):
            object.__setattr__(self, name, _count(getattr(self, name), name))
        if self.vocabulary == math.inf and beta <= 1:
            raise DomainError(
                f"beta needs to be > 1 where the vocabulary is infinite, got {shown(self.beta)}: its probabilities have no sum; "
                "give a finite vocabulary or a larger beta"
            )
        object.__setattr__(self, "beta", beta)
        object.__setattr__(self, "narrowed", training)

    # ------------------------------------------------------------------ exact sums
    def error(self, T: Any, *, T0: Any = None, n: Any = 0) -> Any:
        r"""Return the probability of a token that the model does not know; exact, relative error below 1e-12.

        A probability below the range of float64 is 0.

        Args:
            T: Tokens that the model is trained on, at most 1e250; ``inf`` gives the plateau. May be an array.
            T0: Tokens that each generator is trained on; needed if ``n`` >= 1.
            n: Number of generators between the training law and the model.

        Returns:
            A float, or an array of the shape of ``T``.

        Raises:
            DomainError: If an argument is out of range, or the chain of counts is too long to run.

        >>> round(Tails(beta=2, cut=100).error(math.inf), 6)  # the mass of the tail
        0.006049
        """
        return self._over(T, T0, n, lambda value, _: value)

    def slope(self, T: Any, *, T0: Any = None, n: Any = 0) -> Any:
        r"""Return the local exponent :math:`d\log E/d\log T` of :meth:`error`, exact; 0 on a plateau.

        Args:
            T: As in :meth:`error`.
            T0: As in :meth:`error`.
            n: As in :meth:`error`.

        Raises:
            DomainError: As in :meth:`error`, or if the error is too small for float64.

        >>> [round(Tails(beta=2).slope(10.0**k), 8) for k in (3, 9, 30)]
        [-0.49962525, -0.5, -0.5]
        """
        return self._over(T, T0, n, _ratio)

    def _over(self, T: Any, T0: Any, n: Any, result: Any) -> Any:
        rows, generators, tokens = _rows(T), *_generators(T0, n)
        out = [result(*self._at(x, tokens, generators)) for x in rows.ravel().tolist()]
        return float(out[0]) if rows.ndim == 0 else np.array(out, dtype=float).reshape(rows.shape)

    def _at(self, T: float, T0: int, n: int) -> tuple[float, float]:
        """Return the error and its derivative by log T."""
        law = self._law(_exponential_rows(T, T0, n))
        if n == 0:
            if math.inf == T:
                return law.lost, 0.0
            with np.errstate(divide="ignore"):
                log = T * np.log1p(-law.training)
            unknown = np.exp(log)
            slope = np.where(np.isfinite(log), log, 0.0) * unknown
        else:
            least = law.lost + _NEGLIGIBLE * max(self._leading(T, T0, n), np.finfo(float).tiny)
            unknown, slope = _through_generators(law.training, T, T0, n, least)
        return law.lost + float(law.truth @ unknown), float(law.truth @ slope)

    def _law(self, rows: float) -> _TokenLaws:
        depth = _DEPTH * math.ceil((math.log2(max(rows, 1.0)) + 4) / _DEPTH) if rows < math.inf else _DEPTH
        return _law(float(self.beta), float(S(self.narrowed)), min(self.cut, self.vocabulary), self.vocabulary, depth)

    # ------------------------------------------------------------------ leading order
    @property
    def exponent(self) -> Expr:
        r"""The exponent :math:`c=(\beta-1)/\beta'` of the falling law."""
        return (self.beta - 1) / S(self.narrowed)

    @property
    def constant(self) -> Expr:
        r"""The constant :math:`C=\zeta(\beta')^c\,\Gamma(c)/(\beta'\zeta(\beta))` of an infinite vocabulary.

        Raises:
            DomainError: If the vocabulary is finite and ``beta`` at most 1: there is no falling power.
        """
        c, width = self._power(), S(self.narrowed)
        return zeta(width) ** c * gamma(c) / (width * zeta(self.beta))

    def leading(self, T: Any, *, T0: Any = None, n: Any = 0) -> Any:
        r"""Return the leading order for many tokens, with its constant and, for a cut or a finite vocabulary, its plateau.

        :math:`Cu^{-c}Q\big(c,uq_k\big)` plus the mass of the tail, for many tokens u of the last paragraph of the module and a
        large rank k; Q is the regularised upper incomplete gamma function, 1 for an infinite vocabulary.

        Args:
            T: As in :meth:`error`.
            T0: As in :meth:`error`.
            n: As in :meth:`error`.

        Raises:
            DomainError: If an argument is out of range.
        """
        self._power()
        rows, generators, tokens = _rows(T), *_generators(T0, n)
        out = [self._leading(x, tokens, generators) for x in rows.ravel().tolist()]
        return float(out[0]) if rows.ndim == 0 else np.array(out).reshape(rows.shape)

    def _leading(self, T: float, T0: int, n: int) -> float:
        law, u, c = self._law(1.0), _exponential_rows(T, T0, n), float(self.exponent)
        if u == math.inf:
            return law.lost
        if c <= 0:  # an estimate of the size, for the sums
            return law.lost + math.exp(-min(u * law.last, 700.0))
        return law.lost + self._scale(law) * u**-c * (1.0 if law.last == 0 else float(gammaincc(c, u * law.last)))

    def _scale(self, law: _TokenLaws) -> float:
        """Return C with the sums of the given laws, which a cut or a finite vocabulary shortens."""
        c, width = float(self.exponent), float(S(self.narrowed))
        return law.width_sum**c * float(gamma_function(c)) / (width * law.truth_sum)

    def crossover(self, *, T0: Any = None, n: Any = 0) -> float:
        r"""Return the number of tokens from which the plateau is the larger part: where :math:`CT^{-c}` has fallen to it.

        Infinite where there is no plateau. For n generators it is :math:`T_0g_n(\infty)`, which is :math:`T_0` for one.

        Args:
            T0: As in :meth:`error`.
            n: As in :meth:`error`.

        Raises:
            DomainError: If an argument is out of range.
        """
        plateau = self.leading(math.inf, T0=T0, n=n)
        scale, c = self._scale(self._law(1.0)), float(self.exponent)
        return float((scale / plateau) ** (1 / c)) if plateau > 0 else math.inf

    def equivalent_cut(self, T0: Any, *, n: Any = 1) -> float:
        r"""Return the rank at which a plain cut leaves the plateau of n generators: :math:`k\asymp T_0^{1/\beta'}`.

        To leading order, from :math:`k^{-(\beta-1)}/((\beta-1)\zeta(\beta))=C(T_0g_n)^{-c}`.

        Args:
            T0: Tokens that each generator is trained on.
            n: Number of generators, >= 1.

        Raises:
            DomainError: If an argument is out of range, or the vocabulary or the cut is finite.

        >>> round(Tails(beta=2).equivalent_cut(10**6), 2)
        879.79
        """
        if min(self.cut, self.vocabulary) < math.inf:
            raise DomainError(
                f"equivalent_cut needs an infinite vocabulary without a cut, got {self}; compare the plateaus error(inf, ...)"
            )
        beta, law = float(self.beta), self._law(1.0)
        plateau = self.leading(math.inf, T0=T0, n=integer(n, "n", least=1, most=_GENERATORS))
        return float((plateau * (beta - 1) * law.truth_sum) ** (-1 / (beta - 1)))

    def _power(self) -> Expr:
        if self.beta <= 1:
            raise DomainError(
                f"the leading order needs beta > 1, got {self.beta}: no power falls until the vocabulary is exhausted; use error(T)"
            )
        return self.exponent


# ------------------------------------------------------------------ laws as nodes
@dataclass(frozen=True, eq=False)
class _TokenLaws:
    """A truth and a training law as nodes: sums over the tokens of training text are dot products.

    Attributes:
        training: Probabilities q at the nodes.
        truth: Weights of the nodes: numbers of tokens times p.
        lost: Probability under the truth of all tokens beyond the cut.
        truth_sum: The sum that p is divided by.
        width_sum: The sum that q is divided by.
        last: The probability q of the last token; 0 without one.
    """

    training: np.ndarray
    truth: np.ndarray
    lost: float
    truth_sum: float
    width_sum: float
    last: float


@lru_cache(maxsize=64)
def _law(beta: float, width: float, cut: int | float, vocabulary: int | float, octaves: int) -> _TokenLaws:
    with exact_context(_BITS + 30) as mp:
        b, w = mp.mpf(beta), mp.mpf(width)
        if cut < max(usable_length(width, _BITS), 2):
            ranks = np.arange(1, int(cut) + 1)
            values = [mp.mpf(int(i)) ** -w for i in ranks]
            truth = [mp.mpf(int(i)) ** -b for i in ranks]
            width_sum = mp.fsum(values)
        else:
            nodes = power_law_directions(
                Power(mp.mpf(1), -w), Power(mp.mpf(1), -b), cut, mp, bits=_BITS, octaves=octaves
            )
            values, truth = nodes.values, nodes.energies or []
            width_sum = mp.fsum(c * s for c, s in zip(nodes.counts, values, strict=True))
        known = mp.fsum(truth)
        lost = mp.mpf(0) if cut == vocabulary else _power_sum(b, cut, vocabulary)
        return _TokenLaws(
            np.array([min(float(s / width_sum), 1.0) for s in values]),
            np.array([float(t / (known + lost)) for t in truth]),
            float(lost / (known + lost)),
            float(known + lost),
            float(width_sum),
            0.0 if cut == math.inf else float(mp.mpf(int(cut)) ** -w / width_sum),
        )


def _power_sum(beta: Any, first: int | float, last: int | float) -> Any:
    """Return the sum of ``i**-beta`` over first < i <= last, in as many more digits as the difference costs."""
    with exact_context(_BITS + 120) as mp:
        b = mp.mpf(beta)
        if b == 1:
            return mp.digamma(int(last) + 1) - mp.digamma(int(first) + 1)
        beyond = mp.mpf(0) if last == math.inf else mp.zeta(b, int(last) + 1)
        return mp.zeta(b, int(first) + 1) - beyond


# ------------------------------------------------------------------ generators
def _exponential_rows(T: float, T0: int, n: int) -> float:
    """Return u: to leading order token i stays unknown with probability ``exp(-u q_i)``."""
    if n == 0:
        return T
    g = -math.expm1(-T / T0)
    for _ in range(n - 1):
        g = -math.expm1(-g)
    return T0 * g


def _through_generators(q: np.ndarray, T: float, T0: int, n: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the chance that a token stays unknown after n generators, and its derivative by log T.

    A count m of the last text leaves at most :math:`e^{-mg}` with the least :math:`g=g_n`, since
    :math:`\mathbb E e^{-gN}\le e^{-T_0x(1-e^{-g})}` for a binomial count: larger counts than :math:`\log(1/\text{least})/g` do not
    count.
    """
    g = _exponential_rows(T, T0, n) / T0
    most = min(T0, math.ceil(math.log(1 / least) / g) + 1) if g > 0 else T0
    limit = _COUNTS if n > 1 else _ONCE
    if most > limit:
        raise DomainError(
            f"n={n} generators of T0={T0} tokens need a chain of {most} counts at T={T:.3g}, more than {limit}; take fewer "
            "generators, or the leading order, which has no such limit"
        )
    m = np.arange(most + 1)
    log = np.full(m.shape, -np.inf)
    inside = (m > 0) & (m < T0)
    log[inside] = T * np.log1p(-m[inside] / T0)
    log[0] = 0.0
    f = np.exp(log)
    change = np.where(np.isfinite(log), log, 0.0) * f
    both = np.stack([f, change], axis=1)
    if n > 1:
        step = _binomials(T0, m / T0, m)
        for _ in range(n - 1):
            both = step @ both
    rows = max(1, _BLOCK // m.size)
    found = [_binomials(T0, q[i : i + rows], m) @ both for i in range(0, q.size, rows)]
    out = np.concatenate(found)
    return out[:, 0], out[:, 1]


def _binomials(T0: int, x: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Return ``Pr(Bin(T0, x) = m)``, one row per frequency."""
    count, frequency = np.broadcast_arrays(m[None, :], x[:, None])
    return probabilities(T0, count, frequency)


def _ratio(value: float, change: float) -> float:
    if value < np.finfo(float).tiny:
        raise DomainError(
            f"slope needs an error that float64 holds, got {value:.3g}; the vocabulary is exhausted, take fewer tokens"
        )
    return change / value


# ------------------------------------------------------------------ what is asked
def _count(value: Any, name: str) -> int | float:
    if value is S.Infinity or (isinstance(value, float) and value == math.inf):
        return math.inf
    return integer(value, name, least=1, most=_COUNTED, remedy="give a number of tokens, or math.inf")


def _rows(T: Any) -> np.ndarray:
    values = real_values(T, "T")
    if not ((values > 0) & ((values <= _LARGEST) | (values == math.inf))).all():
        raise DomainError(f"T needs to be between 0 and {_LARGEST:.0e}, or inf, got {shown(T)}; give numbers of tokens")
    return values


def _generators(T0: Any, n: Any) -> tuple[int, int]:
    """Return n and T0, checked; T0 is 1 where there is no generator."""
    number = integer(n, "n", least=0, most=_GENERATORS, remedy="give the number of generators")
    if number == 0:
        if T0 is not None:
            raise DomainError(f"T0 needs a generator to train, got T0={shown(T0)} with n=0; give n >= 1 or omit T0")
        return 0, 1
    if T0 is None:
        raise DomainError(f"T0 is needed for n={number} generators, got none; give the tokens that each is trained on")
    return number, integer(T0, "T0", least=1, most=_COUNTED, remedy="give the tokens that each generator is trained on")
