"""Pipeline files: TOML with the vocabulary of the Python calls.

A file names either samples and fits (``[[sample]]``, ``[[fit]]``) or a ``workflow`` with the arguments of the call, and
what a report needs around it: inputs, seed, trials, ``[values]`` of symbols, a ``[sweep]`` over symbols or arguments,
and ``[[curve]]`` tables that override arguments or values. Numbers may be formulas in quotes anywhere.
What is fitted is linear regression on a spectrum and target, or on ``data`` (its first ``rows``, or a ``kernel`` among
them), or another ``family`` of which something is ``measured``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, ParseError, PipelineError, nearest, shown
from collapse_theory.core.numbers import MOST_TRIALS, integer, worker_count
from collapse_theory.core.reading import as_path, parse_toml, read_toml
from collapse_theory.describe import strings, workflows
from collapse_theory.describe.data import DATASETS, Dataset, dataset
from collapse_theory.describe.pipeline import TRUTH, Pipeline
from collapse_theory.describe.recipe import (
    FEATURE_KEYS,
    FIT_KEYS,
    SAMPLE_KEYS,
    Curve,
    GraphRecipe,
    Recipe,
    WorkflowRecipe,
    located,
)
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target
from collapse_theory.describe.truths import given_target

__all__ = ["SETTINGS", "Settings", "load", "read_description"]

SETTINGS = (
    "title",
    "spectrum",
    "target",
    "overlaps",
    "data",
    "rows",
    "kernel",
    "family",
    "measured",
    "method",
    "inputs",
    "seed",
    "trials",
    "jobs",
    "sweep",
    "values",
    "curve",
)
_INPUTS = ("gaussian", "real")
_ROWS = ("rows",)  # of other families, whose models draw whole rows
_WHOLE = 2**63  # integers of a file go into arrays


@dataclass(frozen=True, eq=False)
class Settings:
    """Everything in a pipeline file besides the pipeline.

    Attributes:
        title: Heading of a report; the file's stem if not given.
        recipe: Builds the pipeline, also with overrides.
        spectrum: Covariance eigenvalues, from ``spectrum`` or ``data``; None if the file has neither.
        target: Target energies, from ``target`` or ``data``; None if the file has neither.
        data: The data set that ``data`` names, or None.
        method: How the test error is derived, as in ``ct.test_error``.
        family: Text of a family other than linear regression, read by :func:`.family_of`; None is linear regression.
        measured: What is predicted and simulated; of a family one of its ``measures``.
        folder: Of the file; paths in it start there.
        inputs: Which simulations to run: "gaussian", "real" (rows of the data set), both or none; of a family "rows".
        seed: Seed of the simulations.
        trials: Trials of each simulation.
        jobs: Worker processes.
        values: Values of symbols, by name.
        sweep: What to vary, in the order of the file: name of a symbol or path of an argument -> values.
        curves: The theories to compare, at least one.
    """

    title: str
    recipe: Recipe
    spectrum: Spectrum | None
    target: Target | None
    data: Dataset | None
    method: str
    family: str | None
    measured: str
    folder: Path
    inputs: tuple[str, ...]
    seed: int
    trials: int
    jobs: int
    values: Mapping[str, int | float]
    sweep: Mapping[str, np.ndarray]
    curves: tuple[Curve, ...]

    def values_of(self, curve: Curve) -> dict[str, int | float]:
        """Return the symbol values that hold on ``curve``."""
        return {**self.values, **curve.values}


def load(path: Path | str) -> tuple[Pipeline, Settings]:
    """Read a pipeline file.

    Args:
        path: A TOML file.

    Returns:
        The pipeline and the settings. The pipeline is that of the first curve; an argument that only the sweep gives
        takes its last value.

    Raises:
        ParseError: If the file cannot be read, or has a key, name or text that is not understood.
        PipelineError: If the pipeline is malformed.
        DomainError: If a value is out of range.
    """
    file = as_path(path, "pipeline file")
    return _Reader(file, read_toml(file)).read()


def read_description(text: str, name: str = "description") -> tuple[Pipeline, Settings]:
    r"""Read the text of a pipeline file that names no other file: what arrives over a network opens none.

    Args:
        text: TOML, as in :func:`load`.
        name: What messages and the title call it.

    Raises:
        ParseError: As in :func:`load`, and if a spectrum, target, overlap or family is that of a file.
        PipelineError: If the pipeline is malformed.
        DomainError: If a value is out of range.

    >>> read_description('workflow = "accumulate"\ngenerations = 3\nstage.T = 30')[0]
    Pipeline(3 samples, 3 fits)
    """
    document = parse_toml(text, name)
    said: dict[str, Any] = {
        key: document[key] for key in ("spectrum", "target", "overlaps", "family") if key in document
    }
    curves = document["curve"] if isinstance(document.get("curve"), list) else []
    said |= {f"curve {i}": c["family"] for i, c in enumerate(curves) if isinstance(c, Mapping) and "family" in c}
    for key, given in _flat(said).items():
        if isinstance(given, str) and given.partition(":")[0].strip() in {"file", "coefficients"}:
            raise ParseError(
                f"{name}: {key} needs to be written out, got {shown(given)}, which is in a file; load the file from Python"
            )
    return _Reader(Path(name), document).read()


@dataclass(frozen=True)
class _Reader:
    """One file while it is read."""

    file: Path
    document: Mapping[str, Any]

    def read(self) -> tuple[Pipeline, Settings]:
        sweep = {name: self.swept(name, v) for name, v in _flat(self.table("sweep")).items()}
        values = {name: self.number(v, f"[values] {name}") for name, v in _flat(self.table("values")).items()}
        tables = self.curve_tables()
        adjusted = {*sweep, *values, *(name for table in tables for name in table)}
        recipe = self.recipe({name: symbols.declared(name) for name in sorted(adjusted) if name.isidentifier()})
        curves = tuple(self.curve(i, table, recipe) for i, table in enumerate(tables)) or (Curve(self.title),)
        if len({c.name for c in curves}) < len(curves):
            raise ParseError(
                f"{self.file}, [[curve]]: names need to differ, got {[c.name for c in curves]}; rename one"
            )
        last = {
            name: v[-1].item() for name, v in sweep.items() if name in recipe.paths and name not in recipe.arguments
        }
        # All curves are built here: one that cannot be is an error now, not after an hour of simulation.
        built = [recipe.build(c, **{k: v for k, v in last.items() if k not in c.arguments}) for c in curves]
        used = {s.name for pipeline in built for s in pipeline.free_symbols}
        for name in sorted(set(values).intersection(recipe.paths) - used):
            raise ParseError(
                f"{self.file}, [values]: needs names of symbols, got {shown(name)}, an argument of the pipeline; give it where "
                "the pipeline is described, in [sweep] or in [[curve]]"
            )
        for name in sorted(adjusted - {*recipe.paths, "name", "family"}):
            if name not in used:
                hint = nearest(name, [*used, *recipe.paths])
                raise ParseError(
                    f"{self.file}: [sweep], [values] and [[curve]] need symbols or arguments in use, got {shown(name)}{hint}"
                )
        spectrum, target, data = self.measures()
        family = self.family(curves)
        families = family is not None or curves[0].family is not None
        settings = Settings(
            title=self.title,
            recipe=recipe,
            spectrum=spectrum,
            target=target,
            data=data,
            method=self.get("method", str, "auto"),
            family=family,
            measured=self.get("measured", str, "test error"),
            folder=self.file.parent,
            inputs=self.kinds(data, families=families),
            seed=self.count("seed", 0, 0),
            trials=self.count("trials", 200, 2, MOST_TRIALS),
            jobs=self.workers(),
            values=values,
            sweep=sweep,
            curves=curves,
        )
        return built[0], settings

    # ------------------------------------------------------------------ the pipeline
    def recipe(self, names: Mapping[str, Expr]) -> Recipe:
        workflow = self.get("workflow", str, None)
        nodes = [kind for kind in ("sample", "fit", "features") if kind in self.document]
        if workflow is None:
            self.check(self.document, ("workflow", "sample", "fit", "features", *SETTINGS), "the file")
            if not {"sample", "fit"} <= set(nodes):
                raise PipelineError(
                    f"{self.file} needs [[sample]] and [[fit]] tables or workflow = NAME, got {nodes or 'neither'}"
                )
            return self.graph(names)
        if nodes:
            raise PipelineError(
                f"{self.file} needs either a workflow or samples and fits, got workflow = {shown(workflow)} and "
                f"[[{nodes[0]}]]"
            )
        if workflow not in workflows.__all__:
            raise ParseError(
                f"{self.file}: workflow needs to be known, got {shown(workflow)}{nearest(workflow, workflows.__all__)}"
            )
        empty = WorkflowRecipe(str(self.file), {}, names, workflow)
        given = {k: v for k, v in self.document.items() if k not in {"workflow", *SETTINGS}}
        self.check(given, [*empty.parameters, "workflow", *SETTINGS], f"workflow {workflow!r}")
        arguments = _flat(given)
        for path in arguments:
            table, _, key = path.partition(".")
            if path not in empty.paths:
                keys = [p.partition(".")[2] for p in empty.paths if p.startswith(f"{table}.")]
                hint = (
                    nearest(key, keys) if keys and key else f"; it {'is a table' if keys else 'takes a single value'}"
                )
                raise ParseError(f"{self.file}, {table}: needs known keys, got {key or arguments[path]!r}{hint}")
        return replace(empty, arguments=arguments)

    def graph(self, names: Mapping[str, Expr]) -> GraphRecipe:
        arguments: dict[str, Any] = {}
        order: dict[str, list[str]] = {"sample": [], "fit": [], "features": []}
        for kind, keys in (("sample", SAMPLE_KEYS), ("fit", FIT_KEYS), ("features", FEATURE_KEYS)):
            for i, table in enumerate(self.tables(kind)):
                place = f"[[{kind}]] number {i + 1}"
                self.check(table, ("name", *keys), place)
                name = table.get("name")
                if not isinstance(name, str) or not name.isidentifier():
                    raise ParseError(
                        f"{self.file}, {place}: needs a name that is an identifier, got {shown(name)}; add name = ..."
                    )
                if any(name in names for names in order.values()):
                    raise PipelineError(
                        f"{self.file}, {place}: name needs to be unique, got {shown(name)} twice; rename one"
                    )
                order[kind].append(name)
                arguments |= {f"{name}.{key}": v for key, v in table.items() if key != "name"}
        found = {kind: tuple(listed) for kind, listed in order.items()}
        truths = tuple(name for name in self.targets() if name != TRUTH.name)
        return GraphRecipe(str(self.file), arguments, names, found["sample"], found["fit"], found["features"], truths)

    def curve_tables(self) -> list[dict[str, Any]]:
        return [_flat(table) for table in self.tables("curve")]

    def curve(self, i: int, table: Mapping[str, Any], recipe: Recipe) -> Curve:
        place = f"[[curve]] number {i + 1}"
        if not isinstance(table.get("name"), str):
            raise ParseError(
                f"{self.file}, {place}: needs a name in quotes, got {shown(table.get('name'))}; add name = ..."
            )
        family = table.get("family")
        if not isinstance(family, str | None):
            raise ParseError(f"{self.file}, {place}: family needs to be text in quotes, got {shown(family)}; quote it")
        rest = {k: v for k, v in table.items() if k not in {"name", "family"}}
        arguments = {k: v for k, v in rest.items() if k in recipe.paths}
        numbers = {k: self.number(v, f"{place}, {k}") for k, v in rest.items() if k not in arguments}
        return Curve(table["name"], arguments, numbers, family)

    def family(self, curves: Iterable[Curve]) -> str | None:
        """Return the text of the family, after checking that nothing of linear regression stands beside it."""
        family = self.get("family", str, None)
        if family is None and not any(c.family for c in curves):
            if "measured" in self.document:
                raise ParseError(
                    f"{self.file}: measured needs a family, got linear regression; add family = ... or drop it"
                )
            return None
        for key in ("spectrum", "target", "overlaps", "data", "rows", "kernel", "method"):
            if key in self.document:
                raise ParseError(f"{self.file}: {key} belongs to linear regression, got a family too; drop one of them")
        for c in curves:
            if family is None and c.family is None:
                raise ParseError(
                    f"{self.file}: every curve needs a family if one has, got none for {shown(c.name)}; add it"
                )
        return family

    # ------------------------------------------------------------------ what it is evaluated and simulated on
    def measures(self) -> tuple[Spectrum | None, Target | None, Dataset | None]:
        several = self.targets()
        texts = {key: self.get(key, str, None) for key in ("spectrum", "data")}
        texts["target"] = None if several else self.get("target", str, None)
        if texts["data"] is not None:
            if texts["spectrum"] is not None or texts["target"] is not None or several:
                raise ParseError(f"{self.file} needs either data or spectrum and target, got both; data estimates them")
            with located(str(self.file)):
                kernel = self.get("kernel", str, None)
                rows = self.count("rows", 0, 2) if "rows" in self.document else None
                data = dataset(texts["data"], rows, None if kernel is None else strings.kernel(kernel))
            return data.spectrum, data.target, data
        for key in ("rows", "kernel"):
            if key in self.document:
                raise ParseError(f"{self.file}: {key} needs data, got none; add data = {min(DATASETS)!r} or drop it")
        if texts["spectrum"] is None and (texts["target"] is not None or several):
            raise ParseError(
                f"{self.file} needs a spectrum with its target, got target = {self.document['target']!r} alone; add "
                "spectrum = ..."
            )
        with located(str(self.file)):
            spectrum = None if texts["spectrum"] is None else strings.spectrum(texts["spectrum"], self.file.parent)
            target = None if texts["target"] is None else strings.target(texts["target"], self.file.parent)
            if several:
                named = {name: strings.target(text, self.file.parent) for name, text in several.items()}
                target = given_target(named, self.overlaps())
            if spectrum is not None and target is not None:
                target.check(spectrum)  # lengths and kinds that do not go together fail here
                target.energies(spectrum)
        return spectrum, target, None

    def targets(self) -> Mapping[str, Any]:
        """Return the texts of several truths by name; nothing where there is one."""
        given = self.document.get("target")
        return given if isinstance(given, Mapping) else {}

    def overlaps(self) -> Mapping[tuple[str, ...], Any] | None:
        """Return the overlaps of truths: numbers, or files of one product per direction, by "NAME,NAME"."""
        if "overlaps" not in self.document:
            return None
        return {
            tuple(part.strip() for part in names.split(",")): strings.overlap(x, self.file.parent)
            for names, x in self.table("overlaps").items()
        }

    def kinds(self, data: Dataset | None, *, families: bool) -> tuple[str, ...]:
        known: tuple[str, ...] = _ROWS if families else _INPUTS
        default = list(known) if data is not None or families else ["gaussian"]
        if data is not None and data.kernel is not None:
            default = ["real"]
        kinds = self.get("inputs", list, default)
        for kind in kinds:
            if kind not in known:
                raise ParseError(
                    f"{self.file}: inputs needs some of {', '.join(known)}, got {shown(kind)}{nearest(str(kind), known)}"
                )
        if "real" in kinds and data is None:
            raise ParseError(f"{self.file}: inputs = ['real'] needs data, got none; add data = {min(DATASETS)!r}")
        return tuple(dict.fromkeys(kinds))

    # ------------------------------------------------------------------ typed access
    @property
    def title(self) -> str:
        return str(self.get("title", str, self.file.stem))

    def get(self, key: str, kind: type, default: Any) -> Any:
        value = self.document.get(key, default)
        if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ParseError(
                f"{self.file}: {key} needs to be {_KINDS[kind]}, got {shown(value)}; see the documentation of pipeline files"
            )
        return value

    def count(self, key: str, default: int, least: int, most: int | None = None) -> int:
        with located(str(self.file)):
            return integer(self.get(key, int, default), key, least=least, most=most)

    def workers(self) -> int:
        with located(str(self.file)):
            return worker_count(self.get("jobs", int, 1))

    def table(self, key: str) -> Mapping[str, Any]:
        return dict(self.get(key, dict, {}))

    def tables(self, key: str) -> list[Any]:
        given = self.get(key, list, [])
        for item in given:
            if not isinstance(item, dict):
                raise ParseError(
                    f"{self.file}: {key} needs to be tables, got {shown(item)}; write [[{key}]] above each"
                )
        return list(given)

    def check(self, table: Mapping[str, Any], valid: Iterable[str], place: str) -> None:
        for key in table:
            if key not in valid:
                raise ParseError(f"{self.file}, {place}: needs known keys, got {shown(key)}{nearest(key, valid)}")

    def number(self, value: Any, place: str) -> int | float:
        with located(f"{self.file}, {place}"):
            out = strings.values(value) if isinstance(value, str) else value
            largest = _WHOLE if isinstance(out, int) else math.inf
            if not isinstance(out, (int, float)) or isinstance(out, bool) or not abs(out) < largest:
                raise DomainError(f"needs one finite number, got {shown(value)}")
            return out

    def swept(self, name: str, value: Any) -> np.ndarray:
        place = f"[sweep] {name}"
        if isinstance(value, list):
            value = [self.number(v, place) for v in value]
        elif isinstance(value, str):
            with located(f"{self.file}, {place}"):
                value = strings.values(value)
        else:
            value = self.number(value, place)
        array = np.atleast_1d(np.asarray(value))
        if array.size == 0:
            raise DomainError(f"{self.file}, {place}: needs at least one value, got []; list some")
        array.setflags(write=False)
        return array


_KINDS = {str: "text in quotes", int: "an integer", list: "a list", dict: "a table"}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables (dotted keys in TOML) as one mapping from dotted paths.

    >>> _flat({"generator": {"ridge": 0}, "n": 3})
    {'generator.ridge': 0, 'n': 3}
    """
    out: dict[str, Any] = {}
    for key, value in table.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return out
