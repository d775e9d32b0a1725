"""The clean counterpart of a formula: the same fit, on the same rows, labelled by the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, PipelineError
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.regression import excess_risk
from collapse_theory.describe.pipeline import Features, Fit, Pipeline, Sample, Source
from collapse_theory.symbols import n as generations

__all__ = ["clean_counterpart", "labelled_by_truth"]

_SYNTHETIC = "synthetic_"


def clean_counterpart(formula: ErrorFormula, n: Any = None) -> ErrorFormula | None:
    """Return the test error of the tested fit with the truth as the labeller of its samples.

    A theorem that names what synthetic data add is that without these terms; any other linear pipeline is relabelled.

    Args:
        formula: A test error.
        n: Generations, where the pipeline needs them; one number, or an array of equal ones.

    Returns:
        None for the other families, and where no pipeline is known.

    Raises:
        DomainError: If the pipeline needs one ``n`` and there are several.

    >>> import collapse_theory as ct
    >>> clean = clean_counterpart(ct.catalog["ridge-replace"].error)
    >>> clean.expr == ct.catalog["ridge-clean"].error.expr
    True
    """
    clean = {name: e for name, e in formula.parts.items() if not name.startswith(_SYNTHETIC)}
    if len(clean) < len(formula.parts):
        return replace(formula, parts=clean, pipeline=None)
    if formula.pipeline is None or formula.family is not None:
        return None
    structure: dict[str, int] = {}
    model = formula.model
    if isinstance(model, Source) or formula.measured != "test error":
        return None
    if n is not None and model is None:
        counts = {int(value) for value in np.ravel(n)}
        if len(counts) > 1:
            raise DomainError(
                f"the clean counterpart of {formula.name} needs one n, got {len(counts)} of them; ask for each n on its own"
            )
        structure[generations.name] = counts.pop()
    known = _risk(labelled_by_truth(formula.pipeline(**structure).model(model)), formula)
    change = {x: e for x, e in formula.bindings.items() if e != x and x in known.free_symbols}
    known = known.subs(change) if change else known
    conditions = (c.xreplace(dict(formula.numbers)) for c in formula.conditions)
    return replace(known, conditions=tuple(dict.fromkeys((*known.conditions, *conditions))))


def _risk(pipe: Pipeline, formula: ErrorFormula) -> ErrorFormula:
    """Return the error of a single fit, exact where the formula is, else in the proportional limit."""
    if formula.regime == "exact":
        return excess_risk(pipe, test_covariance=formula.test_covariance)
    try:
        return excess_risk(pipe, None, "operator", formula.test_covariance)
    except PipelineError:  # weights, or a design of several samples
        return excess_risk(pipe, None, "free-probability", formula.test_covariance)


def labelled_by_truth(model: Fit) -> Pipeline:
    """Return the pipeline of one fit alone, every sample of it labelled by the truth; samples keep the inputs they share."""
    out = Pipeline()
    copies: dict[Sample, Sample] = {}
    pooled = []
    for s in model.samples:
        inputs = copies.get(s.inputs)
        where: dict[str, Any] = {"T": s.T, "covariance": s.inputs.covariance} if inputs is None else {"design": inputs}
        pooled.append(out.sample(noise=s.noise, **where))
        copies.setdefault(s.inputs, pooled[-1])
    features: Any = model.features
    if isinstance(features, Features):  # no other fit is left to share them
        features = features.m if features.activation is None else out.features(features.m, None, features.activation)
    out.fit(pooled, model.weights, model.ridge, features=features, filter=model.filter)
    return out
