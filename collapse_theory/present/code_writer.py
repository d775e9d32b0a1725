"""The writer of sources in languages with functions and loops: what all of them say, and hooks for how each says it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sympy import Expr, S, Symbol
from sympy.core.relational import Eq
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pycode import PythonCodePrinter

from collapse_theory.core.errors import DomainError
from collapse_theory.describe.truths import ENERGIES, Pair
from collapse_theory.present.code_statements import Block, Call, Either, FixedPoint, For, Let, Listing, Recursion
from collapse_theory.symbols import Eigenvalue, eigenvalue
from collapse_theory.symbols import d as dimension

__all__ = ["EQUAL", "ArithmeticPrinter", "Names", "SourceWriter", "offsets_name"]

EQUAL = 1e-12
"""How far two sides of an equality between floats may be apart."""


class Names:
    """One identifier for each symbol, no two alike: the parameters have theirs first."""

    def __init__(self, reserved: frozenset[str], source: Listing) -> None:
        self._known: dict[Symbol, str] = {}
        self._taken = set(reserved)
        self._taken |= set(map(offsets_name, source.offsets))
        for x in source.spectra:
            self._name(x, "s" if len(source.spectra) == 1 else x.name)
        for x in (*source.parameters, dimension, *(x for x, _ in source.numbers)):
            self.of(x)

    def of(self, x: Symbol) -> str:
        """Return the identifier of a symbol: its name, with an underscore where that is taken or no identifier."""
        if x not in self._known:
            self._name(x, x.name)
        return self._known[x]

    def _name(self, x: Symbol, wanted: str) -> None:
        name = re.sub(r"[^A-Za-z0-9_]", "", re.sub(r"['#,]", "_", wanted))
        name = name if name[:1].isalpha() else f"x{name}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self._known[x] = name


class ArithmeticPrinter(PythonCodePrinter):
    """Prints scalars and functions of the eigenvalues in a language whose arithmetic is written as Python's.

    Args:
        names: Identifiers.
    """

    power: ClassVar[str] = "**"
    calls: ClassVar[Mapping[str, str]] = {}
    constants: ClassVar[Mapping[Any, str]] = {}

    def __init__(self, names: Names) -> None:
        super().__init__()
        self.names = names

    def doprint(self, e: Any, assign_to: Any = None) -> str:
        """Return the source of an expression."""
        del assign_to
        return str(self._print(e))

    def _print(self, e: Any, **_: Any) -> str:
        name = type(e).__name__
        if e in self.constants:
            return self.constants[e]
        if name in self.calls:
            return f"{self.calls[name]}({', '.join(map(self._print, e.args))})"
        if name == "zeta" and e.is_number:
            return repr(float(e))
        if name not in _PRINTED:
            raise DomainError(
                f"code needs functions that have source, got {name}; write the formula with latex() or to_json()"
            )
        return str(super()._print(e))

    def _print_Symbol(self, e: Symbol) -> str:
        return self.names.of(e)

    def _print_Float(self, e: Any) -> str:
        return repr(float(e))

    def _print_Pow(self, e: Any, rational: bool = False) -> str:
        if abs(e.exp) == S.Half and not rational:
            root = f"{self.calls['sqrt']}({self._print(e.base)})"
            return root if e.exp > 0 else f"1/{root}"
        return self.parenthesize(e.base, PRECEDENCE["Pow"]) + self.power + self.parenthesize(e.exp, PRECEDENCE["Pow"])

    def _print_SpectralTrace(self, e: Any) -> str:
        return self.total(e.integrand)

    def _print_OffsetForm(self, e: Any) -> str:
        weights = offsets_name(e.truths)
        return self.total(e.integrand, weights if e.integrand == 1 else f"{weights}*")

    def _print_QuadraticForm(self, e: Any) -> str:
        return self.total(e.integrand, "w2" if e.integrand == 1 else "w2*")

    def total(self, f: Expr, energies: str = "") -> str:
        """Return the sum of a function of the eigenvalues, against the energies if they are given."""
        raise NotImplementedError

    def integrand(self, f: Expr, energies: str) -> str:
        """Return what is summed."""
        if not energies:
            return self._print(f)
        return energies + ("" if f == 1 else self.parenthesize(f, PRECEDENCE["Mul"], strict=True))

    def _print_Relational(self, e: Any) -> str:
        left, right = map(self._print, e.args)
        return f"abs({left} - ({right})) <= {EQUAL}" if isinstance(e, Eq) else f"{left} {e.rel_op} {right}"


_PRINTED = frozenset(
    """Symbol Generated Eigenvalue Integer Rational Half One NegativeOne Zero Float Add Mul Pow SpectralTrace QuadraticForm
    OffsetForm GreaterThan StrictGreaterThan LessThan StrictLessThan Equality Unequality""".split()  # noqa: SIM905
)


def offsets_name(truths: Pair) -> str:
    """Return the name of the array of products of two truths' offsets from the tested one."""
    return "_".join(re.sub(r"\W", "", name) for name in truths)


