"""Pipelines as JSON, and back: samples and fits in order, each naming earlier ones."""

from __future__ import annotations

from typing import Any

from collapse_theory.core.errors import ParseError, PipelineError, nearest, shown
from collapse_theory.describe.pipeline import TRUTH, Fit, OneOf, Pipeline, Sample, Source, Truth, one_of
from collapse_theory.present.json_expressions import ExpressionReader, ExpressionWriter, fail

__all__ = ["pipeline_of", "pipeline_tree"]

_TRUTH = "truth"


def pipeline_tree(pipeline: Pipeline, writer: ExpressionWriter) -> list[dict[str, Any]]:
    """Return the nodes of a pipeline in order."""
    return [_fit(x, writer) if isinstance(x, Fit) else _sample(x, writer) for x in pipeline.nodes]


def _fit(x: Fit, writer: ExpressionWriter) -> dict[str, Any]:
    out: dict[str, Any] = {"fit": x.name, "data": [s.name for s in x.samples]}
    if any(a != 1 for a in x.weights):
        out["weights"] = [writer.tree(a) for a in x.weights]
    return out if x.ridge is None else out | {"ridge": writer.tree(x.ridge)}


def _sample(x: Sample, writer: ExpressionWriter) -> dict[str, Any]:
    out: dict[str, Any] = {"sample": x.name}
    if x.design is None:
        out["T"] = writer.tree(x.T)
    if x.pool:
        return out | {"pool": [s.name for s in x.pool]}
    if isinstance(x.source, OneOf):
        out["one_of"] = [_labeller(y) for y in x.source.labellers]
    else:
        out["source"] = [[_labeller(y), writer.tree(c)] for y, c in x.source]
    if x.noise is not None:
        out["noise"] = writer.tree(x.noise)
    if x.design is not None:
        return out | {"design": x.design.name}
    return out if x.covariance is None else out | {"covariance": x.covariance}


def _labeller(x: Truth | Fit) -> str:
    return _TRUTH if isinstance(x, Truth) else x.name


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
        if not isinstance(node, dict) or not ("sample" in node) ^ ("fit" in node):
            fail(place, 'a node needs to have a name under "sample" or under "fit"', node)
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
        self.labellers: dict[str, Truth | Fit] = {_TRUTH: TRUTH, **{x.name: x for x in pipeline.fits}}

    def append(self) -> None:
        """Append it to the pipeline."""
        if "fit" in self.node:
            self._known("fit", "data", "weights", "ridge")
            weights = (
                None if "weights" not in self.node else [self._scalar(a, "weights") for a in self._list("weights")]
            )
            self.pipeline.fit(self._samples("data"), weights, self._optional("ridge"), self.node["fit"])
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
        terms = []
        for pair in self._list("source"):
            if not isinstance(pair, list) or len(pair) != 2:
                fail(f"{self.place}.source", "a source needs pairs of a labeller and a coefficient", pair)
            terms.append((self._one(self.labellers, pair[0], "source"), self._scalar(pair[1], "source")))
        return Source(tuple(terms))

    def _samples(self, key: str) -> list[Sample]:
        return [self._one(self.samples, name, key) for name in self._list(key)]

    def _one(self, known: dict[str, Any], name: Any, key: str) -> Any:
        if not isinstance(name, str) or name not in known:
            near = nearest(name, known) if isinstance(name, str) else ""
            raise ParseError(
                f"formula in JSON, {self.place}.{key}: this needs a node before it, got {shown(name)}{near}"
            )
        return known[name]

    def _list(self, key: str) -> list[Any]:
        value = self.node.get(key)
        return value if isinstance(value, list) else fail(f"{self.place}.{key}", "this needs to be a list", value)

    def _optional(self, key: str) -> Any:
        return self._scalar(self.node[key], key) if key in self.node else None

    def _scalar(self, tree: Any, key: str) -> Any:
        return self.reader.scalar(tree, f"{self.place}.{key}")
