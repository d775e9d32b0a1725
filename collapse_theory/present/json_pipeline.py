"""Pipelines as JSON, and back: other truths, samples, shared features and fits in order, each naming earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from collapse_theory.core.errors import ParseError, PipelineError, nearest, shown
from collapse_theory.describe.activations import Activation
from collapse_theory.describe.pipeline import (
    TRUTH,
    Features,
    Filter,
    Fit,
    GradientDescent,
    GradientFlow,
    Labels,
    OneOf,
    Pipeline,
    Sample,
    Source,
    Truth,
    one_of,
)
from collapse_theory.present.json_expressions import ExpressionReader, ExpressionWriter, fail

__all__ = ["models_of", "pipeline_of", "pipeline_tree", "source_of", "source_tree"]

_TRUTH = "truth"


def pipeline_tree(pipeline: Pipeline, writer: ExpressionWriter) -> list[dict[str, Any]]:
    """Return the truths of other tasks and the nodes of a pipeline in order."""
    truths = [{"truth": x.name} for x in pipeline.truths if x != TRUTH]
    return [*truths, *(_node(x, writer) for x in pipeline.nodes)]


def source_tree(source: Source, writer: ExpressionWriter) -> list[list[Any]]:
    """Return the labellers of a combination with their coefficients."""
    return [[_labeller(y), writer.tree(c)] for y, c in source]


def _node(x: Sample | Fit | Features, writer: ExpressionWriter) -> dict[str, Any]:
    if isinstance(x, Features):
        out = {"features": x.name, "m": writer.tree(x.m)}
        return out if x.activation is None else out | {"activation": _activation(x.activation)}
    return _fit(x, writer) if isinstance(x, Fit) else _sample(x, writer)


def _activation(x: Activation) -> str | list[float]:
    if x.gaussian or callable(x.function):
        raise PipelineError(
            f"JSON needs activations by name or coefficients, got {x}; name it, or keep the pipeline in Python"
        )
    return x.function if isinstance(x.function, str) else list(x.function)


def _fit(x: Fit, writer: ExpressionWriter) -> dict[str, Any]:
    out: dict[str, Any] = {"fit": x.name, "data": [s.name for s in x.samples]}
    if any(a != 1 for a in x.weights):
        out["weights"] = [writer.tree(a) for a in x.weights]
    if x.ridge is not None:
        out["ridge"] = writer.tree(x.ridge)
    if isinstance(x.features, Features):
        out["on"] = x.features.name
    elif x.features is not None:
        out["m"] = writer.tree(x.features)
    for name, kind in _FILTERS.items():
        if x.filter is not None and isinstance(x.filter, kind):
            out[name] = [writer.tree(e) for e in x.filter.parameters]
    return out


def _sample(x: Sample, writer: ExpressionWriter) -> dict[str, Any]:
    out: dict[str, Any] = {"sample": x.name}
    if x.design is None:
        out["T"] = writer.tree(x.T)
    if x.pool:
        return out | {"pool": [s.name for s in x.pool]}
    if isinstance(x.source, OneOf):
        out["one_of"] = [_labeller(y) for y in x.source.labellers]
    else:
        out["source"] = source_tree(x.source, writer)
    if x.noise is not None:
        out["noise"] = writer.tree(x.noise)
    if x.design is not None:
        return out | {"design": x.design.name}
    return out if x.covariance is None else out | {"covariance": x.covariance}


def _labeller(x: Truth | Fit | Labels) -> str:
    return _TRUTH if x == TRUTH else x.name


_FILTERS = {"flow": GradientFlow, "descent": GradientDescent}
"""The spectral filters of a fit, by the key of their parameters."""
_KINDS = ("sample", "fit", "features", "truth")


def source_of(pairs: Any, place: str, labellers: Mapping[str, Any], reader: ExpressionReader) -> Source:
    """Return the combination of a list of pairs.

    Raises:
        ParseError: If it is not of this form.
    """
    if not isinstance(pairs, list):
        fail(place, "this needs to be a list", pairs)
    terms = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            fail(place, "a source needs pairs of a labeller and a coefficient", pair)
        terms.append((_found(labellers, pair[0], place), reader.scalar(pair[1], place)))
    return Source(tuple(terms))


def models_of(pipeline: Pipeline) -> dict[str, Truth | Fit]:
    """Return the models of a pipeline by the names that text has for them."""
    truths = {_TRUTH if x == TRUTH else x.name: x for x in pipeline.truths}
    return {**truths, **{x.name: x for x in pipeline.fits}}


def _found(known: Mapping[str, Any], name: Any, place: str) -> Any:
    if not isinstance(name, str) or name not in known:
        near = nearest(name, known) if isinstance(name, str) else ""
        raise ParseError(f"formula in JSON, {place}: this needs a node before it, got {shown(name)}{near}")
    return known[name]


def pipeline_of(nodes: Any, reader: ExpressionReader) -> Pipeline:
    """Return the pipeline of a list of nodes.

    Raises:
        ParseError: If a node is not of this form, or names one that is not before it.
    """
    if not isinstance(nodes, list):
        fail("pipeline.nodes", "this needs to be a list of samples and fits", nodes)
    out = Pipeline()
    for i, node in enumerate(nodes):
        place = f"pipeline.nodes[{i}]"
        if not isinstance(node, dict) or sum(kind in node for kind in _KINDS) != 1:
            fail(place, f"a node needs to have a name under one of {', '.join(_KINDS)}", node)
        try:
            _Node(node, place, out, reader).append()
        except PipelineError as e:
            raise ParseError(f"formula in JSON, {place}: {e}") from e
    return out


class _Node:
    """One node that is read."""

    def __init__(self, node: dict[str, Any], place: str, pipeline: Pipeline, reader: ExpressionReader) -> None:
        self.node, self.place, self.pipeline, self.reader = node, place, pipeline, reader
        self.samples = {x.name: x for x in pipeline.samples}
        self.labellers: dict[str, Truth | Fit] = models_of(pipeline)

    def append(self) -> None:
        """Append it to the pipeline."""
        if "truth" in self.node:
            self._known("truth")
            self.pipeline.truth(self.node["truth"])
        elif "features" in self.node:
            self._known("features", "m", "activation")
            size, activation = self._scalar(self.node.get("m"), "m"), self.node.get("activation")
            self.pipeline.features(size, self.node["features"], activation)
        elif "fit" in self.node:
            self._known("fit", "data", "weights", "ridge", "on", "m", *_FILTERS)
            weights = (
                None if "weights" not in self.node else [self._scalar(a, "weights") for a in self._list("weights")]
            )
            features = self._optional("m")
            if "on" in self.node:
                drawn = {x.name: x for x in self.pipeline.nodes if isinstance(x, Features)}
                features = self._one(drawn, self.node["on"], "on")
            self.pipeline.fit(
                self._samples("data"), weights, self._optional("ridge"), self.node["fit"], features, self._filter()
            )
        elif "pool" in self.node:
            self._known("sample", "T", "pool")
            self.pipeline.subsample(self._samples("pool"), self._scalar(self.node.get("T"), "T"), self.node["sample"])
        else:
            self._known("sample", "T", "noise", "source", "one_of", "design", "covariance")
            design = self._one(self.samples, self.node["design"], "design") if "design" in self.node else None
            given = {key: self._optional(key) for key in ("T", "noise")}
            given |= {"covariance": self.node.get("covariance"), "name": self.node["sample"]}
            self.pipeline.sample(source=self._source(), design=design, **given)

    def _known(self, *keys: str) -> None:
        for key in self.node.keys() - set(keys):
            raise ParseError(f"formula in JSON, {self.place}: no key {shown(key)} belongs here{nearest(key, keys)}")

    def _source(self) -> Source | OneOf:
        if "one_of" in self.node:
            return one_of(*(self._one(self.labellers, x, "one_of") for x in self._list("one_of")))
        labels = {x.labels.name: x.labels for x in self.pipeline.samples}
        return source_of(self.node.get("source"), f"{self.place}.source", {**self.labellers, **labels}, self.reader)

    def _filter(self) -> Filter | None:
        for name, kind in _FILTERS.items():
            if name in self.node:
                given = [self._scalar(e, name) for e in self._list(name)]
                size = len(fields(kind))
                if len(given) != size:
                    fail(f"{self.place}.{name}", f"this needs {size} numbers", self.node[name])
                return kind(*given)
        return None

    def _samples(self, key: str) -> list[Sample]:
        return [self._one(self.samples, name, key) for name in self._list(key)]

    def _one(self, known: dict[str, Any], name: Any, key: str) -> Any:
        return _found(known, name, f"{self.place}.{key}")

    def _list(self, key: str) -> list[Any]:
        value = self.node.get(key)
        return value if isinstance(value, list) else fail(f"{self.place}.{key}", "this needs to be a list", value)

    def _optional(self, key: str) -> Any:
        return self._scalar(self.node[key], key) if key in self.node else None

    def _scalar(self, tree: Any, key: str) -> Any:
        return self.reader.scalar(tree, f"{self.place}.{key}")
