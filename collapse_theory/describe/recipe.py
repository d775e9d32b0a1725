"""Recipes: what a file says about a pipeline, so that one file can describe several of them.

A recipe keeps its arguments as a flat mapping from dotted paths (``generations``, ``generator.ridge``, ``m1.data``) to
the values as written. Overriding is then a dictionary merge, whoever overrides: a curve of a report, a sweep, the
command line. Text is parsed when the pipeline is built.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from sympy import Expr, S

from collapse_theory.core.errors import CollapseTheoryError, ParseError, PipelineError, nearest, shown
from collapse_theory.core.numbers import real
from collapse_theory.describe import workflows
from collapse_theory.describe.grammar import formula, source
from collapse_theory.describe.pipeline import Fit, Labels, OneOf, Pipeline, Sample, Source, Stage, Truth
from collapse_theory.describe.strings import filter_of

__all__ = ["FEATURE_KEYS", "FIT_KEYS", "SAMPLE_KEYS", "Curve", "GraphRecipe", "Recipe", "WorkflowRecipe", "located"]


@contextmanager
def located(place: str) -> Iterator[None]:
    """Prefix errors with the place in the file that caused them."""
    try:
        yield
    except CollapseTheoryError as e:
        raise type(e)(f"{place}: {e}") from e


@dataclass(frozen=True)
class Curve:
    """One of several theories that a file compares.

    Attributes:
        name: What the legend calls it.
        arguments: Overrides of the recipe's arguments, by dotted path.
        values: Values of symbols that hold for this curve only.
        family: Text of the family of this curve only, None for that of the file.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, int | float] = field(default_factory=dict)
    family: str | None = None


