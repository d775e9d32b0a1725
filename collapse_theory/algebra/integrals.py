r"""Integrals of a function of the covariance, as opaque SymPy expressions.

:class:`SpectralTrace` is :math:`\operatorname{tr}f(\Sigma)=\int f\,d\mu_\Sigma`, :class:`QuadraticForm` is
:math:`w_0^\top f(\Sigma)w_0`, and :class:`OffsetForm` is that of two of several truths. The integrand is a SymPy expression in
the bound eigenvalue ``symbols.eigenvalue`` (one for each of several commuting covariances). In the theory of regression all live
on the range of :math:`\Sigma`: a direction without input variance carries neither information nor risk.
"""

from __future__ import annotations

from typing import Any

from sympy import Add, Expr, Integer, Mul, Pow, S, Symbol, factor, fraction, together
from sympy.core.symbol import Str
from sympy.printing.precedence import PRECEDENCE

from collapse_theory import symbols
from collapse_theory.algebra.opaque import Opaque, argument
from collapse_theory.algebra.printing import matrix_function
from collapse_theory.describe.truths import ENERGIES, Pair, pair_of
from collapse_theory.symbols import Eigenvalue, eigenvalue

__all__ = ["OffsetForm", "QuadraticForm", "SpectralIntegral", "SpectralTrace", "df", "offset_tex"]


class SpectralIntegral(Opaque):
    """Base of the two integrals: linear, differentiable under the integral, with a protected bound symbol.

    The integrand is brought to a canonical form, so that equal rational integrands give equal objects, and factors free
    of the bound symbol are pulled out.
    """

    is_finite = True
    _binds = Eigenvalue
    # SymPy's rewriting (cse, together, powsimp, ...) leaves atoms alone: it would pull the bound symbol out.
    is_Atom = True

    def __new__(cls, integrand: Any, *against: Any) -> Expr:
        """Return the integral of ``integrand``, a SymPy expression in the bound eigenvalue."""
        f = _canonical(argument(integrand))
        outer, inner = f.as_independent(*_bound(f), as_Add=False) if _bound(f) else (f, S.One)
        if outer.is_zero:
            return S.Zero
        return outer * cls._of(inner, *against)

    @classmethod
    def _of(cls, inner: Expr, *against: Any) -> Expr:
        return Expr.__new__(cls, inner, *against)

    def like(self, integrand: Any) -> Expr:
        """Return the integral of another function against the same measure."""
        return type(self)(integrand, *self.args[1:])

    @classmethod
    def written(cls, integrand: Expr, *against: Any) -> Expr:
        """Return the integral of a product as it is written: not factored, which takes long where many matrices meet."""
        outer, inner = (
            integrand.as_independent(*_bound(integrand), as_Add=False) if _bound(integrand) else (integrand, S.One)
        )
        return outer * cls._of(inner, *against)

    @property
    def integrand(self) -> Expr:
        """The function of the bound eigenvalue."""
        return self.args[0]

    @property
    def bound_symbols(self) -> list[Symbol]:
        """The eigenvalues integrated over."""
        return _bound(self.integrand)

    def _derivative(self, x: Symbol) -> Expr:
        return self.like(self.integrand.diff(x))

    def _eval_expand_basic(self, **_: Any) -> Expr:
        """Split the numerator by powers of the eigenvalue: the linear normal form."""
        numerator, denominator = fraction(together(self.integrand))
        terms = Add.make_args(numerator.expand())
        if len(terms) == 1:
            return self
        return Add(*(self.like(t / denominator) for t in terms))


class SpectralTrace(SpectralIntegral):
    r"""The trace :math:`\operatorname{tr}f(\Sigma)=\sum_jf(s_j)` over the range of :math:`\Sigma`.

    Args:
        integrand: SymPy expression in the bound eigenvalue; ``1`` gives the dimension ``d``.

    >>> from collapse_theory.symbols import eigenvalue as s, kappa
    >>> SpectralTrace(2 * s / (s + kappa)) == 2 * SpectralTrace(s / (s + kappa))
    True
    >>> SpectralTrace(1 - kappa / (s + kappa)) == df(1, kappa)
    True
    """

    @classmethod
    def _of(cls, inner: Expr, *against: Any) -> Expr:
        return symbols.d if inner == 1 else super()._of(inner, *against)

    def _tex(self, printer: Any) -> tuple[str, str]:
        kappa = _degrees_of_freedom(self.integrand)
        if kappa is not None:
            order, x = kappa
            return rf"\mathrm{{df}}_{{{order}}}({printer.doprint(x)})", ""
        return rf"\operatorname{{tr}}\left[{matrix_function(self.integrand, printer)}\right]", ""

    def _sympystr(self, printer: Any) -> str:
        return f"tr[{printer.doprint(self.integrand)}]"


