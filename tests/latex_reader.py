"""Read the package's printed LaTeX back into numbers: symbols are numbers, functions of Sigma are vectors over its eigenvalues.

A recursive descent over tokens, written from what a reader sees: products are juxtaposition, a fraction is a quotient, a trace is
a sum. The implicit equations of a formula are solved as they are printed.
"""

from __future__ import annotations

import re

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, gamma, gammaln

__all__ = ["Reader", "read_formula"]

_SPACE = re.compile(r"\\[,;]|\\[bB]igg?[lr]")
_TOKEN = re.compile(r"\\\\|\\[a-zA-Z]+|\\[,;{}|]|\d+\.?\d*|[a-zA-Z]|[-+*/^_{}()\[\]=,'&]|<|>")


class Reader:
    """Values by printed name, eigenvalues of the covariances and energies of the target."""

    def __init__(self, values, matrices, energies):
        self.values, self.matrices, self.energies = values, matrices, energies

    def read(self, text):
        """Return the value of an expression."""
        self.tokens, self.place = _TOKEN.findall(_SPACE.sub("", text)), 0
        value = self.total()
        assert self.place == len(self.tokens), (text, self.tokens[self.place :])
        return value

    def peek(self, ahead=0):
        return self.tokens[self.place + ahead] if self.place + ahead < len(self.tokens) else ""

    def take(self, *wanted):
        token = self.peek()
        assert token, f"the text ends where {wanted or 'more'} is expected"
        assert not wanted or token in wanted, (wanted, self.tokens[self.place : self.place + 8])
        self.place += 1
        return token

    def total(self):
        value = 0
        sign = self.take() if self.peek() in "+-" and self.peek() else "+"
        while True:
            term = self.product()
            value = value + term if sign == "+" else value - term
            if self.peek() not in {"+", "-"}:
                return value
            sign = self.take()

    def product(self):
        value = self.power()
        while self.peek() and (self.peek() not in {"+", "-", ")", "]", "}", ",", "=", r"\right", "&", r"\\"}):
            if self.peek() == "/":
                self.take()
                value = value / self.power()
            else:
                value = value * self.power()
        return value

    def power(self):
        base = self.atom()
        while self.peek() == "^" and self.peek(1) != r"\top":
            self.take("^")
            base = base ** self.group()
        return base

    def group(self):
        if self.peek() != "{":
            return float(self.take())
        self.take("{")
        value = self.total()
        self.take("}")
        return value

    def bracket(self):
        """Return what stands between a pair of brackets, sized or not."""
        sized = self.peek() == r"\left"
        if sized:
            self.take()
        self.take("(", "[")
        values = [self.total()]
        while self.peek() == ",":
            self.take()
            values.append(self.total())
        if sized:
            self.take(r"\right")
        self.take(")", "]")
        return values[0] if len(values) == 1 else values

    def word(self):
        """Return the text in braces, without braces inside."""
        self.take("{")
        text, depth = "", 1
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
            text += token.strip("{}")
        return text

    def atom(self):
        token = self.take()
        if re.fullmatch(r"\d+\.?\d*", token):
            return float(token)
        if token == "{":
            self.place -= 1
            return self.group()
        if token in {"(", "[", r"\left"}:
            self.place -= 1
            return self.bracket()
        if token == r"\frac":
            above = self.group()
            return above / self.group()
        if token == r"\sqrt":
            return np.sqrt(self.group())
        if token == r"\pi":
            return np.pi
        if token in {r"\sin", r"\Gamma", r"\psi", r"\log"}:
            return self.function(token)
        if token == r"\operatorname":
            name = self.word()
            assert name == "tr", name
            return np.sum(self.bracket() * np.ones_like(self.matrices[r"\Sigma"]))
        if token == r"\mathrm":
            return self.degrees(self.word())
        if token == "w" and self.peek() == "_" and self.peek(2) == "^":  # w_0^\top f(Sigma) w_0
            self.place += 4
            inner = 1.0
            while not (self.peek() == "w" and self.peek(1) == "_"):
                inner = inner * self.power()
            self.place += 3
            return np.sum(self.energies * inner)
        if token == "I":
            return np.ones_like(self.matrices[r"\Sigma"])
        if token == "H":
            self.take("_")
            return self.harmonic(int(self.group()))
        name = token
        if token == r"\partial":  # of a term: one name with what follows
            self.take("_")
            return self.values[name + "_" + self.word() + self.take() + self.index()]
        if self.peek() == "_":
            self.take()
            name += "_" + (self.word() if self.peek() == "{" else self.take())
        return self.matrices[name] if name in self.matrices else self.values[name]

    def index(self):
        """Return the index of a name, if it has one."""
        if self.peek() != "_":
            return ""
        self.take()
        return "_" + (self.word() if self.peek() == "{" else self.take())

    def function(self, token):
        if self.peek() == "{":
            self.take("{")
            inner = self.bracket()
            self.take("}")
        else:
            inner = self.bracket()
        if token == r"\Gamma":
            return _Gamma(inner)
        return {r"\sin": np.sin, r"\psi": digamma, r"\log": np.log}[token](inner)

    def harmonic(self, n):
        order = 1.0
        if self.peek() == "^" and self.peek(2) == "(":
            self.take("^")
            order = self.group()
        return sum(1 / i**order for i in range(1, n + 1))

    def degrees(self, name):
        assert name == "df", name
        self.take("_")
        order = self.group()
        kappa = self.bracket()
        s = self.matrices[r"\Sigma"]
        return np.sum((s / (s + kappa)) ** order)


