r"""A printed formula read back: lines that define names, equations of effective ridges, and conditions.

The first line is the result. A name is read where it is first needed. A line whose name occurs on both sides is an equation;
one of the form

.. math:: \kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T,

in whatever way it is solved, is that of an effective ridge, and two of them that share their :math:`\mathrm{df}_1` are those of a
fit on random features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sympy import (
    Add,
    Dummy,
    Eq,
    Expr,
    Ge,
    Gt,
    Le,
    Lt,
    Ne,
    Poly,
    PolynomialError,
    S,
    Symbol,
    factor,
    factor_list,
    fraction,
    together,
)
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureRidge
from collapse_theory.algebra.implicit_root import ImplicitRoot
from collapse_theory.algebra.integrals import SpectralIntegral, SpectralTrace, df
from collapse_theory.algebra.latex_expressions import LatexExpression, is_matrix, key_of, vocabulary
from collapse_theory.algebra.latex_tokens import Line, Token, lines_of, tokens_of
from collapse_theory.algebra.named_lines import NamedLines
from collapse_theory.core.errors import ParseError, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.bounded import BoundedArithmetic
from collapse_theory.symbols import LineName, line_name, unknown_name

__all__ = ["read_latex"]

_LONGEST = 200_000  # characters of a printed formula
_LINES = 2000
_INLINE = 3000  # nodes up to which a formula is written out, without names
_PARTS = {"B": "bias", "V": "variance", "B_syn": "synthetic_bias", "V_syn": "synthetic_variance"}
_IMPLICIT = (EffectiveRidge, FeatureRidge, ImplicitRoot)
_RELATIONS = {"=": Eq, ">=": Ge, "<=": Le, ">": Gt, "<": Lt, "!=": Ne}


def read_latex(text: str, notation: Mapping[str, str] | None = None) -> Any:
    r"""Return what LaTeX says: an expression, or a formula if there are lines such as ``E = B + V``.

    It reads what the package prints and what a person would write: numbers, powers, fractions, roots, :math:`\log`,
    :math:`\Gamma`, :math:`\psi`, :math:`\zeta`, :math:`H_n`, :math:`\sin`, finite sums, :math:`\mathrm{df}_k(\kappa)`,
    :math:`\operatorname{tr}[\dots]` and :math:`w_0^\top\dots w_0` of functions of :math:`\Sigma`; lines that define names by other
    lines; the equations of effective ridges; conditions after "for". The grammar is closed, and nothing is evaluated as Python.

    Args:
        text: LaTeX, with or without its environment.
        notation: Printed name by code name, as ``latex()`` takes it: ``{"T": "n", "Sigma": "C"}``. Names that are not in the
            notation table declare symbols.

    Returns:
        A SymPy expression, or an :class:`~collapse_theory.derive.formula.ErrorFormula` if the text has lines with a sign of
        equality. A page does not say its regime: with an effective ridge it is taken to be "proportional", else "exact".

    Raises:
        ParseError: If the text is not in the grammar, or a name in it is not defined.

    >>> read_latex(r"\frac{\sigma^2 d}{T-d-1}\sum_{i=1}^n\frac1{i^2}")
    d*sigma**2*Sum(i**(-2), (i, 1, n))/(T - d - 1)
    >>> read_latex(r"\frac{\gamma}{n}", notation={"lam": r"\gamma", "T": "n"})
    lam/T
    >>> import collapse_theory as ct
    >>> theorem = ct.catalog["ridge-clean"].error
    >>> at = {"spectrum": ct.PowerLaw(50, 1.5), "target": ct.SourceTarget(0.5), "T": 80, "lam": 0.1, "sigma": 0.5}
    >>> abs(read_latex(theorem.latex()).evaluate(**at) / theorem.evaluate(**at) - 1) < 1e-12
    True
    """
    if not isinstance(text, str):
        raise ParseError(f"read_latex needs text, got {shown(text)} of type {type(text).__name__}; pass err.latex()")
    if len(text) > _LONGEST:
        raise ParseError(f"read_latex needs at most {_LONGEST} characters, got {len(text)}; read it in parts")
    place = BoundedArithmetic(text)
    tokens = tokens_of(text)
    if isinstance(tokens, int):
        place.fail(tokens, f"unexpected character {text[tokens]!r}")
    if not tokens:
        raise ParseError(f"read_latex needs a formula, got {shown(text)}; pass err.latex()")
    return _Page(text, lines_of(tokens), vocabulary(notation)).result()


_Balance = tuple[Symbol, Symbol, Expr, Expr]


@dataclass
class _Page:
    """The lines of a formula, and what has been read of them."""

    text: str
    lines: list[Line]
    table: Mapping[str, Expr]
    definitions: dict[str, Line] = field(default_factory=dict)
    equations: dict[str, Line] = field(default_factory=dict)
    values: dict[str, Expr] = field(default_factory=dict)
    scalars: dict[Symbol, Expr] = field(default_factory=dict)
    reading: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    # ------------------------------------------------------------------ the page
    def result(self) -> Any:
        """Return the expression or the formula."""
        stated = [x for x in self.lines if not x.conditional]
        if not stated:
            self.fail(0, "a formula needs more than conditions")
        first = stated[0]
        if not first.sign:
            if len(stated) > 1:
                self.fail(stated[1].right[0].at, "one expression, or lines with a sign of equality")
            return self._settled(self.expression(first.right))
        for line in stated[1:]:
            self._place(line)
        own = _key(first.left)
        if own in _names(first.right):
            self.fail(first.left[0].at, f"the first line defines {own} by itself")
        self._read_lines()
        parts = self._parts(first.right)
        conditions = tuple(c for x in self.lines if x.conditional for c in self._condition(x))
        whole = Add(*parts.values())
        implicit = whole.has(*_IMPLICIT) or any(e.has(*_IMPLICIT) for x in whole.atoms(NamedLines) for _, e in x.lines)
        unused = [x for x in self.definitions if x not in self.used]
        if unused:
            self.fail(self.definitions[unused[0]].left[0].at, f"{unused[0]} is defined and not used")
        return ErrorFormula(
            parts, "proportional" if implicit else "exact", conditions=conditions, method="read", name="the formula"
        )

    def _place(self, line: Line) -> None:
        """Take a line in as a definition or as an equation."""
        if line.sign != "=":
            self.fail(line.left[0].at if line.left else line.right[0].at, 'a relation that follows no "for"')
        if not line.left:
            self.fail(line.right[0].at, "a line needs a name on its left")
        name = _key(line.left)
        plain = _is_name(line.left)
        if plain and name not in _names(line.right):
            if name in self.definitions or name in self.equations:
                self.fail(line.left[0].at, f"{name} is defined twice")
            self.definitions[name] = line
            return
        unknowns = [x for x in _names(line.left) if x.split("_")[0] == r"\kappa"]
        unknown = name if plain else next(iter(unknowns), None)
        if any(x.text in {r"\mathcal", "["} for x in line.left):
            self.fail(line.left[0].at, "an operator, which has no number; print the formula at a number of generations")
        if unknown is None or unknown in self.equations:
            self.fail(line.left[0].at, "a line defines a name, or is the equation of a \\kappa")
        self.equations[unknown] = line

    def _read_lines(self) -> None:
        """Read the lines from those that need no other up, so that none waits for a chain of others."""
        if len(self.definitions) > _LINES:
            self.fail(0, f"a page of more than {_LINES} lines; read it in parts")
        needs = {k: {x for x in _names(line.right) if x in self.definitions} for k, line in self.definitions.items()}
        while needs:
            ready = [k for k, names in needs.items() if not names & needs.keys()]
            if not ready:
                k = next(iter(needs))
                self.fail(self.definitions[k].left[0].at, f"{k} is defined by itself, through {', '.join(needs[k])}")
            for k in ready:
                self.value(k)
                del needs[k]

    def _parts(self, head: tuple[Token, ...]) -> dict[str, Expr]:
        """Return the terms of the result: those that the first line adds up, or one."""
        keys = _added_names(head)
        if len(keys) > 1 and all(x in self.definitions for x in keys):
            self.used.update(keys)
            found = {_PARTS.get(x, x): self._finished(self.value(x)) for x in keys}
        else:
            found = {"error": self._finished(self.expression(head))}
        return found

    def _finished(self, e: Expr) -> Expr:
        """Return an expression with its names written out, or as one object with lines if that is beyond reading."""
        e = self._settled(e)
        if _written_size(e, self.scalars) <= _INLINE:
            known: dict[Symbol, Expr] = {}
            for x, definition in self.scalars.items():
                known[x] = definition.xreplace(known)
            return _settled(e.xreplace(known))
        needed = _needed(e, self.scalars)
        return NamedLines(((x, definition) for x, definition in self.scalars.items() if x in needed), e)

    def _settled(self, e: Expr) -> Expr:
        if is_matrix(e):
            self.fail(0, r"the value is a matrix; write tr[...] or w_0^\top ... w_0")
        return _settled(e)

    def fail(self, at: int, what: str) -> NoReturn:
        """Raise with the place."""
        BoundedArithmetic(self.text).fail(at, what)

    # ------------------------------------------------------------------ names
    def expression(self, tokens: tuple[Token, ...]) -> Expr:
        """Return an expression, its names read from their lines."""
        known = [*self.table, *self.definitions, *self.equations]
        return LatexExpression(self.text, tokens, self.value_or_none, known).read()

    def value_or_none(self, key: str) -> Expr | None:
        """Return what a name stands for: a line, an equation, or a symbol."""
        if key in self.definitions or key in self.equations:
            self.used.add(key)
            return self.value(key)
        return self.table.get(key)

    def value(self, key: str) -> Expr:
        """Return what a line defines: a matrix, or the name of a scalar."""
        if key in self.values:
            return self.values[key]
        if key in self.equations:
            self._solve(key)
            return self.values[key]
        line = self.definitions[key]
        if key in self.reading:
            self.fail(line.left[0].at, f"{key} is defined by itself, through {', '.join(self.reading[1:]) or key}")
        self.reading.append(key)
        e = self.expression(line.right)
        self.reading.pop()
        if is_matrix(e) or e.is_Atom:
            self.values[key] = e
        else:
            self.values[key] = x = line_name(key)
            self.scalars[x] = _settled(e)
        return self.values[key]

    # ------------------------------------------------------------------ equations
    def _solve(self, key: str) -> None:
        """Recognise the equation of an effective ridge, or the two of a fit on random features; else keep the equations."""
        if key in self.reading:
            self._refuse(key)
        self.reading.append(key)
        first = self._balance(key)
        if first is None:
            self._on_features(key)
        else:
            self._ridge(key, first)
        self.reading.pop()

    def _on_features(self, key: str) -> None:
        r"""Read :math:`\lambda=\kappa(1-\mathrm{df}_1/T)(1-\mathrm{df}_1/m)`, a fit on features: of the roots the largest."""
        found = self._numerator(key)
        parts = None if found is None or found[0] != found[1] else _linear(found[2], found[0])
        if found is None or parts is None or parts[1].has(found[3]):
            self._system(key)
            return
        slope, constant, t = *parts, found[3]
        factors = [_linear(f, t) for f, power in factor_list(slope)[1] for _ in range(power) if f.has(t)]
        sizes = [-x[1] / x[0] for x in factors if x is not None]
        if len(factors) != 2 or len(sizes) != 2:
            self._system(key)
            return
        T, m = sizes
        self.values[key] = EffectiveRidge(m, FeatureRidge(T, m, factor(-constant / slope.subs(t, 0))))

    def _system(self, key: str) -> None:
        """Keep equations, each solved for its unknown by a side with traces, as they are."""
        together_with, seen = [key], {key}
        for k in together_with:
            more = [
                x for x in _names(self.equations[k].right) if x in self.equations and x not in seen | set(self.values)
            ]
            together_with += dict.fromkeys(more)
            seen |= set(more)
        pairs = []
        for k in together_with:
            line = self.equations[k]
            side = LatexExpression(self.text, line.right, self._with_unknowns, list(self.table)).read()
            if _key(line.left) != k or not side.atoms(SpectralIntegral):
                self._refuse(k)
            pairs.append((self._unknown(k), side))
        self.values |= {k: ImplicitRoot(pairs, i) for i, k in enumerate(together_with)}

    def _with_unknowns(self, name: str) -> Expr | None:
        if name in self.equations and name not in self.values:
            return self._unknown(name)
        return self.value_or_none(name)

    def _ridge(self, key: str, first: _Balance) -> None:
        own, seen, rows, ridge = first
        partner = next(
            (k for k in self.equations if k != key and self._unknown(k) in ridge.free_symbols | {seen}), None
        )
        if partner is None:
            if own != seen:
                self._refuse(key)
            self.values[key] = EffectiveRidge(rows, ridge)
            return
        second = self._balance(partner)
        if second is None:
            self._refuse(partner)
        inputs, features = (key, partner) if own == seen else (partner, key)
        x, seen, m, outer = first if own == seen else second
        y, at, T, lam = second if own == seen else first
        if x != seen or at != x or outer != y or {x, y} & lam.free_symbols:
            self._refuse(key)
        self.values[features] = FeatureRidge(T, m, lam)
        self.values[inputs] = EffectiveRidge(m, self.values[features])

    def _balance(self, key: str) -> _Balance | None:
        r"""Return the unknown, the argument of :math:`\mathrm{df}_1`, the rows and the ridge of an equation, if it has these."""
        found = self._numerator(key)
        if found is None:
            return None
        x, seen, numerator, t = found
        parts = _linear(numerator, t)
        if parts is None or parts[0].is_zero:
            return None
        degrees = -parts[1] / parts[0]
        parts = _linear(together(degrees * x), x)  # T x - T lam
        if parts is None or parts[0].is_zero:
            return None
        constant, rows = parts[1], parts[0]
        return x, seen, rows, -constant / rows

    def _numerator(self, key: str) -> tuple[Symbol, Symbol, Expr, Symbol] | None:
        r"""Return the unknown, the argument of its :math:`\mathrm{df}_1`, an expression that vanishes, and what stands for df1."""
        line = self.equations[key]
        known = [*self.table, *self.definitions, *self.equations]
        sides = (
            LatexExpression(self.text, side, self._with_unknowns, known).read() for side in (line.left, line.right)
        )
        left, right = sides
        gap, x = left - right, self._unknown(key)
        traces = gap.atoms(SpectralTrace)
        candidates = [y for y in map(self._unknown, self.equations) if df(1, y) in traces]
        if len(candidates) != 1 or traces != {df(1, candidates[0])}:
            return None
        t = Dummy()
        return x, candidates[0], fraction(together(gap.xreplace({df(1, candidates[0]): t})))[0], t

    def _unknown(self, key: str) -> Symbol:
        return unknown_name(f"{key}?")

    def _refuse(self, key: str) -> NoReturn:
        at = self.equations[key].left[0].at
        self.fail(at, f"no equation of an effective ridge, such as {key} = \\lambda + {key} \\mathrm{{df}}_1({key})/T")

    # ------------------------------------------------------------------ conditions
    def _condition(self, line: Line) -> list[Boolean]:
        if not line.sign:
            return []
        chain: list[tuple[tuple[Token, ...], str]] = []
        rest, sign = line.right, line.sign
        relation = lines_of(rest)[0]
        while relation.sign:
            chain.append((relation.left, relation.sign))
            rest = relation.right
            relation = lines_of(rest)[0]
        sides = [line.left, *(x for x, _ in chain), rest]
        signs = [sign, *(x for _, x in chain)]
        read = [self.expression(x) for x in sides]
        found = [_RELATIONS[s](a, b) for s, a, b in zip(signs, read[:-1], read[1:], strict=True)]
        if S.false in found:
            self.fail(line.left[0].at, "a condition that never holds")
        return [c for c in found if c is not S.true]


def _linear(e: Expr, t: Symbol) -> tuple[Expr, Expr] | None:
    """Return slope and constant of an expression that is linear in ``t``, else None."""
    try:
        poly = Poly(e, t)
    except PolynomialError:
        return None
    return (poly.coeff_monomial(t), poly.coeff_monomial(1)) if poly.degree() <= 1 else None


def _settled(e: Expr) -> Expr:
    r"""Return an expression with each :math:`T-\mathrm{df}_2(\kappa)` as one object, which does not cancel near a threshold."""
    ridges = e.atoms(EffectiveRidge)
    if not ridges:
        return e
    change = {}
    for total in e.atoms(Add):
        for x in ridges:
            rows, degrees = x.args[0], df(2, x)
            for sign in (1, -1):
                if sign * rows in total.args and -sign * degrees in total.args:
                    change[total] = total - sign * (rows - degrees) + sign * ResidualDegrees(*x.args)
    return e.xreplace(change) if change else e


def _written_size(e: Expr, scalars: Mapping[Symbol, Expr]) -> int:
    """Return how many nodes an expression has with its names written out."""
    sizes: dict[Symbol, int] = {}
    for x, definition in scalars.items():
        sizes[x] = _size(definition, sizes)
    return _size(e, sizes)


def _size(e: Any, sizes: Mapping[Symbol, int]) -> int:
    if isinstance(e, Symbol):
        return sizes.get(e, 1)
    return 1 + sum(_size(x, sizes) for x in e.args)


def _needed(e: Expr, scalars: Mapping[Symbol, Expr]) -> set[Symbol]:
    found = _line_names(e)
    for x in reversed(scalars):
        if x in found:
            found |= _line_names(scalars[x])
    return found


def _line_names(e: Expr) -> set[Symbol]:
    return {x for x in e.free_symbols if isinstance(x, LineName)}


# ---------------------------------------------------------------------- names in tokens
def _key(tokens: tuple[Token, ...]) -> str:
    return key_of("".join(f"{x.text} " if x.kind == "word" else x.text for x in tokens))


def _is_name(tokens: tuple[Token, ...]) -> bool:
    """Return whether a side is one name: a head, and perhaps indices and primes."""
    return _names(tokens) == [_key(tokens)] or tokens[0].text == r"\frac"


def _names(tokens: tuple[Token, ...]) -> list[str]:
    """Return the keys of the names that occur, in order."""
    found, reader = [], _NameReader("", tokens, lambda _: None)
    while reader.place < len(tokens):
        key = reader.next_key()
        if key:
            found.append(key)
    return found


def _added_names(tokens: tuple[Token, ...]) -> list[str]:
    """Return the names that a sum of names adds up; none if it is another expression."""
    keys: list[str] = []
    piece: list[Token] = []
    for x in (*tokens, Token("+", "sign", -1)):
        if x.text == "+":
            if not piece or not _is_name(tuple(piece)):
                return []
            keys.append(_key(tuple(piece)))
            piece = []
        else:
            piece.append(x)
    return keys


class _NameReader(LatexExpression):
    """Finds names without reading what is around them."""

    def next_key(self) -> str:
        """Return the key of the name that starts at the next token, or pass over that token."""
        token = self.tokens[self.place]
        named = token.kind == "letter" or (
            token.kind == "word" and token.text not in {r"\frac", r"\sqrt", r"\sum", r"\cdot"}
        )
        if not named:
            self.place += 1
            return ""
        try:
            return self.base() + self.indices()[0]
        except ParseError:
            self.place += 1
            return ""
