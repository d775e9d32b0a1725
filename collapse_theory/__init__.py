"""Symbolic and numeric theory of recursive training on synthetic data (model collapse).

Describe a training pipeline once (who labels which samples, who fits on what) and get the derived formula, its LaTeX,
a fast numeric predictor and a Monte Carlo check. The names below are the public face; the stub ``__init__.pyi`` is
their only list, and each is imported on first use.
"""

import copyreg
import importlib.metadata
import sys
import types

import lazy_loader

from collapse_theory.core.attributes import unknown_attribute
from collapse_theory.core.doors import open_doors

open_doors(
    {
        f"{cls}.{method}": f"collapse_theory.{address}"
        for cls, method, address in (
            ("Displayed", "html", "present.notebook:html"),
            ("Pipeline", "draw", "present.draw:draw_pipeline"),
            ("Rates", "draw", "present.rate_figures:draw_rates"),
            ("ErrorFormula", "program", "numerics.predictor:program_of"),
            ("ErrorFormula", "compile", "numerics.backend:predictor_of"),
            ("ErrorFormula", "break_even", "study.break_even:break_even"),
            ("ErrorFormula", "optimum", "study.optimum:optimal_ridge"),
            ("ErrorFormula", "infer", "study.inverse:infer"),
            ("ErrorFormula", "sweep", "study.sweep:sweep"),
            ("ErrorFormula", "plot", "present.sweep_figure:plot"),
            ("ErrorFormula", "latex", "present.latex:formula_latex"),
            ("ErrorFormula", "code", "present.code:formula_code"),
            ("ErrorFormula", "to_json", "present.json_formula:formula_json"),
            ("DeterministicEquivalent", "evaluate", "numerics.equivalent_values:evaluate"),
            ("DeterministicEquivalent", "solve", "numerics.equivalent_values:solve_equivalent"),
            ("DeterministicEquivalent", "latex", "present.latex:equivalent_latex"),
            ("Existence", "check", "numerics.equivalent_values:check_existence"),
            ("Theorem", "statement", "present.statement:theorem_statement"),
            ("Theorem", "bibtex", "present.bibliography:bibtex"),
        )
    }
)

_listed, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.metadata.version("collapse-theory")
    try:
        return _listed(name)
    except AttributeError:
        if name in __all__ or name.startswith("_"):  # the module behind a name failed, or a protocol asks
            raise
    raise AttributeError(unknown_attribute("collapse_theory", name, __all__), name=name)


def _by_name(module: types.ModuleType) -> tuple[object, tuple[str]]:
    return importlib.import_module, (module.__name__,)


# A lazy module has a class of its own, which pickles like any module: a user's function may refer to it in a parallel run.
if type(sys.modules[__name__]) is not types.ModuleType:
    copyreg.pickle(type(sys.modules[__name__]), _by_name)
del copyreg, sys, types, lazy_loader, open_doors
