"""A formula as source code, by language."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collapse_theory.core.arguments import word
from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.present.code_julia import JuliaWriter
from collapse_theory.present.code_numpy import NumpyWriter
from collapse_theory.present.code_program import source_of
from collapse_theory.present.code_sympy import SympyWriter
from collapse_theory.present.code_unicode import unicode_text

__all__ = ["formula_code"]


_LANGUAGES: Mapping[str, Callable[[ErrorFormula], str]] = {
    "numpy": lambda formula: NumpyWriter(source_of(formula)).text(),
    "julia": lambda formula: JuliaWriter(source_of(formula)).text(),
    "sympy": lambda formula: SympyWriter(source_of(formula, loops=False)).text(),
    "unicode": unicode_text,
}


def formula_code(formula: ErrorFormula, language: str) -> str:
    """Return the source of a formula in a language, see :meth:`.ErrorFormula.code`."""
    name = word(language, "language", DomainError)
    if name not in _LANGUAGES:
        raise DomainError(f"code needs a language that it writes, got {shown(name)}{nearest(name, _LANGUAGES)}")
    return _LANGUAGES[name](formula)
