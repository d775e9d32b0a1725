r"""The shortest of several equal forms of an expression: common factors first, fractions joined where that is shorter.

The candidates are the expression as it is, factored, and affine in each power :math:`q^n`. What they have in common: a polynomial
factor is collected by the symbol that makes it shortest, a difference is written the way it is positive, and special functions are
gathered. A candidate that has not the same value at a point of the domain is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType

from sympy import (
    Add,
    Dummy,
    Eq,
    Expr,
    Function,
    Mul,
    Poly,
    Pow,
    S,
    Symbol,
    factor_terms,
    pi,
    preorder_traversal,
    sin,
)
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import Boolean
from sympy.polys.polyerrors import PolynomialError

from collapse_theory.algebra.integrals import SpectralIntegral, SpectralTrace, df
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.algebra.special import GeometricSum
from collapse_theory.present.factors import factored, joined, quotient
from collapse_theory.present.gammas import gathered, written_out
from collapse_theory.present.printer import TheoryLatexPrinter, tokens
from collapse_theory.present.repeats import exchanged, named_repeats, sums_within
from collapse_theory.present.typical_point import TypicalPoint
from collapse_theory.symbols import eigenvalue, intermediate

__all__ = ["Forms"]

_NUMBER = re.compile(r"\d+")
_DIGITS = 3  # of a number that counts as one sign
_LONG = 10  # signs from which the base of a power is named
_SHORT = 4  # signs up to which what arguments share is not
_WIDE = 9  # symbols and integrals up to which fractions are joined
_READ = 80  # operations up to which they are
_TRIED = 3  # symbols by which a polynomial is collected: those of the fewest powers in it
_MANY = 16  # terms of a polynomial from which it stays as it is


class Forms:
    """What rewrites the terms of one formula.

    Args:
        conditions: The conditions of the formula; an equation among them is used, an inequality says what is positive.
        printer: Prints a candidate, to measure it.
        taken: Names that mean something else.
        ridges: The names of effective ridges.

    Attributes:
        definitions: What each name stands for that a form was given.
    """

    def __init__(
        self,
        conditions: Iterable[Boolean],
        printer: TheoryLatexPrinter,
        taken: Iterable[str] = (),
        ridges: Mapping[Expr, Symbol] = MappingProxyType({}),
    ) -> None:
        held = tuple(conditions)
        self.definitions: dict[Symbol, Expr] = {}
        self._taken = set(taken)
        self._sample, self._printer = TypicalPoint(held, ridges), printer
        self._equations = [(c.lhs, c.rhs) for c in held if isinstance(c, Eq) and c.lhs.is_Add and c.rhs.is_Number]
        self._sums: dict[Expr, Expr] = {}
        self._lengths: dict[Expr, int] = {}

    def length(self, e: Expr) -> int:
        """Return the length of the print in signs."""
        if e not in self._lengths:
            text = str(self._printer.doprint(e))
            self._lengths[e] = tokens(text) + sum(max(0, len(x) - _DIGITS) for x in _NUMBER.findall(text))
        return self._lengths[e]

    def presented(self, terms: Mapping[str, Expr], heads: Mapping[str, str]) -> dict[str, Expr]:
        """Return the terms of a formula in their shortest forms, what they share by its name.

        Args:
            terms: Expressions by name, their effective ridges by their short names.
            heads: How each term is called in print, if it is.
        """
        own = {k: intermediate(head) for k, head in heads.items()}
        for k, x in own.items():
            self._sample.know(x, terms[k])
        shared = self._repeats({k: _shared_traces(self._sums_named(e)) for k, e in terms.items()}, own)
        out = self._repeats({k: self.shortest(e) for k, e in shared.items()}, own)
        for x, e in list(self.definitions.items()):
            self.definitions[x] = self.shortest(e)
        return out

    def settled(self, terms: Mapping[str, Expr], heads: Mapping[str, str]) -> dict[str, Expr]:
        """Return terms, and keep definitions, in which what another line defines stands by its name."""
        lines = {**{k: intermediate(head) for k, head in heads.items()}, **{x.name: x for x in self.definitions}}
        whole = {**terms, **{x.name: e for x, e in self.definitions.items()}}
        out = self._repeats(whole, lines, integrals=True)
        self.definitions |= {x: out[x.name] for x in self.definitions if x.name in out}
        return {k: out[k] for k in terms}

    def narrowed(self, terms: Mapping[str, Expr], fits: Callable[[Expr], bool]) -> dict[str, Expr]:
        """Return terms whose rows fit a page: where one has no place to break, its longest sum gets a name.

        Args:
            terms: Expressions by name, in their shortest forms.
            fits: Whether an expression fits.
        """
        out = {k: self._narrow(e, fits) for k, e in terms.items()}
        todo = list(self.definitions)
        while todo:
            x = todo.pop()
            before = set(self.definitions)
            self.definitions[x] = self._narrow(self.definitions[x], fits)
            todo += set(self.definitions) - before
        return out

    def _narrow(self, e: Expr, fits: Callable[[Expr], bool]) -> Expr:
        while not fits(e):
            sums = {x for x in sums_within(e) if self.length(x) >= _LONG}
            if not sums:
                return e
            longest = max(sums, key=lambda x: (self.length(x), str(x)))
            e = exchanged(e, longest, self._name(longest, ["\\chi"]))
        return e

    def _repeats(
        self, terms: Mapping[str, Expr], own: Mapping[str, Symbol], *, integrals: bool = False
    ) -> dict[str, Expr]:
        return named_repeats(terms, self.length, lambda e: self._name(e, ["\\chi"]), own, integrals=integrals)

    def _sums_named(self, e: Expr) -> Expr:
        r"""Return ``e`` with geometric sums written out, by the name of their ratio if it is long: :math:`(1-q^n)/(1-q)`."""
        change: dict[Expr, Expr] = {}
        for x in sorted(e.atoms(GeometricSum), key=str):
            ratio = self._oriented(factored(1 - x.args[0]))
            if self.length(ratio) >= _LONG:
                q = self._name(ratio, "q")
                change[x] = (1 - q ** x.args[1]) / (1 - q)
        return e.xreplace(change)

    def shortest(self, e: Expr) -> Expr:
        """Return the shortest form of one expression."""
        start = self._arguments_named(gathered(written_out(e)))
        if not self._sample.agree(start, e):
            return e
        atoms: dict[Expr, Expr] = {}
        plain = [self._plain(start, atoms), self._plain(start, atoms, apart=True)]
        candidates = dict.fromkeys(x for y in dict.fromkeys(plain) for x in self._candidates(y))
        forms = dict.fromkeys(self._oriented(x).xreplace(atoms) for x in candidates)
        if start.has(AppliedUndef):
            forms |= dict.fromkeys(map(gathered, forms))
        by_length = sorted(forms, key=self._measure)
        return next((x for x in by_length if self._proper(x) and self._sample.agree(x, e)), start)

    def _measure(self, e: Expr) -> tuple[int, bool, int]:
        """Return the length, and between equally long forms whether it is a fraction of sums, and how many integers it has."""
        return self.length(e), not e.is_Add, sum(x.is_Integer for x in preorder_traversal(e))

    def _proper(self, e: Expr) -> bool:
        """Return whether every Gamma function is one of a positive argument."""
        return not any(self._sample.is_negative(x.args[0]) for x in e.atoms(AppliedUndef))

    # ------------------------------------------------------------------ names
    def _name(self, e: Expr, letters: Sequence[str]) -> Symbol:
        """Return the name of an expression, a new one if it has none."""
        for x, known in self.definitions.items():
            if known == e:
                return x
        x = intermediate(next(y for y in _names(letters) if y not in self._taken))
        self._taken.add(x.name)
        self.definitions[x] = e
        self._sample.know(x, e)
        return x

    def _worth_a_name(self, e: Expr, uses: int) -> bool:
        length = self.length(e)
        return length >= (_SHORT if uses > 1 else _LONG)

    def _arguments_named(self, e: Expr) -> Expr:
        r"""Return ``e`` with a name for what the arguments of Gamma, digamma and sine functions share beside integers."""
        found: dict[Expr, int] = {}
        for x in preorder_traversal(e):
            if isinstance(x, (AppliedUndef, sin)):
                rest = _beside_integers(x.args[0])
                rest = -rest if self._sample.is_negative(rest) else rest
                found[rest] = found.get(rest, 0) + 1
        for rest in sorted((x for x, uses in found.items() if self._worth_a_name(x, uses)), key=str):
            name = self._name(self._oriented(factored(rest)), "ab")
            if rest.is_Pow:
                e = e.subs(rest, name)
            e = e.replace(
                lambda x: isinstance(x, AppliedUndef),
                lambda x, rest=rest, name=name: x.func(_exchanged(x.args[0], rest, name)),
            )
        return e.replace(lambda x: isinstance(x, AppliedUndef), lambda x: x.func(self._joined_argument(x.args[0])))

    def _joined_argument(self, x: Expr) -> Expr:
        """Return an argument with what is no integer in it over one line, where that is shorter."""
        rest = _beside_integers(x)
        joined = x - rest + factored(rest) if rest.is_Add and not x.has(pi) else x
        return min(x, joined, key=self.length)

    # ------------------------------------------------------------------ what algebra sees
    def _plain(self, e: Expr, atoms: dict[Expr, Expr], *, apart: bool = False) -> Expr:
        """Return ``e`` with a symbol for everything that is no rational function, whose own arguments are in shortest form."""
        if isinstance(e, Opaque | SpectralIntegral | AppliedUndef | Function):
            return self._named(e, atoms)
        if e.is_Pow and not e.exp.is_Integer:
            return self._power(e, atoms, apart=apart)
        return e.func(*(self._plain(a, atoms, apart=apart) for a in e.args)) if e.args else e

    def _power(self, e: Expr, atoms: dict[Expr, Expr], *, apart: bool) -> Expr:
        """Return a power: one of a symbolic exponent by its factored base, a whole power in it by the exponent or apart."""
        base, exponent = factored(self._plain(e.base, atoms)), e.exp
        if exponent.is_number:
            return self._named(Pow(self._oriented(base), exponent), atoms)
        whole = base.as_base_exp() if base.is_Pow else (base, S.One)
        root, inner = whole if whole[1].is_Integer else (base, S.One)
        outer = exponent.as_coeff_Mul()[0]
        exponent, k = exponent / outer, inner * outer
        root = self._oriented_base(root, k).xreplace(atoms)
        if self.length(root**k) >= _LONG:
            root, k = self._name(root**k, "q"), S.One
        number, rest = (k * exponent).expand().as_coeff_Add()
        whole_power = root**number if apart and number.is_Integer else S.One
        return whole_power * self._named(Pow(root, rest + (number if whole_power == 1 else 0)), atoms)

    def _oriented_base(self, base: Expr, k: Expr) -> Expr:
        if base.is_Add and k.is_even and self._sample.is_negative(base):
            base = -base
        return self._oriented(base)

    def _named(self, e: Expr, atoms: dict[Expr, Expr]) -> Expr:
        for x, known in atoms.items():
            if known == e:
                return x
        x = Dummy(f"x{len(atoms)}", real=True)
        atoms[x] = e
        self._sample.know(x, e)
        return x

    # ------------------------------------------------------------------ candidates
    def _candidates(self, e: Expr) -> Iterator[Expr]:
        for form in self._rewritten(e):
            yield form
            for equation in self._equations:
                yield form.subs(*equation)

    def _rewritten(self, e: Expr) -> Iterator[Expr]:
        yield e
        yield factor_terms(e)
        if len(e.free_symbols) > _WIDE or e.count_ops() > _READ:  # joined, it would be a polynomial that nobody reads
            if e.is_Add:
                yield Add(*map(factor_terms, e.args))
            return
        yield from self._factored(e)
        if e.is_Add:
            yield from self._affine(e)
            yield Add(*(min(self._factored(x) or [x], key=self.length) for x in e.args))
        if e.is_Mul:
            yield Mul(*(min(self._of_factor(x), key=self.length) for x in e.args))

    def _of_factor(self, x: Expr) -> Iterator[Expr]:
        """Yield the forms of a factor: of a sum, also each term by its own."""
        yield from (x, *self._factored(x), factor_terms(x))
        if x.is_Add:
            yield Add(*(min(self._factored(y) or [y], key=self.length) for y in x.args))

    def _factored(self, e: Expr) -> list[Expr]:
        try:
            top, bottom = quotient(e)
        except PolynomialError:
            return []
        return [Mul(*self._polynomials(top), *(1 / x for x in self._polynomials(bottom)))]

    def _polynomials(self, e: Expr) -> list[Expr]:
        return [self._collected(x) ** k for x, k in (f.as_base_exp() for f in Mul.make_args(e))]

    def _collected(self, p: Expr) -> Expr:
        """Return a polynomial by powers of the symbol that makes it shortest, its coefficients likewise."""
        if not p.is_Add or len(p.args) > _MANY:
            return p
        if p not in self._sums:
            forms, found = [p], {x: _by_power(p, x) for x in sorted(p.free_symbols, key=str)}
            # As many powers as terms: every coefficient is one term, and nothing is collected.
            tried = [x for x in sorted(found, key=lambda x: len(found[x])) if len(found[x]) < len(p.args)][:_TRIED]
            forms += [Add(*(x**k * self._factored_sum(Add(*c)) for k, c in found[x].items())) for x in tried]
            self._sums[p] = min(forms, key=lambda f: (self.length(self._oriented(f)), len(f.args)))
        return self._sums[p]

    def _factored_sum(self, c: Expr) -> Expr:
        return Mul(*self._polynomials(factored(c))) if c.is_Add else c

    def _affine(self, e: Expr) -> Iterator[Expr]:
        r"""Yield :math:`E_\infty+(E_1-E_\infty)q` for each symbol that stands for a power."""
        top, bottom = joined(e)
        for x in sorted((y for y in e.free_symbols if isinstance(y, Dummy)), key=str):
            if x in bottom.free_symbols or not top.is_polynomial(x) or Poly(top, x).degree() != 1:
                continue
            slope, rest = Poly(top, x).all_coeffs()
            yield Add(*(self._oriented(self._factored(c / bottom)[0]) * y for c, y in ((rest, S.One), (slope, x))))
            over = Add(*(self._oriented(self._factored(c)[0]) * y for c, y in ((rest, S.One), (slope, x))))
            yield Mul(over, *(1 / f for f in self._polynomials(factored(bottom))))

    # ------------------------------------------------------------------ signs
    def _oriented(self, e: Expr) -> Expr:
        """Return ``e`` with every factor that is a difference written the way it is positive."""
        if e.is_Add:
            return Add(*map(self._oriented, e.args))
        if not e.is_Mul and not e.is_Pow:
            return e
        sign, factors = S.One, []
        for x in Mul.make_args(e):
            base, k = x.as_base_exp()
            base = self._oriented(base)
            if base.is_Add and k.is_Integer and self._sample.is_negative(base):
                base, sign = -base, sign * (-1) ** k
            factors.append(base**k)
        return Mul(sign, *factors)


def _names(letters: Sequence[str]) -> Iterator[str]:
    yield from letters
    for i in count(1):
        yield from (f"{x}_{{{i}}}" for x in letters)


def _by_power(p: Expr, x: Symbol) -> dict[Expr, list[Expr]]:
    """Return what is beside each power of a symbol in the terms of a polynomial."""
    out: dict[Expr, list[Expr]] = {}
    for term in p.args:
        c, k = term.as_coeff_exponent(x)
        out.setdefault(k, []).append(c)
    return out


def _beside_integers(x: Expr) -> Expr:
    """Return the terms of an argument that are no integers, without a factor pi."""
    return Add(*(y for y in Add.make_args(x) if not y.is_integer)) / (pi if x.has(pi) else 1)


def _exchanged(x: Expr, rest: Expr, name: Symbol) -> Expr:
    """Return an argument with a name for plus or minus its terms that are no integers."""
    own = Add(*(y for y in Add.make_args(x) if not y.is_integer))
    return x - own + name if own == rest else x - own - name if own == -rest else x


def _shared_traces(e: Expr) -> Expr:
    r"""Return ``e`` with :math:`\mathrm{df}_1-\mathrm{df}_2` for :math:`\kappa\operatorname{tr}\Sigma(\Sigma+\kappa)^{-2}`."""
    change: dict[Expr, Expr] = {}
    for x in e.atoms(SpectralTrace):
        kappa = _double_pole(x)
        if kappa is not None:
            change[x] = (df(1, kappa) - df(2, kappa)) / kappa
    return e.xreplace(change)


def _double_pole(x: SpectralTrace) -> Symbol | None:
    for kappa in x.free_symbols:
        if x == SpectralTrace(eigenvalue / (eigenvalue + kappa) ** 2):
            return kappa
    return None
