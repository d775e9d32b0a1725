"""An error over a grid of its arguments, as arrays with named axes; simulations beside it, on any number of machines.

A value that is a list is an axis, in the order in which axes are written; a number is the same at every point. Simulations run
point by point through joblib, so a surrounding ``joblib.parallel_config(backend="dask")`` sends them to a cluster. Each point has
a checkpoint of its own, named after its values: a point that was finished is read, one that was interrupted goes on where it
was, wherever it runs next, and a grid that has grown since only adds points.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError, ParseError, shown
from collapse_theory.core.numbers import flag, integer, real_values, worker_count
from collapse_theory.core.progress import counting_bar
from collapse_theory.core.reading import as_path
from collapse_theory.core.writing import target_file, write_file
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.test_error import test_error
from collapse_theory.describe.files import Settings
from collapse_theory.describe.targets import RandomTarget
from collapse_theory.simulate.trial import digest
from collapse_theory.simulate.trials import Simulation, simulate

__all__ = ["Runs", "axes_of", "simulated", "sweep", "sweep_file", "sweep_writer", "theory_on"]


@dataclass(frozen=True)
class Runs:
    """How each point of a grid is simulated.

    Attributes:
        trials: Number of runs, >= 2: one has no standard error.
        seed: Seed of every point.
        jobs: Number of workers; -1 is all cores, and 1 leaves it to a surrounding ``joblib.parallel_config``.
        progress: Whether to show how many points are done.
        checkpoint: Folder for finished trials; it is made if it does not exist.
    """

    trials: int
    seed: int = 0
    jobs: int = 1
    progress: bool = False
    checkpoint: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        """Check what does not depend on a point, before anything runs."""
        integer(self.trials, "trials", least=2, remedy="one run has no standard error")
        integer(self.seed, "seed", least=0, remedy="seeds count from 0")
        worker_count(self.jobs)
        flag(self.progress, "progress")
        if self.checkpoint is not None:
            folder = as_path(self.checkpoint, "checkpoint", DomainError)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                raise DomainError(
                    f"checkpoint needs a folder for the points of a sweep, got {shown(str(folder))} ({e}); name another"
                ) from e


def sweep(
    formula: ErrorFormula,
    *,
    spectrum: Any = None,
    target: Any = None,
    test_noise: Any = None,
    trials: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    **values: Any,
) -> Any:
    """Return a test error over a grid with named axes.

    Args:
        formula: A theorem's ``error`` or a result of ``ct.test_error``.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients.
        test_noise: Standard deviation of the test point's label noise; its square is added. Theory only.
        trials: Simulate so many runs at each point too.
        seed: Seed. Every point is what ``ct.simulate`` gives there with this seed: neighbours share random numbers, so that a
            curve is smooth, and its points are no independent tests.
        jobs: Number of workers; results do not depend on it.
        progress: Whether to show how many points are done.
        checkpoint: Folder that keeps finished trials; a sweep that was interrupted goes on from it.
        **values: By name a number, or a list: an axis, whatever ``n`` does to the formula.

    Returns:
        An ``xarray.DataArray``, its axes in the order of the lists. With ``trials`` an ``xarray.Dataset`` with ``theory``,
        ``mean`` and ``sem``, the standard error of the mean.

    Raises:
        DomainError: If xarray is missing, a value is missing, unknown or out of range, a list is empty or of two dimensions, or
            the checkpoint folder is of another problem.

    >>> import collapse_theory as ct
    >>> err = ct.catalog["ols-replace"].error
    >>> out = err.sweep(n=[0, 4], T=[30, 60, 90], spectrum=ct.Isotropic(10), T0=40, sigma=1, sigma0=1)
    >>> out.dims, round(float(out.sel(T=60, n=4)), 6)
    (('n', 'T'), 1.583392)
    """
    xarray = _xarray()
    instance(formula, ErrorFormula, "formula", "pass a theorem's error or a result of ct.test_error", DomainError)
    about = {"spectrum": spectrum, "target": target}
    axes, fixed = axes_of(values)
    runs = None if trials is None else Runs(trials, seed, jobs, progress, checkpoint)
    if runs is not None and test_noise is not None:
        raise DomainError(
            "sweep with trials= compares excess risks, got test_noise; leave it out, or leave out trials="
        )
    theory = theory_on(formula, axes, {**fixed, "test_noise": test_noise}, about)
    said = {"formula": formula.name, "regime": formula.regime, **{k: _plain(v) for k, v in fixed.items()}}
    if runs is None:
        return xarray.DataArray(theory, dims=list(axes), coords=dict(axes), name="theory", attrs=said)
    found = simulated(formula, axes, fixed, about, runs)
    columns = {
        "theory": theory,
        "mean": np.array([s.mean for s in found]).reshape(theory.shape),
        "sem": np.array([s.sem for s in found]).reshape(theory.shape),
    }
    variables = {name: (list(axes), column) for name, column in columns.items()}
    return xarray.Dataset(variables, coords=dict(axes), attrs={**said, "trials": runs.trials, "seed": runs.seed})


def axes_of(values: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the values that are lists, as arrays, and the others.

    Raises:
        DomainError: If a list is empty, nested, or has a value twice.

    >>> axes_of({"lam": [0.1, 1.0], "T": 50})
    ({'lam': array([0.1, 1. ])}, {'T': 50})
    """
    axes: dict[str, np.ndarray] = {}
    fixed: dict[str, Any] = {}
    for name, value in values.items():
        array = real_values(list(value) if isinstance(value, range) else value, name)
        if array.ndim == 0:
            fixed[name] = value
            continue
        if array.ndim > 1 or array.size == 0:
            raise DomainError(
                f"{name} needs to be a number or a list of numbers, got shape {array.shape}; an axis is a list"
            )
        if np.unique(array).size < array.size:
            raise DomainError(f"{name} needs each value once, got {shown(value)}; an axis names its points by them")
        given = np.asarray(value)
        axes[name] = given if given.dtype.kind in "iu" else array
    return axes, fixed


