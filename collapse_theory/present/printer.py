r"""The printer of formulas: positive terms first, one fraction per product, none inside another.

A product :math:`ab/c` is one fraction. A factor that is a sum with a fraction in it stands behind, in brackets: there it needs no
fraction within a fraction. What is left of them in arguments, exponents and denominators is written with a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from sympy import Add, Basic, Expr, Float, Integer, Mul, Pow, Rational, S, Symbol
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter

from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.symbols import LATEX, Generated

__all__ = ["TheoryLatexPrinter", "derivative_of", "is_negative", "to_latex", "tokens"]

_TOKEN = re.compile(r"(?:\\(?:operatorname|mathrm)\{\w+\}|\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|[^\s_])(?:_\{?\w+\}?)?")
_SILENT = frozenset([r"\left", r"\right", r"\,", r"\;", "&", "{", "}"])
_LONG = 12  # tokens from which a term of a sum stands behind its number
_DIGITS = 17  # of a decimal fraction that is printed as one, as many as a float has


class TheoryLatexPrinter(LatexPrinter):
    """SymPy's LaTeX printer with the symbols of the theory.

    Args:
        decimals: Whether short decimal fractions are printed as such: the numbers of a pipeline, as they were written.
    """

    def __init__(self, *, decimals: bool = False) -> None:
        super().__init__({
            "symbol_names": {}, "full_prec": False, "fold_short_frac": False, "mul_symbol": None, "ln_notation": False,
        })  # fmt: skip
        self._decimals, self._slashes = decimals, False
        self._known: dict[tuple[Basic, bool], str] = {}

    @contextmanager
    def _slashed(self) -> Iterator[None]:
        """Write quotients with a slash: the place is small already."""
        before, self._slashes = self._slashes, True
        try:
            yield
        finally:
            self._slashes = before

    def _print(self, expr: Any, **options: Any) -> str:
        """Print an expression, once: the search for a short form measures the same parts in many of them."""
        if options or not isinstance(expr, Basic):
            return str(super()._print(expr, **options))
        key = (expr, self._slashes)
        if key not in self._known:
            self._known[key] = str(super()._print(expr))
        return self._known[key]

    def _small(self, e: Any) -> str:
        with self._slashed():
            return str(self._print(e))

    # ------------------------------------------------------------------ atoms
    def _print_Symbol(self, expr: Symbol, style: str = "plain") -> str:
        if expr.name.startswith("a'") or "\\" in expr.name:  # already LaTeX: the response, a name of ours
            return str(expr.name)
        return LATEX.get(expr.name) or str(super()._print_Symbol(expr, style))

    def _print_Integer(self, expr: Integer) -> str:
        return f"-{-int(expr)}" if expr < 0 else str(int(expr))

    def _print_Rational(self, expr: Rational) -> str:
        if expr < 0:
            return f"-{self._print(-expr)}"
        written = _decimal(expr) if self._decimals else None
        quotient = f"{expr.p} / {expr.q}" if self._slashes else rf"\frac{{{expr.p}}}{{{expr.q}}}"
        return written or quotient

    def _print_Float(self, expr: Float) -> str:
        return _decimal(Rational(str(float(expr)))) or str(super()._print_Float(expr))

    def _print_harmonic(self, expr: Expr, exp: str | None = None) -> str:
        n, *order = (self._small(a) for a in expr.args)
        head = rf"H_{{{n}}}" + (f"^{{({order[0]})}}" if order else "")
        return head if exp is None else rf"\left({head}\right)^{{{exp}}}"

    def _print_Function(self, expr: Expr, exp: str | None = None) -> str:
        if not isinstance(expr, AppliedUndef):
            return str(super()._print_Function(expr, exp))
        inner = ", ".join(self._small(a) for a in expr.args)
        return rf"\{expr.func.__name__}\left({inner}\right)" + ("" if exp is None else f"^{{{exp}}}")

    def _print_sin(self, expr: Expr, exp: str | None = None) -> str:
        head = r"\sin" if exp is None else rf"\sin^{{{exp}}}"
        return rf"{head}\left({self._small(expr.args[0])}\right)"

    # ------------------------------------------------------------------ sums
    def _print_Add(self, expr: Add, order: str | None = None) -> str:
        shared = {x.as_coeff_Mul()[0].q for x in expr.args if x.as_coeff_Mul()[0].is_Rational}
        if len(shared) == 1 and shared != {1} and not self._decimals and not self._slashes:
            (q,) = shared
            if all(map(is_negative, expr.args)):
                return rf"-\frac{{{self._small(Add(*(-q * x for x in expr.args)))}}}{{{q}}}"
            return rf"\frac{{{self._small(Add(*(q * x for x in expr.args)))}}}{{{q}}}"
        out = ""
        for term in self._in_reading_order(self._as_ordered_terms(expr, order=order)):
            negative = is_negative(term)
            body = self._bracketed(-term if negative else term)
            out += (" - " if negative else " + ") + body if out else ("-" if negative else "") + body
        return out

    def _in_reading_order(self, terms: list[Expr]) -> list[Expr]:
        """Return terms with a number before long ones, and one that is not subtracted first."""
        numbers = [x for x in terms if x.is_number]
        if numbers and any(tokens(self._print(x)) >= _LONG for x in terms if x not in numbers):
            terms = numbers + [x for x in terms if x not in numbers]
        terms = sorted(terms, key=lambda x: isinstance(x, Generated))  # a name of ours stands behind
        added = [x for x in terms if not is_negative(x)]
        if any(y.is_Pow and y.exp.is_Integer and y.exp > 1 for x in terms for y in Mul.make_args(x)):
            added = added[:1]  # the powers of a polynomial keep their order
        return added + [x for x in terms if not any(x is y for y in added)]

    # ------------------------------------------------------------------ products
    def _print_Mul(self, expr: Mul) -> str:
        if is_negative(expr):
            return f"-{self._bracketed(-expr)}"
        above, below = self._fraction(expr)
        if not below:
            return self._product(above)
        if self._slashes:
            bottom = self._product(below)
            single = len(below) == 1 and not below[0].is_Add
            top = self._product(above) if len(above) > 1 else self._bracketed(*above or [S.One])
            return f"{top} / " + (bottom if single else rf"\left({bottom}\right)")
        behind = [x for x in above if x.is_Add and _has_quotient(x)]
        with self._slashed():
            top, bottom = self._product([x for x in above if x not in behind]), self._product(below)
        return " ".join([rf"\frac{{{top}}}{{{bottom}}}", *(rf"\left({self._print(x)}\right)" for x in behind)])

    def _fraction(self, expr: Expr) -> tuple[list[Expr], list[Expr]]:
        """Return the factors above and below the line, in reading order; a decimal number stands above."""
        above: list[Expr] = []
        below: list[Expr] = []
        for x in _contents_apart(Mul.make_args(expr)):
            base, exponent = x.as_base_exp()
            if x.is_Rational:
                whole = (
                    self._decimals and _decimal(x) is not None and (x.p != 1 or x.q > 10**4)
                )  # a fortieth divides by 40
                above += [x] if whole else [S(x.p)] * (x.p != 1)
                below += [] if whole else [S(x.q)] * (x.q != 1)
            elif exponent.could_extract_minus_sign():
                below.append(Pow(base, -exponent, evaluate=-exponent == 1))
            else:
                above.append(x)
        return sorted(_one_root(above), key=_reading_order), sorted(_one_root(below), key=_reading_order)

    def _product(self, factors: list[Expr]) -> str:
        if len(factors) == 1:
            return str(self._print(factors[0]))
        shown = list(map(self._bracketed, factors))
        # an upright name stands apart from the letter before it
        return " ".join(rf"\, {x}" if i and x.startswith(r"\mathrm") else x for i, x in enumerate(shown)) or "1"

    def _bracketed(self, x: Expr) -> str:
        return rf"\left({self._print(x)}\right)" if x.is_Add else str(self._print(x))

    def _print_Pow(self, expr: Pow) -> str:
        base, exponent = expr.as_base_exp()
        if exponent.could_extract_minus_sign():
            return self._print_Mul(expr)
        if exponent == Rational(1, 2):
            return rf"\sqrt{{{self._small(base)}}}"
        power = self._small(exponent)
        if base.is_Function or isinstance(base, Opaque):
            return str(self._print(base, exp=power))
        text = str(self._print(base))
        plain = (base.is_Symbol and "^" not in text) or (base.is_Integer and base >= 0) or base.is_NumberSymbol
        return (text if plain else rf"\left({text}\right)") + f"^{{{power}}}"


def to_latex(e: Any) -> str:
    r"""Return the LaTeX of an expression with the symbols of the theory.

    >>> from collapse_theory.symbols import lam, sigma0, T, d
    >>> to_latex(lam * sigma0**2 / (T - d - 1))
    '\\frac{\\lambda \\sigma_{0}^{2}}{T - d - 1}'
    """
    return str(TheoryLatexPrinter().doprint(e))


def derivative_of(quantity: str, by: Sequence[Symbol], printer: LatexPrinter) -> str:
    r"""Return the sign of a derivative, by symbols in the order in which they were taken.

    >>> from collapse_theory.symbols import T, lam
    >>> derivative_of("E", (lam, lam, T), TheoryLatexPrinter())
    '\\frac{\\partial^{3} E}{\\partial \\lambda^{2} \\partial T}'
    """
    order = f"^{{{len(by)}}}" if len(by) > 1 else ""
    below = (
        rf"\partial {printer.doprint(x)}" + (f"^{{{by.count(x)}}}" if by.count(x) > 1 else "")
        for x in dict.fromkeys(by)
    )
    above = rf"\partial{order} {quantity}".strip()
    return rf"\frac{{{above}}}{{{' '.join(below)}}}"


def tokens(latex: str) -> int:
    r"""Return how many signs a reader sees, as a measure of a formula's length; an index belongs to its letter.

    >>> tokens(r"\frac{a}{b + c}"), tokens(r"T_{0} \left(1 - a\right)^{2}")
    (5, 8)
    """
    return sum(x not in _SILENT for x in _TOKEN.findall(latex))


def is_negative(term: Expr) -> bool:
    """Return whether a term of a sum is one that is subtracted.

    >>> from sympy.abc import x, y
    >>> is_negative(-x), is_negative(y - x)
    (True, False)
    """
    if term.is_Add:
        return False
    return bool(term.is_number and term.is_negative) or term.as_coeff_Mul()[0].is_negative is True


def _reading_order(x: Expr) -> tuple[int, Any]:
    base = x.as_base_exp()[0]
    ours = isinstance(base, Generated) and not base.is_integer  # an index stands where a letter of its own does
    by_name = base.is_Symbol and x.as_base_exp()[1].is_number and not ours
    kinds = (x.is_Rational, x.is_number, by_name, base.is_Symbol, base.is_Add, not isinstance(base, QuadraticForm))
    return next((i for i, holds in enumerate(kinds) if holds), len(kinds)), x.sort_key()


def _contents_apart(factors: Iterable[Expr]) -> Iterator[Expr]:
    """Yield factors, of sums their whole number first: 6(T - d - 1)."""
    number = S.One
    for x in factors:
        base, exponent = x.as_base_exp()
        content, rest = base.primitive() if base.is_Add and exponent.is_Integer else (S.One, base)
        if content.is_Integer and content > 1:
            number *= content**exponent
            yield Pow(rest, exponent, evaluate=exponent == 1)
        elif x.is_Rational:
            number *= x
        else:
            yield x
    if number != 1:
        yield number


def _one_root(factors: list[Expr]) -> list[Expr]:
    """Return factors with one square root of numbers and sums."""
    roots = [x for x in factors if x.is_Pow and x.exp == Rational(1, 2) and (x.base.is_Add or x.base.is_number)]
    if len(roots) < 2:
        return factors
    inside = Mul(*(x.base for x in roots)).expand()
    return [*(x for x in factors if x not in roots), Pow(inside, Rational(1, 2), evaluate=False)]


def _has_quotient(e: Expr) -> bool:
    """Return whether a sum has a term that prints as a fraction."""
    return any(
        (x.is_Rational and not x.is_Integer) or x.as_base_exp()[1].could_extract_minus_sign()
        for term in Add.make_args(e)
        for x in Mul.make_args(term)
    )


def _decimal(x: Rational) -> str | None:
    """Return a number as a decimal fraction, if it is one of few digits, a small one by its power of ten."""
    digits = next((k for k in range(_DIGITS + 1) if 10**k % x.q == 0), None)
    if digits is None:
        return None
    if x >= Rational(1, 10**4):
        return f"{Decimal(int(x * 10**digits)).scaleb(-digits):f}"
    mantissa, exponent = f"{Decimal(int(x * 10**digits)).scaleb(-digits).normalize():e}".split("e")
    power = rf"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"