def _spoken(truths: Pair) -> str:
    return " and ".join(name if name == ENERGIES[0] else f"{name} - {ENERGIES[0]}" for name in truths)


class SourceWriter:
    """Writes the lines of a source; a language says how.

    Args:
        source: What is said.
    """

    tab: ClassVar[str] = "    "
    reserved: ClassVar[frozenset[str]]
    printer: ClassVar[type[ArithmeticPrinter]]

    def __init__(self, source: Listing) -> None:
        self.source = source
        self.names = Names(self.reserved, source)
        self._printer = self.printer(self.names)

    def say(self, e: Any) -> str:
        """Return an expression."""
        return self._printer.doprint(e)

    def text(self) -> str:
        """Return the whole source."""
        raise NotImplementedError

    # ------------------------------------------------------------------ how a language says it
    def loop(self, index: str, first: str, last: str, lines: list[str]) -> list[str]:
        """Return a loop over whole numbers."""
        raise NotImplementedError

    def either(self, holds: str, lines: list[str], others: list[str]) -> list[str]:
        """Return a choice between two blocks."""
        raise NotImplementedError

    def array(self, e: Expr) -> str:
        """Return a function of the eigenvalues as an array."""
        raise NotImplementedError

    def equations(self, names: Sequence[str], lines: list[str], sides: list[str]) -> list[str]:
        """Return the solution of equations ``x = sides(x)``."""
        raise NotImplementedError

    def append(self, to: str, item: str) -> str:
        """Return the line that appends to a list."""
        raise NotImplementedError

    def listed(self, item: str, index: str, first: str, last: str) -> str:
        """Return the list of an item over whole numbers."""
        raise NotImplementedError

    def joined(self, lists: list[str]) -> str:
        """Return one list of several."""
        raise NotImplementedError

    def flag(self, value: bool) -> str:
        """Return a truth value."""
        raise NotImplementedError

    # ------------------------------------------------------------------ what is said
    @property
    def arrays(self) -> list[str]:
        """The eigenvalues of each covariance, then the energies where they are needed."""
        weights = [*(["w2"] if self.source.target else []), *map(offsets_name, self.source.offsets)]
        return [*map(self.names.of, self.source.spectra), *weights]

    @property
    def about(self) -> list[str]:
        """What the function returns and takes, in words."""
        said = [f"Return the test error of {self.source.name} ({self.source.regime})."]
        renamed = [(self.names.of(x), re.sub(r"\W", "", x.name)) for x in self.source.parameters]
        notes = [f"{own} stands for {name}." for own, name in renamed if own != name]
        if not self.arrays:
            return [*said, *(["", *notes] if notes else [])]
        spectra = self.arrays[: len(self.source.spectra)]
        what = f"{', '.join(spectra)} {'holds' if len(spectra) == 1 else 'hold'} the eigenvalues of the covariance"
        what += "." if len(spectra) == 1 else "s in their common basis."
        energies = ["w2 holds the squared coefficients of the target along the eigenvectors."]
        offsets = [f"{offsets_name(x)} holds the products of {_spoken(x)} along them." for x in self.source.offsets]
        return [*said, "", what, *(energies if self.source.target else []), *offsets, *notes]

    def constants(self) -> list[str]:
        """Return the lines that name the numbers."""
        return [f"{self.names.of(x)} = {self.say(e)}" for x, e in self.source.numbers]

    @property
    def needs(self) -> list[tuple[str, str]]:
        """What has to hold, and the same in words."""
        out = []
        for x in self.source.parameters:
            name = self.names.of(x)
            if x.is_integer:
                out.append((self.whole(name), f"a whole number {name}"))
            if x.is_positive or x.is_nonnegative:
                range_ = f"{name} {'>' if x.is_positive else '>='} 0"
                out.append((range_, range_))
        for c in self.source.conditions:
            relation = "==" if isinstance(c, Eq) else c.rel_op
            out.append((self.say(c), f"{self.say(c.lhs)} {relation} {self.say(c.rhs)}"))
        return out

    def whole(self, name: str) -> str:
        """Return whether a value is a whole number."""
        raise NotImplementedError

    def block(self, block: Block) -> list[str]:
        """Return the lines of a block."""
        out: list[str] = []
        for line in block:
            out += self._line(line)
        return out

    def _line(self, line: Any) -> list[str]:
        names = self.names.of
        if isinstance(line, Let):
            values = [
                self.array(v) if isinstance(x, Eigenvalue) else self.say(v)
                for x, v in zip(line.names, line.values, strict=True)
            ]
            return [f"{', '.join(map(names, line.names))} = {', '.join(values)}"]
        if isinstance(line, Call):
            return [f"{names(line.names[0])} = {line.part}({', '.join(map(self.say, line.arguments))})"]
        if isinstance(line, For):
            return self.loop(names(line.index), self.say(line.first), self.say(line.last), self.block(line.block))
        if isinstance(line, Either):
            return self.either(self.say(line.holds), self.block(line.block), self.block(line.otherwise))
        if isinstance(line, FixedPoint):
            return self.equations([*map(names, line.unknowns)], self.block(line.block), [*map(self.say, line.sides)])
        return self._recursion(line)

    def indented(self, lines: list[str]) -> list[str]:
        """Return lines one step further to the right."""
        return [f"{self.tab}{x}".rstrip() for x in lines]

    def _recursion(self, line: Recursion) -> list[str]:
        """Return the fits and designs, and the call of the recursion over them."""
        out = ["fits, designs = [], []"]
        for *run, rows, ridge in line.fits:
            out += self._run(run, [self.append("fits", f"({self.say(rows)}, {self.say(ridge)})")])
        for *run, rows, seers, common, own in line.designs:
            seen = f"[{', '.join(f'({self.say(a)}, {self.say(b)})' for a, b in seers)}]"
            labels = f"[{self._labels(common)}]" if own is None else self.joined([self._own(x) for x in own])
            out += self._run(
                run, [self.append("designs", f"({self.say(rows)}, {seen}, {labels}, {self.flag(own is None)})")]
            )
        bias, variance = map(self.names.of, line.names)
        return [*out, f"{bias}, {variance} = shared_designs({self.names.of(eigenvalue)}, w2, fits, designs)"]

    def _run(self, run: Sequence[Expr], lines: list[str]) -> list[str]:
        index, first, last = run
        return (
            lines if index in (first, last) else self.loop(self.names.of(index), self.say(first), self.say(last), lines)
        )

    def _own(self, run: Any) -> str:
        one = self._labels(run.element)
        if run.index in (run.first, run.last):
            return f"[{one}]"
        return self.listed(one, self.names.of(run.index), self.say(run.first), self.say(run.last))

    def _labels(self, element: Any) -> str:
        labels, variance, *amplitude = element
        listed = ", ".join(f"({self.say(at)}, {self.say(c)})" for at, c in labels)
        return f"([{listed}], {self.say(variance)}, {self.say(*amplitude or [S.Zero])})"
