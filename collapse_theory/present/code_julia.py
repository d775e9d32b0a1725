"""Source for Julia, in its base language: functions, the last of which is the test error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from sympy import Expr, S

from collapse_theory.present.code_writer import EQUAL, ArithmeticPrinter, SourceWriter
from collapse_theory.symbols import d as dimension

__all__ = ["JuliaWriter"]

_KEYWORDS = """abstract baremodule begin break catch const continue do else elseif end export false finally for function global if
    import importall in isa let local macro module mutable outer primitive quote return struct true try type using where
    while"""
_BASE = """abs all ceil clamp copy count cos enumerate error exp expm1 fill float im inv isfinite isinteger length log log1p max
    min pi prod push sides sin sqrt sum tan value vcat w2 zeros ones zip x live fits designs test_error Int Inf e"""


@cache
def _parts() -> Mapping[str, str]:
    """Return the parts by name, each with its docstring."""
    text = files("collapse_theory.present").joinpath("parts.jl").read_text(encoding="utf-8")
    found = re.findall(r'^((?:"[^\n]*"|"""\n.*?\n""")\nfunction (\w+)\(.*?\nend)$', text, re.MULTILINE | re.DOTALL)
    return {name: part for part, name in found}


class _JuliaPrinter(ArithmeticPrinter):
    """Prints scalars as they are; functions of the eigenvalues stand behind a macro that takes them element by element."""

    power = "^"
    calls: ClassVar[Mapping[str, str]] = {
        **{name: name for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "gamma", "polygamma", "harmonic")},
        "GammaRatio": "gamma_ratio", "DigammaDifference": "digamma_difference", "GeometricSum": "geometric_sum",
        "Abs": "abs", "Max": "max", "Min": "min",
    }  # fmt: skip
    constants: ClassVar[Mapping[Any, str]] = {
        S.Pi: "pi", S.Exp1: "exp(1)", S.EulerGamma: "0.5772156649015329", S.Infinity: "Inf",
    }  # fmt: skip

    def doprint(self, e: Any, assign_to: Any = None) -> str:
        """Return the source of an expression, in which no sign stands before a parenthesis like the name of a function."""
        text = super().doprint(e, assign_to)
        return text.replace("-(", "-1 * (").replace("/(", " / (").replace("*(", " * (")

    def total(self, f: Expr, energies: str = "") -> str:
        inner = self.integrand(f, energies)
        return f"sum({inner})" if inner.isidentifier() else f"sum(@.({inner}))"


class JuliaWriter(SourceWriter):
    """Writes Julia."""

    reserved = frozenset({*_KEYWORDS.split(), *_BASE.split(), *_parts()})
    printer = _JuliaPrinter

    def text(self) -> str:
        """Return the parts that are called, and the test error."""
        function = "\n".join(self._function())
        about = f"# The test error {self.source.name} ({self.source.regime}), written by collapse-theory"
        return (
            "\n\n".join(
                [f"{about}; base Julia is all it needs.", *(_parts()[name] for name in _called(function)), function]
            )
            + "\n"
        )

    def _function(self) -> list[str]:
        given = [*map(self.names.of, self.source.parameters)]
        signature = ", ".join(self.arrays) + ("; " + ", ".join(given) if given else "")
        body = [*self._spectrum(), *self.constants(), *self._checks(given), *self.block(self.source.block)]
        body += [f"value = {self.say(self.source.result)}"]
        body += [f'isfinite(value) || error("{self.source.name} has no finite value there")', "return value"]
        return ['"""', *self.about, '"""', f"function test_error({signature})", *self.indented(body), "end"]

    def _spectrum(self) -> list[str]:
        out = [
            f"{x} = float({x})" for x in map(self.names.of, self.source.parameters)
        ]  # powers of whole numbers overflow
        if not self.source.spectra:
            return out
        spectra = [*map(self.names.of, self.source.spectra)]
        out += [f"{x} = float.({x})" for x in self.arrays]
        out.append(f"live = {' .| '.join(f'({x} .> 0)' for x in spectra)}")
        out += [f"{x} = {x}[live]" for x in self.arrays]
        return [*out, f"{self.names.of(dimension)} = float(length({spectra[0]}))"]

    def _checks(self, given: list[str]) -> list[str]:
        needs = self.needs
        if self.source.isotropic and self.source.spectra:
            s = self.names.of(self.source.spectra[0])
            needs.append((f"maximum({s}) - minimum({s}) <= {EQUAL} * maximum({s})", "equal eigenvalues"))
        if not needs:
            return []
        got = ", ".join(f"{x}=${x}" for x in given)
        pairs = [f'({holds}, "{need}"),' for holds, need in needs]
        refusal = f'holds || throw(ArgumentError("{self.source.name} needs $need, got {got}"))'
        return ["for (holds, need) in [", *self.indented(pairs), "]", *self.indented([refusal]), "end"]

    # ------------------------------------------------------------------ how Julia says it
    def loop(self, index: str, first: str, last: str, lines: list[str]) -> list[str]:
        """Return a loop over whole numbers."""
        return [f"for {index} in {first}:Int({last})", *self.indented(lines), "end"]

    def either(self, holds: str, lines: list[str], others: list[str]) -> list[str]:
        """Return a choice between two blocks."""
        return [f"if {holds}", *self.indented(lines), "else", *self.indented(others), "end"]

    def array(self, e: Expr) -> str:
        """Return a function of the eigenvalues, an array even if it is constant."""
        return f"fill({float(e)}, length({self.arrays[0]}))" if e.is_number else f"@.({self.say(e)})"

    def equations(self, names: Sequence[str], lines: list[str], sides: list[str]) -> list[str]:
        """Return the function of the sides and the call that solves them."""
        of = (lambda x: f"{names[0]} = {x}[1]") if len(names) == 1 else (lambda x: f"{', '.join(names)} = {x}")
        inside = [of("x"), *lines, f"return [{', '.join(sides)}]"]
        return ["function sides(x)", *self.indented(inside), "end", of(f"fixed_point(sides, {len(names)})")]

    def append(self, to: str, item: str) -> str:
        """Return the call that appends to a list."""
        return f"push!({to}, {item})"

    def listed(self, item: str, index: str, first: str, last: str) -> str:
        """Return a list comprehension."""
        return f"[{item} for {index} in {first}:Int({last})]"

    def joined(self, lists: list[str]) -> str:
        """Return the concatenation of lists."""
        return lists[0] if len(lists) == 1 else f"vcat({', '.join(lists)})"

    def flag(self, value: bool) -> str:
        """Return true or false."""
        return str(value).lower()

    def whole(self, name: str) -> str:
        """Return the call that says so."""
        return f"isinteger({name})"


def _called(text: str) -> list[str]:
    """Return the names of the parts that a text calls, and of those that they call, in their order."""
    found: set[str] = set()
    todo = [text]
    while todo:
        now = todo.pop()
        for name, part in _parts().items():
            if name not in found and re.search(rf"\b{name}\(|\({name},", now):
                found.add(name)
                todo.append(part)
    return [name for name in _parts() if name in found]