def theory_on(
    formula: ErrorFormula, axes: Mapping[str, np.ndarray], fixed: Mapping[str, Any], about: Mapping[str, Any]
) -> np.ndarray:
    """Return the error at every point of a grid, shape one length per axis."""
    mesh = np.meshgrid(*axes.values(), indexing="ij", sparse=True)
    values = dict(zip(axes, mesh, strict=True))
    shape = tuple(a.size for a in axes.values())
    return np.broadcast_to(np.asarray(formula.evaluate(**about, **fixed, **values), dtype=float), shape).copy()


def simulated(
    formula: ErrorFormula,
    axes: Mapping[str, np.ndarray],
    fixed: Mapping[str, Any],
    about: Mapping[str, Any],
    runs: Runs,
) -> list[Simulation]:
    """Return the simulation of every point of a grid, the last axis fastest.

    Raises:
        DomainError: If the formula describes no pipeline, or a point cannot be simulated.
    """
    if formula.pipeline is None:
        raise DomainError(
            f"{formula.name} is not the test error of a pipeline of finitely many rounds (a limit or a derivative); "
            "sweep it without trials="
        )
    if about["target"] is None and about["spectrum"] is not None:  # the error has no bias: any truth will do
        about = {**about, "target": RandomTarget(norm2=0)}
    points = [
        {**fixed, **dict(zip(axes, at, strict=True))} for at in itertools.product(*(a.tolist() for a in axes.values()))
    ]
    n_jobs = None if runs.jobs == 1 else runs.jobs
    tasks = (joblib.delayed(_point)(k, formula, point, about, runs) for k, point in enumerate(points))
    found: dict[int, Simulation] = {}
    with counting_bar("points", len(points), 0, shown=runs.progress) as advance:
        for k, simulation in joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)(tasks):
            found[k] = simulation
            advance(len(found))
    return [found[k] for k in range(len(points))]


def _point(
    k: int, formula: ErrorFormula, point: Mapping[str, Any], about: Mapping[str, Any], runs: Runs
) -> tuple[int, Simulation]:
    """Simulate one point in a worker."""
    pipe, values = formula.described(point)
    question: dict[str, Any] = {} if formula.test_covariance is None else {"test_covariance": formula.test_covariance}
    if formula.family is None:
        question["measured"] = formula.measured
    store = None
    if runs.checkpoint is not None:
        name = digest(formula.name, tuple(sorted((x, float(v)) for x, v in point.items())), runs.seed)
        store = Path(runs.checkpoint) / f"{name[:16]}.json"
    with joblib.parallel_config(backend="sequential"):  # the points are what runs in parallel
        simulation = simulate(
            pipe,
            model=pipe.tested(formula.model),
            family=formula.family,
            trials=runs.trials,
            seed=runs.seed,
            checkpoint=store,
            **question,
            **about,
            **values,
        )
    return k, simulation