class _Gamma(float):
    """A value of the gamma function; quotients of two go through logarithms."""

    def __new__(cls, x):
        out = super().__new__(cls, gamma(x))
        out.x = x
        return out

    def __truediv__(self, other):
        return float(np.exp(gammaln(self.x) - gammaln(other.x))) if isinstance(other, _Gamma) else float(self) / other


def rows(text):
    """Return the equations of an ``aligned`` block, left and right; one over several rows is joined."""
    body = re.sub(r"\\(?:begin|end)\{\w+\*?\}", "", text)
    found = []
    for row in body.split(r"\\"):
        plain = re.sub(r"\\text\{.*|&&.*", "", row, flags=re.DOTALL).strip()
        if plain.startswith(r"&\qquad"):
            found[-1][1] += plain.removeprefix(r"&\qquad")
            continue
        parts = re.split(r",\s*\\quad", plain.replace("&", ""))
        found += [[x.strip() for x in part.split("=", 1)] for part in parts if "=" in part]
    return found


def name_of(left):
    """Return a left-hand side as the name it is, without braces and spaces."""
    return re.sub(r"[{}\s]", "", left)


def read_formula(text, values, matrices, energies):
    """Return the printed terms and the printed sum of an ``aligned`` block, implicit scalars solved as printed.

    Every other line defines one name, that lines above it use: the block is read from below.
    """
    pairs = rows(text)
    reader = Reader({"d": float(len(energies)), **values}, matrices, energies)
    implicit = [pair for pair in pairs if r"\kappa" in pair[0]]
    solve(reader, implicit)
    shown, pending = {}, [pair for pair in reversed(pairs) if pair not in implicit]
    while pending:
        left, right = next(pair for pair in pending if readable(reader, pair[1]))
        reader.values[name_of(left)] = shown[name_of(left)] = reader.read(right)
        pending.remove([left, right])
    return {name_of(left): shown[name_of(left)] for left, _ in reversed(pairs) if name_of(left) in shown}


def readable(reader, right):
    """Return whether all names of an expression are known."""
    try:
        reader.read(right)
    except KeyError:
        return False
    return True


def solve(reader, equations):
    """Solve the printed equations, one after the other, for the effective ridges: each is the largest root of its equation."""
    for left, right in reversed(equations):
        found = re.search(r"\((\\kappa[^()]*)\)", left)
        name = name_of(found[1] if found else left)

        def excess(x, name=name, left=left, right=right):
            reader.values[name] = np.exp(x)
            return reader.read(left) - reader.read(right)

        if name in re.sub(r"[{}]", "", right) or found:
            grid = np.linspace(np.log(100 * np.sum(reader.matrices[r"\Sigma"])), -50, 600)
            signs = [np.sign(excess(x)) for x in grid]
            below = next((i for i, sign in enumerate(signs) if sign != signs[0]), None)
            if below is None:  # df1 stays below the number of rows
                reader.values[name] = 0.0
            else:
                excess(brentq(excess, grid[below], grid[below - 1], xtol=1e-15))
        else:
            reader.values[name] = reader.read(right)
