"""A pipeline as the text of a pipeline file: what :func:`~collapse_theory.describe.files.load` reads back."""

from __future__ import annotations

import json

from sympy import Expr, Float
from sympy.core.function import Application
from sympy.printing.str import StrPrinter

from collapse_theory.core.errors import PipelineError
from collapse_theory.describe.activations import Activation
from collapse_theory.describe.bounded import FUNCTIONS
from collapse_theory.describe.nodes import TRUTH, Features, Fit, Labels, OneOf, Sample, Source, Truth

__all__ = ["toml_text"]


def toml_text(nodes: tuple[Sample | Fit | Features, ...], truths: tuple[Truth, ...]) -> str:
    """Return the tables of the nodes, in their order.

    Args:
        nodes: Those of a pipeline.
        truths: Its truths; a file has one.

    Raises:
        PipelineError: If there is another truth, or a parameter that the grammar of formulas does not have.
    """
    for x in truths:
        if x != TRUTH:
            raise PipelineError(f"to_toml needs a pipeline of one truth, got {x}; use to_json of its formula")
    return "\n".join(_table(node) for node in nodes)


def _table(node: Sample | Fit | Features) -> str:
    kind = {Sample: "sample", Fit: "fit", Features: "features"}[type(node)]
    return "\n".join([f"[[{kind}]]", *(f"{key} = {value}" for key, value in _fields(node).items()), ""])


def _fields(node: Sample | Fit | Features) -> dict[str, str]:
    name = {"name": json.dumps(node.name)}
    if isinstance(node, Features):
        return name | {"m": _scalar(node.m)} | _activation(node.activation)
    return name | (_fit(node) if isinstance(node, Fit) else _sample(node))


def _activation(activation: Activation | None) -> dict[str, str]:
    if activation is None:
        return {}
    if activation.gaussian or callable(activation.function):
        raise PipelineError(
            f"to_toml needs activations by name or coefficients, got {activation}; name it, or keep the pipeline in Python"
        )
    given = activation.function
    return {"activation": json.dumps(given if isinstance(given, str) else list(given))}


def _sample(s: Sample) -> dict[str, str]:
    if s.pool:
        return {"T": _scalar(s.T), "pool": _names(s.pool)}
    out = {"T": _scalar(s.T)} if s.design is None else {"design": json.dumps(s.design.name)}
    if s.noise is not None:
        out["noise"] = _scalar(s.noise)
    if s.source != Source.of(TRUTH):
        out["source"] = json.dumps(_source(s.source))
    if s.covariance is not None and s.design is None:
        out["covariance"] = json.dumps(s.covariance)
    return out


def _fit(f: Fit) -> dict[str, str]:
    out = {"data": _names(f.samples)}
    if any(a != 1 for a in f.weights):
        out["weights"] = f"[{', '.join(map(_scalar, f.weights))}]"
    if f.ridge is not None:
        out["ridge"] = _scalar(f.ridge)
    if isinstance(f.features, Features):
        out["features"] = json.dumps(f.features.name)
    elif f.features is not None:
        out["features"] = _scalar(f.features)
    if f.filter is not None:
        out["filter"] = json.dumps(f.filter.text(_formula))
    return out


def _names(samples: tuple[Sample, ...]) -> str:
    return f"[{', '.join(json.dumps(s.name) for s in samples)}]"


def _source(source: Source | OneOf) -> str:
    if isinstance(source, OneOf):
        return f"one_of({', '.join(map(_labeller, source.labellers))})"
    return " + ".join(_labeller(x) if c == 1 else f"({_formula(c)})*{_labeller(x)}" for x, c in source) or "0*truth"


def _labeller(x: Truth | Fit | Labels) -> str:
    return "truth" if isinstance(x, Truth) else x.name


def _scalar(e: Expr) -> str:
    """Return a number as it is, an expression in quotes."""
    return _formula(e) if e.is_Integer or e.is_Float else json.dumps(_formula(e))


class _Printer(StrPrinter):
    """Prints floats so that they are read back to the last bit."""

    def _print_Float(self, e: Float) -> str:
        number = float(e)
        if Float(number, precision=e._prec) != e:
            raise PipelineError(
                f"to_toml needs numbers of float64, got {e} of more digits; round it, or write a fraction"
            )
        return repr(number)


def _formula(e: Expr) -> str:
    for f in e.atoms(Application):
        if type(f).__name__ not in FUNCTIONS:
            raise PipelineError(
                f"to_toml needs parameters that text formulas have, got {type(f).__name__} in {e}; introduce a symbol for it"
            )
    return str(_Printer().doprint(e))
