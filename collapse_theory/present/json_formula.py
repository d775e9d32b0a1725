"""A formula as JSON, and back: everything it says, in a file that other programs can read.

Terms, conditions and numbers are expressions of :mod:`.json_expressions`; the pipeline is that of :mod:`.json_pipeline`, or the
theorem's. What is read back is the formula that was written: the same expressions, hence the same values, derivatives and LaTeX.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np

from collapse_theory.core.errors import CollapseTheoryError, DomainError, ParseError, PipelineError, nearest, shown
from collapse_theory.derive.family import Described
from collapse_theory.derive.formula import ErrorFormula, Regime
from collapse_theory.derive.pooled import Measured
from collapse_theory.describe.pipeline import Source
from collapse_theory.families.categorical import Categorical
from collapse_theory.families.gaussian import Gaussian
from collapse_theory.families.linear import Linear
from collapse_theory.families.regular import Regular
from collapse_theory.present.json_expressions import ExpressionReader, ExpressionWriter, fail
from collapse_theory.present.json_pipeline import models_of, pipeline_of, pipeline_tree, source_of, source_tree
from collapse_theory.symbols import ordered
from collapse_theory.theorems.catalog import catalog

__all__ = ["formula_json", "from_json"]

_FORMAT = "collapse-theory formula 1"
_LONGEST = 1 << 26  # characters
_KEYS = (
    "format", "name", "regime", "method", "references", "symbols", "terms", "numbers", "conditions", "bindings", "dropped",
    "derivative", "isotropic", "measured", "test_covariance", "family", "pipeline",
)  # fmt: skip


# ---------------------------------------------------------------------- write
def formula_json(formula: ErrorFormula) -> str:
    """Return a formula as JSON text, one line for each of its parts.

    Raises:
        DomainError: If a part has no place in the text: a model or a family of a user's own.
    """
    writer = ExpressionWriter(formula.name)
    described = _pipeline(formula, writer)
    body = {
        "format": _FORMAT,
        "name": formula.name,
        "regime": formula.regime,
        "method": formula.method,
        "references": list(formula.references),
        "terms": {name: writer.tree(e) for name, e in formula.parts.items()},
        "numbers": {writer.key(x): writer.tree(e) for x, e in formula.numbers.items()},
        "conditions": [_condition(formula, c, writer) for c in formula.conditions],
        "bindings": {writer.key(x): writer.tree(formula.bindings[x]) for x in ordered(formula.bindings)},
        "dropped": [writer.key(x) for x in formula.dropped],
        "derivative": [writer.key(x) for x in formula.derivative],
        "isotropic": formula.isotropic,
        "measured": formula.measured,
        "test_covariance": formula.test_covariance,
        "family": _family(formula),
        "pipeline": described,
        "symbols": writer.table,
    }
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {_lines(body[key])}" for key in _KEYS) + "\n}\n"


def _lines(value: Any) -> str:
    """Return a table with a line for each of its entries; other values on one line."""
    if not isinstance(value, dict) or len(value) < 2:
        return json.dumps(value)
    return "{\n" + ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n  }"


def _condition(formula: ErrorFormula, condition: Any, writer: ExpressionWriter) -> dict[str, Any]:
    out = {"holds": writer.tree(condition)}
    return out | {"remedy": formula.remedies[condition]} if condition in formula.remedies else out


def _of_theorem(formula: ErrorFormula) -> bool:
    return formula.name in catalog and formula.model is None


def _pipeline(formula: ErrorFormula, writer: ExpressionWriter) -> dict[str, Any] | None:
    if formula.pipeline is None:
        return None
    if _of_theorem(formula):
        return {"theorem": formula.name} if formula.pipeline == catalog[formula.name].pipeline else None
    if not isinstance(formula.pipeline, Described):
        raise DomainError(f"to_json needs a formula of test_error or of a theorem, got {formula!r}; use pickle")
    model = (
        source_tree(formula.model, writer)
        if isinstance(formula.model, Source)
        else formula.model and formula.model.name
    )
    return {"model": model, "nodes": pipeline_tree(formula.pipeline(), writer)}


def _family(formula: ErrorFormula) -> dict[str, Any] | None:
    family = formula.family
    if family is None:
        return None
    if _of_theorem(formula):
        return {"theorem": formula.name}
    if isinstance(family, Linear):
        return {"name": "Linear"}
    if isinstance(family, Gaussian):
        return {"name": "Gaussian", "d": int(family.d)}
    if isinstance(family, Categorical):
        return {
            "name": "Categorical",
            "p": np.asarray(family.p, dtype=float).tolist(),
            "relative": bool(family.relative),
        }
    if isinstance(family, Regular) and family.model is None:
        return {"name": "Regular"}
    raise DomainError(
        f"to_json needs a family that text describes, got {shown(family)}; use pickle, or derive it with ct.Regular() "
        "without a model"
    )


# ---------------------------------------------------------------------- read
def from_json(text: str) -> ErrorFormula:
    """Return the formula that :meth:`.ErrorFormula.to_json` has written.

    The text is read by a closed grammar; nothing in it is evaluated.

    Args:
        text: The JSON text.

    Raises:
        ParseError: If it is not JSON, or not such a formula; the message names the place.

    >>> import collapse_theory as ct
    >>> err = ct.catalog["ridge-replace"].error
    >>> from_json(err.to_json()) == err
    True
    """
    body = _loaded(text)
    for key in (*_KEYS, *body):
        if key not in body or key not in _KEYS:
            wrong = (
                f"no key is called {shown(key)}{nearest(key, _KEYS)}" if key in body else f"the key {key!r} is missing"
            )
            raise ParseError(f"formula in JSON: {wrong}")
    if body["format"] != _FORMAT:
        fail("format", f"this needs to be {_FORMAT!r}", body["format"])
    reader = ExpressionReader(_table(body, "symbols"))
    name, regime = _text(body, "name"), _text(body, "regime")
    if regime not in get_args(Regime):
        raise ParseError(
            f"formula in JSON, regime: no regime is called {shown(regime)}{nearest(regime, get_args(Regime))}"
        )
    measured = _text(body, "measured")
    if measured not in get_args(Measured):
        raise ParseError(
            f"formula in JSON, measured: nothing is called {shown(measured)}{nearest(measured, get_args(Measured))}"
        )
    conditions, remedies = _conditions(body, reader)
    pipeline, model = _described(body, name, reader)
    given: dict[str, Any] = {
        "parts": {k: reader.scalar(e, f"terms.{k}") for k, e in _table(body, "terms").items()},
        "regime": regime,
        "conditions": tuple(conditions),
        "references": tuple(_texts(body, "references")),
        "method": _text(body, "method"),
        "numbers": _by_symbol(body, "numbers", reader),
        "pipeline": pipeline,
        "model": model,
        "name": name,
        "family": _family_of(body["family"], name),
        "test_covariance": None if body["test_covariance"] is None else _text(body, "test_covariance"),
        "bindings": _by_symbol(body, "bindings", reader),
        "dropped": tuple(reader.symbol(x, "dropped") for x in _texts(body, "dropped")),
        "remedies": remedies,
        "isotropic": _bool(body, "isotropic"),
        "measured": measured,
        "derivative": tuple(reader.symbol(x, "derivative") for x in _texts(body, "derivative")),
    }
    try:
        formula = ErrorFormula(**given)
    except DomainError as e:
        raise ParseError(f"formula in JSON: {e}") from e
    _check_structure(formula)
    return formula


def _check_structure(formula: ErrorFormula) -> None:
    """Compile the formula, which walks through all structured arguments: what is malformed shows here and not in use.

    Raises:
        ParseError: If an opaque scalar has arguments that it cannot have.
    """
    try:
        _ = formula.program
    except CollapseTheoryError:
        return  # a formula that has no values may still be read and printed
    except (TypeError, ValueError, AttributeError, LookupError) as e:
        raise ParseError(
            f"formula in JSON, terms: a scalar has arguments that it cannot have ({e}); write it with to_json()"
        ) from e


def _loaded(text: Any) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ParseError(
            f"from_json needs text of at most {_LONGEST} characters, got {shown(text)}; read the file first"
        )
    try:
        body = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except json.JSONDecodeError as e:
        raise ParseError(f"formula in JSON, line {e.lineno}, column {e.colno}: {e.msg}; the text is no JSON") from e
    except RecursionError as e:
        raise ParseError("formula in JSON: lists are nested too deeply; write it with to_json()") from e
    except ValueError as e:  # Python's limit on the digits of a whole number
        raise ParseError(f"formula in JSON: {e}") from e
    return body if isinstance(body, dict) else fail("the whole text", "this needs to be a table", body)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ParseError(f"formula in JSON: the key {shown(key)} occurs twice in one table; leave one")
        out[key] = value
    return out


def _no_number(name: str) -> Any:
    raise ParseError(f'formula in JSON: {name} is no number; infinity is ["oo"]')


def _table(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = body[key]
    return value if isinstance(value, dict) else fail(key, "this needs to be a table", value)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body[key]
    return value if isinstance(value, str) else fail(key, "this needs to be text", value)


def _texts(body: Mapping[str, Any], key: str) -> list[str]:
    value = body[key]
    good = isinstance(value, list) and all(isinstance(x, str) for x in value)
    return value if good else fail(key, "this needs to be a list of texts", value)


def _bool(body: Mapping[str, Any], key: str) -> bool:
    value = body[key]
    return value if isinstance(value, bool) else fail(key, "this needs to be true or false", value)


def _by_symbol(body: Mapping[str, Any], key: str, reader: ExpressionReader) -> dict[Any, Any]:
    return {reader.symbol(x, key): reader.scalar(e, f"{key}.{x}") for x, e in _table(body, key).items()}


def _conditions(body: Mapping[str, Any], reader: ExpressionReader) -> tuple[list[Any], dict[Any, str]]:
    listed = body["conditions"]
    if not isinstance(listed, list):
        fail("conditions", "this needs to be a list", listed)
    conditions, remedies = [], {}
    for i, entry in enumerate(listed):
        place = f"conditions[{i}]"
        if not isinstance(entry, dict) or not {"holds"} <= entry.keys() <= {"holds", "remedy"}:
            fail(place, 'a condition needs a table with "holds", and perhaps "remedy"', entry)
        condition = reader.condition(entry["holds"], f"{place}.holds")
        conditions.append(condition)
        if "remedy" in entry:
            remedies[condition] = _text(entry, "remedy")
    return conditions, remedies


def _described(body: Mapping[str, Any], name: str, reader: ExpressionReader) -> tuple[Callable[..., Any] | None, Any]:
    given = body["pipeline"]
    if given is None:
        return None, None
    if given == {"theorem": name} and name in catalog:
        return catalog[name].pipeline, None
    if not isinstance(given, dict) or given.keys() != {"model", "nodes"}:
        fail("pipeline", "this needs to be null, the formula's own theorem, or a table of a model and nodes", given)
    pipe = pipeline_of(given["nodes"], reader)
    model = given["model"]
    if isinstance(model, list):
        try:
            return Described(pipe), pipe.tested(source_of(model, "pipeline.model", models_of(pipe), reader))
        except PipelineError as e:
            raise ParseError(f"formula in JSON, pipeline.model: {e}") from e
    fits = {x.name: x for x in pipe.fits}
    if model not in [None, *fits]:
        fail("pipeline.model", "this needs to be the name of a fit, or a combination", model)
    return Described(pipe), None if model is None else fits[model]


_FAMILIES: Mapping[str, tuple[Callable[..., Any], frozenset[str]]] = {
    "Linear": (Linear, frozenset()),
    "Gaussian": (Gaussian, frozenset({"d"})),
    "Categorical": (Categorical, frozenset({"p", "relative"})),
    "Regular": (Regular, frozenset()),
}


def _family_of(given: Any, name: str) -> Any:
    if given is None:
        return None
    if given == {"theorem": name} and name in catalog:
        return catalog[name].error.family
    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or given["name"] not in _FAMILIES:
        fail("family", f"this needs to be null, the formula's own theorem, or one of {', '.join(_FAMILIES)}", given)
    make, keys = _FAMILIES[given["name"]]
    if given.keys() != keys | {"name"}:
        fail("family", f"{given['name']} needs the keys {sorted(keys)}", given)
    try:
        return make(**{k: given[k] for k in keys})
    except CollapseTheoryError as e:
        raise ParseError(f"formula in JSON, family: {e}") from e