def sweep_file(settings: Settings, *, runs: Runs | None = None) -> Any:
    """Return the sweep of a pipeline file as an ``xarray.Dataset``.

    Axes are those of its table ``[sweep]`` in their order, and ``curve`` first if the file has several.

    Args:
        settings: From ``ct.load``.
        runs: How each point is simulated, on Gaussian inputs; None is theory alone.

    Raises:
        DomainError: If xarray is missing, or the file lacks a sweep, a spectrum or a value.
    """
    if not settings.sweep:
        raise DomainError('a sweep needs axes, got none; add [sweep] with lam = "log:1e-4:10:40" to the file')
    if any(c.family or settings.family for c in settings.curves):
        raise DomainError(
            "a sweep of a file needs linear regression, got a family; use collapse-theory report, or err.sweep"
        )
    structural = [name for name in settings.sweep if name in settings.recipe.paths]

    def leaf(curve: Any, at: Mapping[str, Any]) -> Any:
        formula = test_error(settings.recipe.build(curve, **at), method=settings.method)
        options: dict[str, Any] = {}
        if runs is not None:
            options = {name: getattr(runs, name) for name in Runs.__dataclass_fields__}
            if runs.checkpoint is not None:  # pipelines that differ have points of the same values
                options["checkpoint"] = Path(runs.checkpoint) / digest(curve.name, tuple(at.items()))[:16]
        used = {x.name for x in formula.free_symbols}
        values: dict[str, Any] = {
            **settings.values_of(curve),
            **{k: v for k, v in settings.sweep.items() if k not in structural},
        }
        found = sweep(
            formula,
            spectrum=settings.spectrum,
            target=settings.target,
            **options,
            **{k: v for k, v in values.items() if k in used},
        )
        return found.to_dataset() if runs is None else found

    def grid(curve: Any, names: list[str], at: Mapping[str, Any]) -> Any:
        if not names:
            return leaf(curve, at)
        name, *rest = names
        axis = settings.sweep[name]
        return _joined(name, axis.tolist(), (grid(curve, rest, {**at, name: value}) for value in axis.tolist()))

    parts = [grid(curve, structural, {}) for curve in settings.curves]
    several = len(parts) > 1
    whole = _joined("curve", [c.name for c in settings.curves], parts) if several else parts[0]
    whole = whole.transpose(*(["curve"] if several else []), *settings.sweep, missing_dims="ignore")
    return whole.assign_attrs(title=settings.title)


def _joined(name: str, values: list[Any], parts: Iterable[Any]) -> Any:
    """Return datasets put side by side along a new axis."""
    xarray = _xarray()
    return xarray.concat(list(parts), xarray.DataArray(values, dims=name, name=name), combine_attrs="drop_conflicts")


def sweep_writer(path: Path) -> Callable[[Any], None]:
    """Return a function that writes a sweep, whole or not at all: NetCDF with its axes (.nc), or one line per point (.csv).

    Raises:
        ParseError: If the file ends otherwise.
        DomainError: If nothing can be written there; known before anything is computed.
    """
    forms: Mapping[str, Callable[[Any], str | bytes]] = {".nc": _netcdf, ".csv": _csv}
    if path.suffix not in forms:
        raise ParseError(f"-o needs to end in {' or '.join(forms)}, got {shown(str(path))}; name such a file")
    target_file(path, "sweep")
    return lambda dataset: write_file(path, forms[path.suffix](dataset), "sweep")


def _netcdf(dataset: Any) -> bytes:
    return bytes(dataset.to_netcdf(engine="scipy"))


def _csv(dataset: Any) -> str:
    text = StringIO()
    dataset.to_dataframe(dim_order=dataset["theory"].dims).reset_index().to_csv(text, index=False)
    return text.getvalue()


def _plain(value: Any) -> int | float:
    """Return a number as files keep it."""
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**31 else number


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as e:
        raise DomainError("sweep needs xarray, which is not installed; pip install 'collapse-theory[data]'") from e
    return xarray
