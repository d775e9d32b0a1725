r"""LaTeX expressions read by a grammar of our own: what a reader of the page sees, and nothing else.

.. code-block:: text

    sum      := ["+" | "-"] product (("+" | "-") product)*
    product  := power (["\cdot" | "/"] power)*                        juxtaposition multiplies
    power    := atom ("^" group)*
    atom     := number | name | bracket | "\frac" group group | "\sqrt" ["[" sum "]"] group | function | "\sum" bounds product
              | "\mathrm{df}" "_" group bracket | "\operatorname{tr}" bracket | "w_0^\top" power* "w_0" | "\|w_0\|" ["_\Sigma"]
    function := ("\log" | "\sin" | "\Gamma" | "\psi" | "\zeta" | ...) (bracket | power) | "H" "_" group ["^" bracket]

Inside a trace or a quadratic form :math:`\Sigma` is its eigenvalue and :math:`I` is one. Nothing is evaluated as Python, and what
the grammar does not know is a :class:`~collapse_theory.core.errors.ParseError` that points at the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sympy import Add, Expr, I, Integer, S, sqrt
from sympy.core.symbol import Str

from collapse_theory import symbols
from collapse_theory.algebra.integrals import OffsetForm, QuadraticForm, SpectralIntegral, SpectralTrace
from collapse_theory.algebra.integrals import df as degrees
from collapse_theory.algebra.latex_tokens import UPRIGHT, Token, spelled, tokens_of
from collapse_theory.core.errors import ParseError, nearest, shown
from collapse_theory.core.size import expanded_terms
from collapse_theory.describe.bounded import DEEPEST, BoundedArithmetic
from collapse_theory.describe.truths import ENERGIES, pair_of
from collapse_theory.symbols import Eigenvalue, eigenvalue_of

__all__ = ["LatexExpression", "integral", "is_matrix", "key_of", "vocabulary"]

_FUNCTIONS = {
    r"\log": "log", r"\exp": "exp", r"\sin": "sin", r"\cos": "cos", r"\tan": "tan", r"\Gamma": "gamma", r"\psi": "digamma",
    r"\zeta": "zeta",
}  # fmt: skip
_ACCENTS = frozenset({r"\hat", r"\tilde", r"\bar", r"\widehat", r"\widetilde", r"\overline"})
_WORDS = {"polygamma": "polygamma", "harmonic": "harmonic", "sin": "sin", "cos": "cos", "log": "log", "exp": "exp"}
_GREEK = frozenset(
    r"""\alpha \beta \gamma \delta \epsilon \zeta \eta \theta \iota \kappa \lambda \mu \nu \xi \pi \rho \sigma \tau \upsilon
    \phi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Phi \Psi \Omega \ell""".split()  # noqa: SIM905
)
_ENDS = frozenset({"+", "-", ")", "]", "}", r"\}", ",", "="})
_TERMS = 3000  # products of matrices into which a trace is multiplied out


def key_of(latex: str) -> str:
    r"""Return a printed name without its braces and fonts: ``T_{0}`` and ``T_0`` are one name.

    >>> key_of(r"T_{0}"), key_of(r"B_{\mathrm{syn}}")
    ('T_0', 'B_syn')
    """
    found = tokens_of(latex)
    if isinstance(found, int) or not found:
        raise ParseError(f"notation needs LaTeX names such as 'n' or r'\\lambda_{{0}}', got {shown(latex)}")
    return spelled(found)


def vocabulary(notation: Mapping[str, str] | None = None) -> dict[str, Expr]:
    r"""Return what each printed name stands for: the notation table, with the changes of a notation map.

    Args:
        notation: Printed name by code name, as in ``{"T": "n", "Sigma": "C"}``. Names that are not in the notation table
            declare symbols.

    Raises:
        ParseError: If two names are printed alike.
    """
    if not isinstance(notation, Mapping | None):
        raise ParseError(f"notation needs a mapping such as {{'T': 'n'}}, got {shown(notation)}")
    notation = dict(notation or {})
    own: dict[str, Expr] = {}
    for name, printed in notation.items():
        if not isinstance(name, str) or not isinstance(printed, str):
            raise ParseError(f"notation needs LaTeX by name, such as {{'T': 'n'}}, got {shown(name)}: {shown(printed)}")
        key = key_of(printed)
        if key in own:
            raise ParseError(
                f"notation needs one symbol per printed name, got two printed {shown(printed)}; change one"
            )
        own[key] = _named(name)
    standard = {name: x for name, x in symbols.NOTATION.items() if name not in notation and name != "rho2"}
    table: dict[str, Expr] = {_printed(name): x for name, x in standard.items()}
    if "rho2" not in notation:
        table[r"\rho"] = sqrt(symbols.rho2)
    if r"\rho^2" in own:
        own[r"\rho"] = sqrt(own.pop(r"\rho^2"))
    matrices = {rf"\{name}": eigenvalue_of(name) for name in ("Sigma", "Delta") if name not in notation}
    return {**table, **matrices, **own}


def _named(name: str) -> Expr:
    stem = name.rstrip("0123456789")
    return eigenvalue_of(name) if stem in {"Sigma", "Delta"} else symbols.declared(name)


def _printed(name: str) -> str:
    """Return the printed name of a symbol of the notation table."""
    stem = name.rstrip("0123456789")
    index = name[len(stem) :]
    head = {"lam": r"\lambda"}.get(stem, rf"\{stem}" if len(stem) > 1 else stem)
    return head + (f"_{index}" if index else "")


def is_matrix(e: Expr) -> bool:
    """Return whether an expression is a function of a covariance."""
    return any(isinstance(x, Eigenvalue) for x in e.free_symbols)


def integral(kind: type[SpectralIntegral], f: Expr, *against: Str) -> Expr:
    """Return the integral of a polynomial in matrices, with the scalars outside.

    Named matrices make long products of short factors: they are multiplied out, so that no integrand is factored.
    """
    if not f.has(Add) or expanded_terms(f) > _TERMS or not any(_is_scalar_sum(x) for x in f.atoms(Add)):
        return kind(f, *against)
    return Add(*(kind.written(x, *against) for x in Add.make_args(_multiplied_out(f))))


def _is_scalar_sum(x: Expr) -> bool:
    """Return whether a sum is none of an eigenvalue and a ridge, which stays one factor."""
    return is_matrix(x) and not (len(x.args) == 2 and any(isinstance(a, Eigenvalue) for a in x.args))


def _multiplied_out(f: Expr) -> Expr:
    if f.is_Add:
        return Add(*map(_multiplied_out, f.args)) if _is_scalar_sum(f) else f
    base, exponent = f.as_base_exp()
    factors = f.args if f.is_Mul else [base] * int(exponent) if exponent.is_Integer and exponent > 1 else None
    if factors is None:
        return f
    terms: list[Expr] = [S.One]
    for factor in factors:
        more = Add.make_args(_multiplied_out(factor)) if _is_scalar_sum(factor) or factor.has(Add) else (factor,)
        terms = [x * y for x in terms for y in (more if is_matrix(factor) and _splits(factor) else (factor,))]
    return Add(*terms)


def _splits(factor: Expr) -> bool:
    return any(_is_scalar_sum(x) for x in factor.atoms(Add))


@dataclass
class LatexExpression(BoundedArithmetic):
    """The reading of one expression.

    Attributes:
        tokens: Its tokens.
        names: What a printed name stands for, or None.
        known: The printed names there are, for messages.
    """

    tokens: Sequence[Token]
    names: Callable[[str], Any]
    known: Sequence[str] = ()
    place: int = 0
    depth: int = 0
    nested: int = 0
    inside: int = 0
    identity: int | None = None
    bound: dict[str, Expr] = field(default_factory=dict)

    def read(self) -> Expr:
        """Return the whole as an expression."""
        value = self.sum()
        if self.place < len(self.tokens):
            self.fail(self.here, f"unexpected {shown(self.peek())}")
        if self.identity is not None and not is_matrix(value):
            self.fail(self.identity, "the identity matrix stands outside a trace; write tr[...] or w_0^\\top ... w_0")
        if value.has(S.NaN, S.ComplexInfinity, I) or value.is_extended_real is False:
            self.fail(self.tokens[0].at, "the value is not real; check divisions, roots and logarithms")
        return value

    # ------------------------------------------------------------------ tokens
    @property
    def here(self) -> int:
        """The place of the next token."""
        if self.place < len(self.tokens):
            return self.tokens[self.place].at
        return self.tokens[-1].at + len(self.tokens[-1].text) if self.tokens else len(self.text)

    def peek(self, ahead: int = 0) -> str:
        """Return a coming token, empty at the end."""
        at = self.place + ahead
        return self.tokens[at].text if at < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        """Return the next token, one of those wanted."""
        token = self.peek()
        if not token:
            self.fail(self.here, f"the formula ends too early{f', needs {wanted[0]}' if wanted else ''}")
        if wanted and token not in wanted:
            self.fail(self.here, f"unexpected {shown(token)}, needs {' or '.join(wanted)}")
        self.place += 1
        return token

    def maybe(self, *wanted: str) -> bool:
        """Return whether one of these comes next, and take it."""
        if self.peek() in wanted:
            self.place += 1
            return True
        return False

    # ------------------------------------------------------------------ the grammar
    def sum(self) -> Expr:
        """Return a sum."""
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(self.here, f"nested more than {DEEPEST} deep; introduce names for parts")
        sign = self.take() if self.peek() in {"+", "-"} else "+"
        terms = []
        while True:
            term = self.product()
            terms.append(term if sign == "+" else -term)
            if self.peek() not in {"+", "-"}:
                break
            sign = self.take()
        self.depth -= 1
        return self.sized(Add(*terms), self.here)

    def product(self, *, until: str = "") -> Expr:
        """Return a product, up to a sign or a token that ends it."""
        value: Expr | None = None
        while True:
            at = self.here
            if self._two_numbers():
                self.fail(at, r"two numbers side by side; write \cdot between them, or no space")
            divides = value is not None and self.maybe("/")
            explicit = divides or (value is not None and self.maybe(r"\cdot"))
            if not explicit and value is not None and (not self.peek() or self.peek() in _ENDS or self._closes(until)):
                return value
            factor = self.sum_of_sign() if explicit and self.peek() in {"+", "-"} else self.power()
            if divides and factor.is_zero:
                self.fail(at, "division by zero")
            value = factor if value is None else value / factor if divides else value * factor

    def _two_numbers(self) -> bool:
        before = self.tokens[self.place - 1 : self.place] if self.place else []
        return (
            self.place < len(self.tokens)
            and all(x.kind == "number" for x in (*before, self.tokens[self.place]))
            and bool(before)
        )

    def sum_of_sign(self) -> Expr:
        """Return a factor with a sign of its own, after an explicit sign of multiplication."""
        return self.power() if self.take() == "+" else -self.power()

    def _closes(self, until: str) -> bool:
        return until == "w" and (self._is_target() or self._is_offset())

    def power(self) -> Expr:
        """Return a power."""
        at = self.here
        base = self.atom()
        while self.peek() == "^":
            self.take()
            exponent = self.group(exponent=True)
            if is_matrix(exponent):
                self.fail(at, "an exponent needs to be a scalar")
            base = self.raised(base, exponent, at)
        return base

    def group(self, *, exponent: bool = False) -> Expr:
        """Return what braces hold, or the one token that TeX takes without them."""
        if self.maybe("{"):
            value = self.sum()
            self.take("}")
            return value
        token = self.tokens[self.place] if self.place < len(self.tokens) else None
        if token is not None and token.kind == "number":
            if len(token.text) == 1:
                return self.number(self.take(), token.at)
            if exponent or not token.text.isdigit():
                self.fail(token.at, f"TeX takes one digit here; write {{{token.text}}}")
            rest = Token(token.text[1:], "number", token.at + 1)
            self.tokens = [*self.tokens[: self.place], rest, *self.tokens[self.place + 1 :]]
            return self.number(token.text[0], token.at)
        if token is not None and token.text in _ENDS:
            self.fail(token.at, f"unexpected {shown(token.text)}; write braces")
        return self.atom()

    def bracket(self, *also: str) -> list[Expr]:
        """Return what stands between brackets, separated by commas."""
        closing = {"(": ")", "[": "]", r"\{": r"\}", "{": "}"}[self.take("(", "[", r"\{", *also)]
        values = [self.sum()]
        while self.maybe(","):
            values.append(self.sum())
        self.take(closing)
        return values

    def atom(self) -> Expr:
        """Return a number, a name, a bracket or a function."""
        if self.place >= len(self.tokens):
            self.fail(self.here, "the formula ends too early")
        token = self.tokens[self.place]
        self.nested += 1
        if self.nested > 2 * DEEPEST:
            self.fail(token.at, f"nested more than {DEEPEST} deep; introduce names for parts")
        value = self.atom_at(token)
        self.nested -= 1
        return value

    def atom_at(self, token: Token) -> Expr:
        """Return what starts with a token."""
        text, at = token.text, token.at
        if token.kind == "number":
            return self.number(self.take(), at)
        if text == "{":
            return self.group()
        if self._is_offset():
            return self.form()
        if text in {"(", "[", r"\{"}:
            values = self.bracket()
            if len(values) > 1:
                self.fail(at, "a list is no value; a function needs to stand before it")
            return values[0]
        if text in {r"\|", "|"}:
            return self.norm()
        if self._is_target():
            return self.form()
        found = self.special(text, at)
        return self.name() if found is None else found

    def special(self, text: str, at: int) -> Expr | None:
        """Return what a command with a meaning of its own stands for."""
        if text == r"\frac":
            if self.peek(1) == "{" and self.peek(2) == r"\partial":
                return None
            self.take()
            above, below = self.group(), self.group()
            if below.is_zero:
                self.fail(at, "division by zero")
            return above / below
        if text == r"\sqrt":
            return self.root(at)
        if text == r"\sum":
            return self.series(at)
        if text == r"\underbrace":
            return self.underbraced()
        if text in _FUNCTIONS and self.lookup(text) is None:
            self.take()
            return self.function(_FUNCTIONS[text], at)
        if text == "H" and self.peek(1) == "_" and self.lookup("H") is None:
            return self.harmonic(at)
        if text in {r"\mathrm", r"\operatorname", r"\mathsf"} and self.peek(1) == "{":
            return self.word(at)
        return None

    # ------------------------------------------------------------------ functions
    def root(self, at: int) -> Expr:
        """Return a square or other root."""
        self.take()
        order = Integer(2)
        if self.peek() == "[":
            (order,) = self.bracket()
        return self.raised(self.group(), 1 / order, at)

    def function(self, name: str, at: int) -> Expr:
        r"""Return a function at its argument: a bracket, or one factor without it, as in ``\sin\frac\pi n``."""
        exponent, order = None, None
        while self.peek() in {"^", "_"}:
            if self.take() == "_":
                order = self.group()
            elif self.peek() == "(" or (self.peek() == "{" and self.peek(1) == "("):
                order = self.group() if self.peek() == "{" else self.bracket()[0]
            else:
                exponent = self.group(exponent=True)
        arguments = self.arguments(name, at)
        if name == "digamma" and order is not None:
            name, arguments = "polygamma", [order, *arguments]
        elif order is not None:
            self.fail(at, f"{name} takes no index")
        value = self.apply(name, arguments, at)
        return value if exponent is None else self.raised(value, exponent, at)

    def arguments(self, name: str, at: int) -> list[Expr]:
        """Return the arguments of a function."""
        if self.peek() == "{" and self.peek(1) in {"(", "["}:
            self.take()
            values = self.bracket()
            self.take("}")
        elif self.peek() in {"(", "["}:
            values = self.bracket()
        elif name == "exp" or not self.peek():
            self.fail(self.here, f"{name} needs its argument in brackets")
        else:
            is_number = self.tokens[self.place].kind == "number"
            values = [self.atom()]
            if is_number and self.peek() and self.peek() not in _ENDS:
                self.fail(at, f"where the argument of {name} ends is not clear; write brackets")
        if any(is_matrix(x) for x in values):
            self.fail(at, f"{name} needs a scalar argument")
        return values

    def harmonic(self, at: int) -> Expr:
        """Return a harmonic number, ordinary or generalised."""
        self.take()
        self.take("_")
        n, order = self.group(), None
        if self.peek() == "^" and (self.peek(1) == "(" or (self.peek(1) == "{" and self.peek(2) == "(")):
            self.take()
            order = self.bracket()[0] if self.peek() == "(" else self.group()
        return self.apply("harmonic", [n] if order is None else [n, order], at)

    def series(self, at: int) -> Expr:
        """Return a finite sum over the product behind it."""
        self.take()
        self.take("_")
        self.take("{")
        index = self.take()
        if len(index) != 1 or not index.isalpha() or self.peek() != "=":
            self.fail(at, r"a sum needs bounds such as \sum_{i=1}^{n}")
        self.take("=")
        low = self.sum()
        self.take("}")
        self.take("^")
        high = self.group()
        i = symbols.summation_index(index)
        before = dict(self.bound)
        self.bound[index] = i
        inner = self.product()
        self.bound = before
        if is_matrix(inner):
            self.fail(at, "a sum needs scalar terms; write the trace inside")
        return self.over(inner, i, (low, high), at)

    def underbraced(self) -> Expr:
        """Return what stands over a brace; what stands below it is a remark."""
        self.take()
        value = self.group()
        if self.maybe("_"):
            self.skip_group()
        return value

    def skip_group(self) -> None:
        """Pass over braces."""
        self.take("{")
        depth = 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)

    def word(self, at: int) -> Expr | None:
        """Return a function that is spelt out."""
        end = next((i for i in range(self.place, len(self.tokens)) if self.tokens[i].text == "}"), None)
        name = "" if end is None else "".join(x.text for x in self.tokens[self.place + 2 : end])
        if end is None or (name not in _WORDS and name not in {"tr", "Tr", "df"}):
            behind = self.tokens[end + 1].text if end is not None and end + 1 < len(self.tokens) else ""
            if behind == "_" and name in {"bias", "variance"}:
                self.fail(
                    at, f"{name}_n has no formula on this page, it is derived for each n; print the formula at a number"
                )
            if name and behind in {"(", "["}:
                self.fail(at, f"unknown function {shown(name)}{nearest(name, [*_WORDS, 'tr', 'df'])}")
            return None
        self.place = end + 1
        if name == "df":
            return self.degrees(at)
        return self.trace(at) if name in {"tr", "Tr"} else self.function(_WORDS[name], at)

    # ------------------------------------------------------------------ integrals
    def degrees(self, at: int) -> Expr:
        """Return degrees of freedom."""
        order, exponent = S.One, None
        while self.peek() in {"_", "^"}:
            if self.take() == "_":
                order = self.group()
            else:
                exponent = self.group(exponent=True)
        if not (order.is_Integer and 0 < order <= DEEPEST):
            self.fail(at, "degrees of freedom need an order such as df_2")
        values = self.arguments("df", at)
        if len(values) != 1:
            self.fail(at, "degrees of freedom need one argument, the effective ridge")
        value = degrees(order, values[0])
        return value if exponent is None else self.raised(value, exponent, at)

    def trace(self, at: int) -> Expr:
        """Return a trace over the range of the covariance."""
        self.inside += 1
        before = self.identity
        values = self.bracket("{") if self.peek() in {"(", "[", "{", r"\{"} else [self.power()]
        self.identity = before
        self.inside -= 1
        if len(values) != 1:
            self.fail(at, "a trace needs one matrix")
        return integral(SpectralTrace, values[0])

    def _is_target(self) -> bool:
        """Return whether the true coefficients come next."""
        spelled = [self.peek(k) for k in range(5)]
        return spelled[:3] == ["w", "_", "0"] or spelled[:5] == ["w", "_", "{", "0", "}"]

    def _take_target(self) -> None:
        self.place += 3 if self.peek(2) == "0" else 5

    def _offset(self) -> tuple[str, int] | None:
        """Return the truth whose offset from the tested one comes next, :math:`(w_1-w_0)`, and its number of tokens."""
        if self.peek() != "(" or self.peek(1) != "w" or self.peek(2) != "_":
            return None
        spelled = [x.text for x in self.tokens[self.place + 3 :]]
        inside = spelled[: spelled.index(")")] if ")" in spelled else []
        for end in (["-", "w", "_", "0"], ["-", "w", "_", "{", "0", "}"]):
            if len(inside) > len(end) and inside[-len(end) :] == end:
                index = "".join(x for x in inside[: -len(end)] if x not in {"{", "}", r"\mathrm"})
                name = f"w{index}" if index.isdigit() else index
                return (name, len(inside) + 4) if name.isidentifier() else None
        return None

    def _is_offset(self) -> bool:
        return self._offset() is not None

    def _take_truth(self) -> str:
        """Take the true coefficients, or an offset from them, and return the name of the truth."""
        offset = self._offset()
        if offset is None:
            self._take_target()
            return ENERGIES[0]
        self.place += offset[1]
        return offset[0]

    def form(self) -> Expr:
        r"""Return a quadratic form :math:`w_0^\top f(\Sigma)w_0`, or one of offsets such as :math:`w_1-w_0`."""
        at = self.here
        first = self._take_truth()
        transposed = self.maybe("'")
        if not transposed and self.maybe("^"):
            wrapped = self.maybe("{")
            self.maybe(*UPRIGHT)
            inner = self.maybe("{")
            transposed = self.maybe(r"\top", "T", r"\prime")
            for _ in range(wrapped + inner):
                self.take("}")
        if not transposed:
            self.fail(at, r"w_0 stands in quadratic forms only, w_0^\top ... w_0 or \|w_0\|^2")
        self.inside += 1
        before = self.identity
        middle = S.One if self._closes("w") else self.product(until="w")
        self.identity = before
        self.inside -= 1
        if not self._closes("w"):
            self.fail(self.here, r"a quadratic form needs to end with w_0")
        truths = pair_of(first, self._take_truth())
        return (
            integral(QuadraticForm, middle) if truths == ENERGIES else integral(OffsetForm, middle, *map(Str, truths))
        )

    def norm(self) -> Expr:
        r"""Return the square of a norm of the true coefficients, :math:`\|w_0\|^2` or :math:`\|w_0\|_\Sigma^2`."""
        at = self.here
        close = self.take()
        if not self._is_target():
            self.fail(at, r"the norm of w_0 alone is known, \|w_0\|^2")
        self._take_target()
        self.take(close)
        weight: Expr = S.One
        square = None
        while self.peek() in {"_", "^"}:
            if self.take() == "_":
                weight = self.group()
            else:
                square = self.group(exponent=True)
        if square != 2:
            self.fail(at, r"the square of a norm is known, \|w_0\|^2")
        return integral(QuadraticForm, weight)

    # ------------------------------------------------------------------ names
    def lookup(self, key: str) -> Any:
        """Return what a printed name stands for, or None."""
        return self.bound.get(key, self.names(key))

    def name(self) -> Expr:
        """Return what the longest known name that comes next stands for."""
        at, start = self.here, self.place
        if self.peek() == r"\frac":
            key = self.derivative_name()
            value = self.lookup(key)
            return self.unknown(key, at) if value is None else value
        base = self.base()
        subscript, exponent_at = self.indices()
        ends = self.place
        for key in dict.fromkeys((base + subscript, base)):
            value = self.lookup(key)
            if value is None:
                continue
            if key == base and subscript:
                break
            if exponent_at is not None:
                self.place = exponent_at
            return value
        if base == "I" and subscript in {"", "_d"}:
            self.identity = at if self.inside == 0 and self.identity is None else self.identity
            return S.One
        constant = {r"\pi": S.Pi, "e": S.Exp1, r"\gamma": S.EulerGamma, r"\infty": S.Infinity}.get(base + subscript)
        if constant is not None:
            self.place = ends if exponent_at is None else exponent_at
            return constant
        if self.matrix_index(base, subscript):
            return eigenvalue_of(base[1:] + subscript[1:])
        self.place = start
        return self.unknown(base + subscript, at)

    def matrix_index(self, base: str, subscript: str) -> bool:
        """Return whether a name is that of one of several covariances."""
        return base in {r"\Sigma", r"\Delta"} and subscript[1:].isdigit()

    def base(self) -> str:
        """Return the head of a name."""
        token = self.tokens[self.place]
        if token.text in UPRIGHT and self.peek(1) == "{":
            start = self.place
            self.take()
            self.skip_group()
            return "".join(x.text for x in self.tokens[start + 2 : self.place - 1])
        if token.text in _ACCENTS:
            start = self.place
            self.take()
            if self.peek() == "{":
                self.skip_group()
            else:
                self.take()
            return "".join(x.text for x in self.tokens[start : self.place] if x.text not in {"{", "}"})
        if token.kind == "letter" or token.text in _GREEK or token.text == r"\infty":
            return self.take()
        if token.kind == "word":
            known = [
                *_FUNCTIONS,
                *_GREEK,
                r"\frac",
                r"\sqrt",
                r"\sum",
                r"\mathrm",
                r"\operatorname",
                r"\pi",
                *self.known,
            ]
            self.fail(token.at, f"unknown command {shown(token.text)}{_close(token.text, known)}")
        return self.fail(token.at, f"unexpected {shown(token.text)}")

    def indices(self) -> tuple[str, int | None]:
        """Return the subscript of a name, primes included, and the place of an exponent that stands before it."""
        subscript, exponent_at = "", None
        while True:
            if self.peek() == "'":
                subscript += self.take()
            elif self.peek() == "_" and "_" not in subscript:
                self.take()
                start = self.place
                if self.peek() == "{":
                    self.skip_group()
                else:
                    self.take()
                subscript = "_" + spelled(self.tokens[start : self.place]) + subscript
            elif self.peek() == "^" and exponent_at is None and self._subscript_follows():
                exponent_at = self.place  # T^2_0: the name first, then its power
                self._move_exponent()
                exponent_at = None
            else:
                return subscript, exponent_at

    def _subscript_follows(self) -> bool:
        """Return whether an exponent of one token or in braces is followed by a subscript."""
        at = self.place + 1
        if at < len(self.tokens) and self.tokens[at].text == "{":
            depth = 0
            while at < len(self.tokens):
                depth += (self.tokens[at].text == "{") - (self.tokens[at].text == "}")
                if depth == 0:
                    break
                at += 1
        return at + 1 < len(self.tokens) and self.tokens[at + 1].text == "_"

    def _move_exponent(self) -> None:
        """Put an exponent behind the subscript that follows it."""
        spans, at = [], self.place
        for _ in range(2):
            end = at + 2
            if at + 1 < len(self.tokens) and self.tokens[at + 1].text == "{":
                depth, end = 1, at + 2
                while depth and end < len(self.tokens):
                    depth += (self.tokens[end].text == "{") - (self.tokens[end].text == "}")
                    end += 1
            spans.append(list(self.tokens[at:end]))
            at = end
        self.tokens = [*self.tokens[: self.place], *spans[1], *spans[0], *self.tokens[at:]]

    def derivative_name(self) -> str:
        r"""Return the name of a derivative, ``\frac{\partial E}{\partial T}``, as one key."""
        start = self.place
        self.take()
        self.skip_group()
        self.skip_group()
        return "".join(x.text for x in self.tokens[start : self.place] if x.text not in {"{", "}"})

    def unknown(self, key: str, at: int) -> Expr:
        """Refuse a name."""
        return self.fail(
            at,
            f"unknown name {shown(key)}{_close(key, self.known)}; a symbol of your own is declared by notation={{'name': ...}}",
        )


def _close(name: str, known: Sequence[str]) -> str:
    return nearest(name, set(known))
