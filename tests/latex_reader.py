"""Read the package's printed LaTeX back into numbers: symbols are numbers, functions of Sigma are vectors over its eigenvalues.

A recursive descent over tokens, written from what a reader sees: products are juxtaposition, a fraction is a quotient, a trace is
a sum. The implicit equations of a formula are solved as they are printed.
"""

from __future__ import annotations

import re

import numpy as np
from scipy.optimize import brentq, root
from scipy.special import digamma, gamma, gammaln

__all__ = ["Reader", "read_formula"]

_TOKEN = re.compile(r"\\\\|\\[a-zA-Z]+|\\[,;{}|]|\d+\.?\d*|[a-zA-Z]|[-+*/^_{}()\[\]=,'&]|<|>")


class Reader:
    """Values by printed name, eigenvalues of the covariances and energies of the target."""

    def __init__(self, values, matrices, energies):
        self.values, self.matrices, self.energies = values, matrices, energies

    def read(self, text):
        """Return the value of an expression."""
        self.tokens, self.place = _TOKEN.findall(text), 0
        value = self.total()
        assert self.place == len(self.tokens), (text, self.tokens[self.place :])
        return value

    def peek(self, ahead=0):
        return self.tokens[self.place + ahead] if self.place + ahead < len(self.tokens) else ""

    def take(self, *wanted):
        token = self.peek()
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
        """Return the text in braces."""
        self.take("{")
        text = ""
        while self.peek() != "}":
            text += self.take()
        self.take("}")
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
        if self.peek() == "_":
            self.take()
            name += "_" + (self.word() if self.peek() == "{" else self.take())
        return self.matrices[name] if name in self.matrices else self.values[name]

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


def read_formula(text, values, matrices, energies):
    """Return the printed terms and the printed sum of an ``aligned`` block, implicit scalars solved as printed."""
    lines = [re.sub(r"&&.*", "", line).replace("&", "") for line in text.splitlines()[1:-1]]
    lines = [re.sub(r"\\\\\s*$", "", line).strip() for line in lines if r"\text{for }" not in line]
    reader = Reader(dict(values), matrices, energies)
    pairs = [line.split("=", 1) for line in lines]
    solve(reader, [pair for pair in pairs if r"\kappa" in pair[0]])
    shown = {}
    for left, right in pairs:
        if r"\kappa" not in left and left.strip() != "E":
            shown[left.strip()] = reader.values[left.strip().replace("{", "").replace("}", "")] = reader.read(right)
    for left, right in pairs:
        if left.strip() == "E":
            names = re.split(r"\s\+\s", right.strip())
            shown["E"] = sum(shown[x] for x in names) if all(x in shown for x in names) else reader.read(right)
    return shown


def solve(reader, equations):
    """Solve the printed equations together for the effective ridges; one without a ridge is zero where the rows exceed the rank."""
    for left, right in [pair for pair in equations if r"\mathrm{df}" in pair[0]]:  # df1(x) = T falls in x
        name = re.search(r"\((.*)\)", left)[1].replace("{", "").replace("}", "")

        def excess(x, name=name, left=left, right=right):
            reader.values[name] = np.exp(x)
            return reader.read(left) - reader.read(right)

        excess(brentq(excess, -50, 50, xtol=1e-15))
    equations = [pair for pair in equations if r"\mathrm{df}" not in pair[0]]
    names = [left.split("-")[0].strip().replace("{", "").replace("}", "") for left, _ in equations]
    free = [(name, *pair) for name, pair in zip(names, equations, strict=True) if "-" in pair[0]]
    reader.values.update(dict.fromkeys(names, 0.0))

    def gaps(x):
        reader.values.update(zip((name for name, *_ in free), np.exp(x), strict=True))
        return [(reader.read(left) - reader.read(right)) / reader.values[name] for name, left, right in free]

    if free:
        start = np.full(len(free), np.log(10 * np.sum(reader.matrices[r"\Sigma"])))
        for _ in range(200):  # x - lam = x df1(x)/T as a step x <- lam + x df1(x)/T, which falls towards the root
            start = start + np.log1p(-np.asarray(gaps(start)))
        found = root(gaps, start, tol=1e-14)
        assert np.abs(found.fun).max() < 1e-12, found
        gaps(found.x)
