"""Source for Python with NumPy: one module, whose last function is the test error."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sympy import Expr, S

from collapse_theory.present import numpy_parts
from collapse_theory.present.code_writer import EQUAL, ArithmeticPrinter, SourceWriter
from collapse_theory.symbols import d as dimension

__all__ = ["NumpyWriter"]


_TYPES = {
    "Callable[[np": "from collections.abc import Callable, Sequence",
    "Callable[[float": "from collections.abc import Callable",
    "Any": "from typing import Any",
}


class _NumpyPrinter(ArithmeticPrinter):
    """Prints for scalars and arrays alike: NumPy's arithmetic is element by element."""

    calls: ClassVar[Mapping[str, str]] = {
        **{name: f"np.{name}" for name in ("sqrt", "exp", "log", "sin", "cos", "tan")},
        "gamma": "math.gamma", "GammaRatio": "gamma_ratio", "DigammaDifference": "digamma_difference", "Abs": "abs",
        "GeometricSum": "geometric_sum", "polygamma": "polygamma", "harmonic": "harmonic", "Max": "max", "Min": "min",
    }  # fmt: skip
    constants: ClassVar[Mapping[Any, str]] = {
        S.Pi: "np.pi", S.Exp1: "np.e", S.EulerGamma: "np.euler_gamma", S.Infinity: "np.inf",
    }  # fmt: skip

    def total(self, f: Expr, energies: str = "") -> str:
        return f"np.sum({self.integrand(f, energies)})"


class NumpyWriter(SourceWriter):
    """Writes Python."""

    reserved = frozenset(
        {*keyword.kwlist, *numpy_parts.__all__, "np", "math", "w2", "abs", "max", "min", "int", "range", "len", "test_error",
         "fits", "designs", "live", "sides", "x", "holds", "need", "error", "float"}
    )  # fmt: skip
    printer = _NumpyPrinter

    def text(self) -> str:
        """Return the whole module: what it needs, the parts that are called, the test error."""
        function = "\n".join(self._function())
        parts = "\n\n\n".join(x.strip() for x in map(inspect.getsource, _called(function)))
        uses = ["import math"] if "math." in parts + function else []
        typing = [line for name, line in _TYPES.items() if name in parts]
        about = f"The test error {self.source.name} ({self.source.regime}), written by collapse-theory"
        said = f'"""{about}; NumPy is all it needs."""'
        needs = "\n".join([*uses, *typing, *([""] if uses or typing else []), "import numpy as np"])
        return "\n\n\n".join(x for x in (f"{said}\n\n{needs}", parts, function) if x) + "\n"

    def _function(self) -> list[str]:
        given = [*map(self.names.of, self.source.parameters)]
        signature = ", ".join([*self.arrays, *(["*", *given] if given else [])])
        first, *others = self.about
        said = [f'"""{first}', *others, '"""'] if others else [f'"""{first}"""']
        body = [*said, *self._spectrum(), *self.constants(), *self._checks(given), *self.block(self.source.block)]
        body += [f"error = {self.say(self.source.result)}", "if not np.isfinite(error):"]
        body += [
            f'{self.tab}raise ArithmeticError("{self.source.name} has no finite value there")',
            "return float(error)",
        ]
        return [f"def test_error({signature}):", *self.indented(body)]

    def _spectrum(self) -> list[str]:
        if not self.source.spectra:
            return []
        spectra = [*map(self.names.of, self.source.spectra)]
        out = [f"{x} = np.asarray({x}, dtype=float)" for x in self.arrays]
        out.append(f"live = {' | '.join(f'({x} > 0)' for x in spectra)}")
        out += [f"{x} = {x}[live]" for x in self.arrays]
        out.append(f"{self.names.of(dimension)} = len({spectra[0]})")
        return out

    def _checks(self, given: list[str]) -> list[str]:
        needs = self.needs
        if self.source.isotropic and self.source.spectra:
            s = self.names.of(self.source.spectra[0])
            needs.append((f"np.ptp({s}) <= {EQUAL} * np.max({s})", "equal eigenvalues"))
        if not needs:
            return []
        pairs = [f'({holds}, "{need}"),' for holds, need in needs]
        got = ", ".join(f"{x}={{{x}}}" for x in given)
        refusal = f'raise ValueError(f"{self.source.name} needs {{need}}, got {got}")'
        return [
            "for holds, need in (",
            *self.indented(pairs),
            "):",
            *self.indented(["if not holds:", f"{self.tab}{refusal}"]),
        ]

    # ------------------------------------------------------------------ how Python says it
    def loop(self, index: str, first: str, last: str, lines: list[str]) -> list[str]:
        """Return a loop over whole numbers."""
        return [f"for {index} in range({first}, int({last}) + 1):", *self.indented(lines)]

    def either(self, holds: str, lines: list[str], others: list[str]) -> list[str]:
        """Return a choice between two blocks."""
        return [f"if {holds}:", *self.indented(lines), "else:", *self.indented(others)]

    def array(self, e: Expr) -> str:
        """Return a function of the eigenvalues, an array even if it is constant."""
        return f"{self.say(e)} + np.zeros(len({self.arrays[0]}))" if e.is_number else self.say(e)

    def equations(self, names: Sequence[str], lines: list[str], sides: list[str]) -> list[str]:
        """Return the function of the sides and the call that solves them."""
        of = (lambda x: f"{names[0]} = {x}[0]") if len(names) == 1 else (lambda x: f"{', '.join(names)} = {x}")
        inside = [of("x"), *lines, f"return [{', '.join(sides)}]"]
        return ["def sides(x):", *self.indented(inside), of(f"fixed_point(sides, {len(names)})")]

    def append(self, to: str, item: str) -> str:
        """Return the call that appends to a list."""
        return f"{to}.append({item})"

    def listed(self, item: str, index: str, first: str, last: str) -> str:
        """Return a list comprehension."""
        return f"[{item} for {index} in range({first}, int({last}) + 1)]"

    def joined(self, lists: list[str]) -> str:
        """Return the sum of lists."""
        return " + ".join(lists)

    def flag(self, value: bool) -> str:
        """Return True or False."""
        return str(value)

    def whole(self, name: str) -> str:
        """Return the comparison with the integer part."""
        return f"{name} == int({name})"


def _called(text: str) -> list[Any]:
    """Return the parts that a text calls, and those that they call, in their order."""
    found: dict[str, Any] = {}
    todo = [text]
    while todo:
        now = todo.pop()
        for name in numpy_parts.__all__:
            if name not in found and re.search(rf"\b{name}\(", now):
                found[name] = getattr(numpy_parts, name)
                todo.append(inspect.getsource(found[name]))
    return [found[name] for name in sorted(found, key=lambda name: found[name].__code__.co_firstlineno)]