class QuadraticForm(SpectralIntegral):
    r"""The quadratic form :math:`w_0^\top f(\Sigma)w_0=\sum_jw_{0,j}^2f(s_j)` of the true coefficients.

    Args:
        integrand: SymPy expression in the bound eigenvalue.

    >>> from collapse_theory.symbols import eigenvalue as s
    >>> QuadraticForm(3 * s)
    3*w0'[Sigma]w0
    """

    precedence = PRECEDENCE["Mul"] + 1  # stands in a product as it is, but a power needs parentheses

    def _tex(self, printer: Any) -> tuple[str, str]:
        inner = matrix_function(self.integrand, printer)
        return rf"w_0^\top {inner} w_0" if self.integrand != 1 else r"w_0^\top w_0", ""

    def _sympystr(self, printer: Any) -> str:
        return f"w0'[{printer.doprint(self.integrand)}]w0"


class OffsetForm(SpectralIntegral):
    r"""The form :math:`(w_u-w_0)^\top f(\Sigma)(w_v-w_0)` of the offsets of other truths, or :math:`w_0^\top f(\Sigma)(w_u-w_0)`.

    Args:
        integrand: SymPy expression in the bound eigenvalue.
        first: Name of a truth, as SymPy's ``Str``: "w0" is the tested truth itself, another name its offset from it.
        second: Another one, or the same.

    >>> from collapse_theory.symbols import eigenvalue as s
    >>> OffsetForm(3 * s, Str("w1"), Str("w0"))
    3*w0'[Sigma](w1 - w0)
    >>> OffsetForm(s, Str("w0"), Str("w0"))
    w0'[Sigma]w0
    """

    precedence = PRECEDENCE["Mul"] + 1  # as that of the quadratic form

    def __new__(cls, integrand: Any, first: Str, second: Str) -> Expr:
        """Return the form; the two truths are put in order, and the tested one twice is a quadratic form."""
        truths = pair_of(argument(first).name, argument(second).name)
        return QuadraticForm(integrand) if truths == ENERGIES else super().__new__(cls, integrand, *map(Str, truths))

    @property
    def truths(self) -> Pair:
        """The names of the two truths."""
        first, second = self.args[1:]
        return first.name, second.name

    def _tex(self, printer: Any) -> tuple[str, str]:
        left, right = (offset_tex(name) for name in self.truths)
        inner = matrix_function(self.integrand, printer) if self.integrand != 1 else ""
        return rf"{left}^\top {inner} {right}", ""

    def _sympystr(self, printer: Any) -> str:
        left, right = (name if name == ENERGIES[0] else f"({name} - {ENERGIES[0]})" for name in self.truths)
        return f"{left}'[{printer.doprint(self.integrand)}]{right}"


def offset_tex(name: str) -> str:
    """Return how an offset is printed; "w0" is the tested truth itself."""
    if name == ENERGIES[0]:
        return "w_0"
    letter, number = name[:1], name[1:]
    index = number if letter == "w" and number.isdigit() else rf"\mathrm{{{name.replace('_', ' ')}}}"
    return rf"\left(w_{{{index}}} - w_0\right)"


def df(order: int, kappa: Expr) -> Expr:
    r"""Return the degrees of freedom :math:`\mathrm{df}_k(\kappa)=\operatorname{tr}\Sigma^k(\Sigma+\kappa)^{-k}`.

    Args:
        order: The power ``k``, a positive integer.
        kappa: The effective ridge, a SymPy expression.

    >>> df(2, symbols.kappa)
    tr[Sigma**2/(Sigma + kappa)**2]
    """
    return SpectralTrace((eigenvalue / (eigenvalue + kappa)) ** order)


def _bound(e: Any) -> list[Symbol]:
    return sorted((x for x in getattr(e, "free_symbols", ()) if isinstance(x, Eigenvalue)), key=lambda x: x.name)


def _canonical(f: Expr) -> Expr:
    """Return the factored fraction of a rational integrand.

    A product of powers of linear factors is canonical already, and the rest is factored. Symbolic exponents (powers by
    generation) are left as written: factoring does not apply to them.
    """
    if all(_simple(x) for x in Mul.make_args(f)):
        return f
    if any(not p.exp.is_Integer and _bound(p) for p in f.atoms(Pow)):
        return f
    return factor(f)


def _simple(x: Expr) -> bool:
    base = x.as_base_exp()[0]
    if not _bound(base) or base.is_Symbol:
        return True
    if not base.is_Add:
        return False
    # s + constant, written with unit coefficient and a constant that is not itself a sum
    return len(base.args) == 2 and any(isinstance(a, Eigenvalue) for a in base.args)


def _degrees_of_freedom(f: Expr) -> tuple[Integer, Expr] | None:
    """Return ``(order, kappa)`` if the integrand is ``(s/(s+kappa))**order``."""
    powers = dict(x.as_base_exp() for x in Mul.make_args(f))
    order = powers.pop(eigenvalue, None)
    if order is None or len(powers) != 1:
        return None
    base, exponent = powers.popitem()
    kappa = base - eigenvalue
    return (order, kappa) if exponent == -order and order.is_Integer and not _bound(kappa) else None