@dataclass(frozen=True)
class Recipe:
    """A pipeline as its file describes it.

    Attributes:
        file: Name of the file, for messages.
        arguments: The values as written, by dotted path.
        names: The symbols its formulas may use besides the notation table.
    """

    file: str
    arguments: Mapping[str, Any]
    names: Mapping[str, Expr]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that an argument may have, given in the file or not."""
        raise NotImplementedError

    def build(self, curve: Curve | None = None, **point: Any) -> Pipeline:
        """Return the pipeline with the overrides of ``curve`` and, on top, those of ``point``.

        Args:
            curve: A curve of the file.
            point: Arguments by dotted path, e.g. ``**{"generator.ridge": 0}``.

        Raises:
            ParseError: If a path or a text is not understood.
            PipelineError: If an argument is missing or out of range.
        """
        changes = {**(curve.arguments if curve else {}), **point}
        for path in changes:
            if path not in self.paths:
                raise ParseError(
                    f"{self.file}: pipeline needs a known argument, got {shown(path)}{nearest(path, self.paths)}"
                )
        return self._assemble({**self.arguments, **changes})

    def _assemble(self, arguments: Mapping[str, Any]) -> Pipeline:
        raise NotImplementedError

    def _scalar(self, value: Any, path: str) -> Expr:
        expr = formula(value, self.names) if isinstance(value, str) else value
        return real(expr, path, error=PipelineError)


@dataclass(frozen=True)
class WorkflowRecipe(Recipe):
    """The arguments of one of :mod:`collapse_theory.describe.workflows`; what they are is read off the function's signature.

    Attributes:
        workflow: Name of the function.

    >>> recipe = WorkflowRecipe("f.toml", {"generations": 2, "stage.T": 30, "stage.ridge": "lam"}, {}, "accumulate")
    >>> recipe.build(**{"stage.T": 50}).fits[-1].N
    100
    """

    workflow: str

    @property
    def parameters(self) -> Mapping[str, tuple[Any, bool]]:
        """Parameter -> (type, required)."""
        function = getattr(workflows, self.workflow)
        hints = typing.get_type_hints(function)
        signature = inspect.signature(function)
        return {name: (hints[name], p.default is p.empty) for name, p in signature.parameters.items()}

    @property
    def paths(self) -> tuple[str, ...]:
        """The parameters; those of a stage by their fields."""
        found: list[str] = []
        for name, (hint, _) in self.parameters.items():
            found += [f"{name}.{key}" for key in ("T", "noise", "ridge")] if _is_stage(hint) else [name]
        return tuple(found)

    def _assemble(self, arguments: Mapping[str, Any]) -> Pipeline:
        tables = _tables(arguments)
        call: dict[str, Any] = {}
        for name, (hint, required) in self.parameters.items():
            if name not in tables:
                if required:
                    missing = f"the table [{name}]" if _is_stage(hint) else name
                    raise PipelineError(
                        f"{self.file}: workflow {shown(self.workflow)} needs {missing}, got {_listed(tables)}; add it"
                    )
                continue
            given = tables[name]
            if _is_stage(hint):
                with located(f"{self.file}, table [{name}]"):
                    if "T" not in given:
                        raise PipelineError("a stage needs T, the number of rows; add T = ...")
                    call[name] = Stage(**{key: self._scalar(v, f"{name}.{key}") for key, v in given.items()})
            elif typing.get_origin(hint) is Literal:
                call[name] = given
            else:
                with located(f"{self.file}, {name}"):
                    call[name] = self._scalar(given, name)
        with located(self.file):
            return typing.cast("Pipeline", getattr(workflows, self.workflow)(**call))


SAMPLE_KEYS = ("T", "noise", "source", "design", "covariance", "pool")
FIT_KEYS = ("data", "weights", "ridge", "features", "filter")
FEATURE_KEYS = ("m", "activation")


@dataclass(frozen=True)
class GraphRecipe(Recipe):
    """Named samples and fits: each kind keeps its order in the file, and who needs whom says how the two interleave.

    Attributes:
        samples: Names of the samples, in the order of the file.
        fits: Names of the fits, in the order of the file.
        features: Names of the features that fits share.
        truths: Names of the truths other than the tested one.

    >>> recipe = GraphRecipe("f.toml", {"a.T": 30, "m.data": ["a"], "b.T": 9, "b.source": "m"}, {}, ("a", "b"), ("m",))
    >>> recipe.build().samples[1].source
    m
    """

    samples: tuple[str, ...]
    fits: tuple[str, ...]
    features: tuple[str, ...] = ()
    truths: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The keys of every sample, fit and shared features."""
        return tuple(
            f"{name}.{key}"
            for names, keys in ((self.samples, SAMPLE_KEYS), (self.fits, FIT_KEYS), (self.features, FEATURE_KEYS))
            for name in names
            for key in keys
        )

    def _assemble(self, arguments: Mapping[str, Any]) -> Pipeline:
        tables = _tables(arguments)
        pipe = Pipeline()
        built: dict[str, Any] = {}
        for name in self.truths:
            with located(f"{self.file}, target {name!r}"):
                built[name] = pipe.truth(name)
        for name in self.features:
            with located(f"{self.file}, features {name!r}"):
                if "m" not in tables.get(name, {}):
                    raise PipelineError("features need m, their number; add m = ...")
                size, activation = self._scalar(tables[name]["m"], "m"), tables[name].get("activation")
                built[name] = pipe.features(size, name, activation)
        waiting = {"fit": list(self.fits), "sample": list(self.samples)}
        stuck: dict[str, PipelineError] = {}
        while any(waiting.values()):
            for kind, names in waiting.items():
                if not names:
                    continue
                try:
                    add = self._prepare(kind, names[0], tables.get(names[0], {}), built)
                except _NotYetError as e:
                    stuck[kind] = e
                    continue
                with located(f"{self.file}, {kind} {names[0]!r}"):
                    built[names[0]] = add(pipe)
                names.pop(0)
                break
            else:
                raise stuck["sample" if waiting["sample"] else "fit"]
        return pipe

    def _prepare(
        self, kind: str, name: str, table: Mapping[str, Any], built: Mapping[str, Any]
    ) -> Callable[[Pipeline], Any]:
        """Resolve what the node refers to and return the call that appends it."""
        with located(f"{self.file}, {kind} {name!r}"):
            how: dict[str, Any] = {"name": name}
            for key in ("T", "noise", "ridge"):
                if table.get(key) is not None:
                    how[key] = self._scalar(table[key], key)
            if kind == "fit":
                return self._prepared_fit(table, how, built)
            if "pool" in table:
                extra = sorted(set(table) - {"T", "pool"})
                if extra or "T" not in table:
                    raise PipelineError(f"a sample with pool needs T and nothing else, got {', '.join(sorted(table))}")
                pool = self._samples(table["pool"], "pool", built)
                return lambda pipe: pipe.subsample(pool, **how)
            if "source" in table:
                how["source"] = self._source(table["source"], built)
            if "design" in table:
                how["design"] = self._samples([table["design"]], "design", built)[0]
            if "covariance" in table:
                how["covariance"] = table["covariance"]
            return lambda pipe: pipe.sample(**how)

    def _prepared_fit(
        self, table: Mapping[str, Any], how: dict[str, Any], built: Mapping[str, Any]
    ) -> Callable[[Pipeline], Any]:
        """Return the call that appends a fit."""
        if "data" not in table:
            raise PipelineError("a fit needs data, the list of samples it pools; add data = [...]")
        data = self._samples(table["data"], "data", built)
        if (seen := table.get("features")) is not None:
            how["features"] = built[seen] if seen in self.features else self._scalar(seen, "features")
        if table.get("weights") is not None:
            how["weights"] = [self._scalar(a, "weights") for a in _listing(table["weights"], "weights")]
        if table.get("filter") is not None:
            how["filter"] = filter_of(table["filter"], self.names)
        return lambda pipe: pipe.fit(data, **how)

    def _source(self, text: Any, built: Mapping[str, Any]) -> Any:
        # Placeholders for the fits tell which are meant, and separate an unknown name from one that comes too early.
        drafts: dict[str, Any] = {name: Fit("draft", i, name, (), (), None) for i, name in enumerate(self.fits)}
        drafts |= {name: built[name] for name in self.truths}
        for i, name in enumerate(self.samples):
            drafts[f"{name}.labels"] = Sample("draft", i, name, S.One, None, Source(())).labels
        draft = source(text, drafts, self.names)
        meant = draft.labellers if isinstance(draft, OneOf) else [labeller for labeller, _ in draft]
        self._check([x.name for x in meant if isinstance(x, Fit)], self.fits, "source", built)
        self._check([x.sample.name for x in meant if isinstance(x, Labels)], self.samples, "source", built)
        models = {name: node for name, node in built.items() if isinstance(node, Fit | Truth)}
        labels = {f"{name}.labels": node.labels for name, node in built.items() if isinstance(node, Sample)}
        return source(text, {**models, **labels}, self.names)

    def _samples(self, given: Any, key: str, built: Mapping[str, Any]) -> list[Sample]:
        names = _listing(given, key)
        self._check(names, self.samples, key, built)
        return [built[name] for name in names]

    def _check(self, names: Iterable[Any], valid: Iterable[str], key: str, built: Mapping[str, Any]) -> None:
        for name in names:
            if name not in valid:
                kind = "fits" if key == "source" else "samples"
                raise PipelineError(f"{key} needs {kind} of the file, got {shown(name)}{nearest(str(name), valid)}")
        for name in names:
            if name not in built:
                raise _NotYetError(
                    f"{key} needs nodes that can come first, got {shown(name)}, which is later in the file or "
                    "depends on this one; "
                    "list it earlier, or break the cycle"
                )


class _NotYetError(PipelineError):
    """A node refers to one that is not built so far: wait, and report it if nothing else can be built."""


def _tables(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the first part of their path as key; dotted ones as tables."""
    out: dict[str, Any] = {}
    for path, value in arguments.items():
        head, dot, key = path.partition(".")
        if dot:
            out.setdefault(head, {})[key] = value
        else:
            out[head] = value
    return out


def _is_stage(hint: Any) -> bool:
    return hint is Stage or Stage in typing.get_args(hint)


def _listing(value: Any, key: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise PipelineError(f"{key} needs a list, got {shown(value)}; write {key} = [{shown(value)}]")
    return list(value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
