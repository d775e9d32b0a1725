r"""Monte Carlo of a pipeline: independent trials, in any number of processes, that can be interrupted.

Trial ``i`` of seed ``s`` draws from ``SeedSequence(s, spawn_key=(i,))`` and runs on one BLAS thread. Its error is
therefore the same bit for bit in every order, process and block (on one kind of processor: BLAS kernels differ between
kinds).
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from collapse_theory.core.arguments import choice, word
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import ConvergenceError, DomainError, PipelineError, shown
from collapse_theory.core.numbers import MOST_TRIALS, flag, integer, worker_count
from collapse_theory.core.progress import counting_bar
from collapse_theory.core.reading import as_path
from collapse_theory.describe.pipeline import Fit, Pipeline, Source
from collapse_theory.simulate.checkpoint import Checkpoint
from collapse_theory.simulate.regression_trial import linear_trial
from collapse_theory.simulate.trial import Setting, SimulatedFamily, Trial, digest

__all__ = ["Simulation", "simulate"]

MEASURED = ("test error", "training error", "cross-validation")

_BLOCK_SECONDS = 1.0
"""Aim for the time between two checkpoints: short enough to lose little, long enough to keep all workers busy."""


@dataclass(frozen=True, eq=False)
class Simulation(Displayed):
    """The test errors of independent trials.

    Attributes:
        errors: Test error of each trial in trial order, float64, shape (trials,), read-only.
        seed: The seed.
    """

    errors: np.ndarray
    seed: int

    def __post_init__(self) -> None:
        """Freeze the errors."""
        self.errors.setflags(write=False)

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self.errors.size

    @property
    def mean(self) -> float:
        """Mean test error."""
        return float(self.errors.mean())

    @property
    def sem(self) -> float:
        """Standard error of the mean; infinite for one trial, which says nothing about the spread."""
        return float(self.errors.std(ddof=1)) / math.sqrt(self.trials) if self.trials > 1 else math.inf

    def __repr__(self) -> str:
        return f"Simulation(mean={self.mean:.6g}, sem={self.sem:.2g}, trials={self.trials}, seed={self.seed})"


def simulate(
    pipe: Pipeline,
    model: Fit | Source | None = None,
    family: SimulatedFamily | None = None,
    spectrum: Any = None,
    target: Any = None,
    overlaps: Any = None,
    inputs: Any = None,
    targets: Any = None,
    kernel: Any = None,
    trials: int = 200,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    test_covariance: str | None = None,
    measured: str = "test error",
    **values: Any,
) -> Simulation:
    r"""Return the test errors of independent runs of a pipeline.

    For linear regression the test error is the excess risk :math:`\|\hat w-w_0\|_\Sigma^2`, the label noise of the test
    point not included.

    Args:
        pipe: The pipeline.
        model: The tested fit, or for linear regression a combination of fits and the truth; the last fit if None.
        family: What is fitted; linear regression if None. Any object with a ``trial(pipeline, model, setting)`` method.
        spectrum: Covariance eigenvalues of Gaussian inputs, or a mapping from covariance names to spectra listed in one
            common eigenbasis ("Sigma" is the covariance of the samples that name none).
        target: The true coefficients, with ``spectrum``; of several truths a mapping by name, "w0" the one tested by.
        overlaps: Of truths without signs, the products of each two by pair of names, as in
            :meth:`~collapse_theory.derive.formula.ErrorFormula.evaluate`; runs draw coefficients that have them.
        inputs: Real inputs, shape (N, p): columns are centred, rows drawn with replacement. The truth is the
            least-squares fit of ``targets`` on all rows, and errors are averaged over all rows.
        targets: Real targets, shape (N,), with ``inputs`` (centred) or ``kernel`` (as they are).
        kernel: Kernel matrix of N points, shape (N, N), for kernel ridge regression: rows drawn with replacement, the
            truth is ``targets`` on the N points, errors are averaged over all points. ``kernel/N`` has the eigenvalues
            of the covariance, so a ridge means the same as in linear regression.
        trials: Number of runs, >= 1.
        seed: Seed, >= 0.
        jobs: Number of workers, -1 for all cores. 1 is sequential, unless a surrounding ``joblib.parallel_config`` says
            otherwise: ``parallel_config(backend="dask")`` moves the work to a cluster. Results do not depend on it.
        progress: Whether to show a progress bar on the standard error stream.
        checkpoint: File that keeps the finished trials, written about every second. If it exists, its trials are not
            run again; it may hold fewer or more than ``trials``.
        test_covariance: Name of the covariance of the test inputs; None is "Sigma".
        measured: "test error", or for a fit of linear regression "training error" (:func:`.training_error`) or
            "cross-validation" (:func:`.gcv`), or another of the ``measures`` of the family.
        **values: Values of the pipeline's symbols by name.

    Raises:
        DomainError: If an argument is out of range, data do not fit together, a symbol has no value, or the checkpoint
            is damaged or of another problem.
        PipelineError: If the pipeline does not fit the family.
        ConvergenceError: If a trial gives no finite error.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> from collapse_theory.describe.targets import RandomTarget
    >>> pipe = Pipeline()
    >>> m = pipe.fit(pipe.sample(T=40, noise=1.0))
    >>> sim = simulate(pipe, spectrum=Isotropic(10), target=RandomTarget(), trials=100)
    >>> abs(sim.mean - 10 / 29) < 4 * sim.sem
    True
    """
    trials = integer(trials, "trials", least=1, most=MOST_TRIALS, remedy="ask for at least one trial")
    seed = integer(seed, "seed", least=0, remedy="seeds count from 0")
    jobs = worker_count(jobs)
    progress = flag(progress, "progress")
    if not isinstance(pipe, Pipeline):
        raise PipelineError(
            f"simulate needs a Pipeline, got {shown(pipe)}; build one with ct.Pipeline() or ct.workflows"
        )
    if test_covariance is not None:
        word(test_covariance, "test_covariance")
    make = linear_trial if family is None else _hook(family)
    choice(measured, "measured", MEASURED if family is None else getattr(family, "measures", MEASURED[:1]))
    setting = Setting(spectrum, target, inputs, targets, kernel, test_covariance, values, measured, overlaps)
    tested: Any = pipe.tested(model) if family is None else pipe.model(model)  # type: ignore[arg-type]
    if measured != "test error" and not isinstance(tested, Fit):
        raise PipelineError(f"measured={measured!r} needs a fit, got the combination {tested}; pass one fit as model")
    with one_blas_thread():
        trial = make(pipe, tested, setting)
    store = None
    if checkpoint is not None:
        store = Checkpoint(as_path(checkpoint, "checkpoint", DomainError), digest(trial.fingerprint, seed))
    done = np.empty(0) if store is None else store.load()
    if done.size < trials:
        if store is not None:
            store.save(done)  # before the work: a path that cannot be written fails here
        done = _run(trial, seed, done, trials, jobs, store, progress=progress)
    return Simulation(done[:trials].copy(), seed)


def _hook(family: Any) -> Callable[[Pipeline, Fit, Setting], Trial]:
    if not isinstance(family, SimulatedFamily) or isinstance(family, type):
        raise PipelineError(
            f"family needs to be an object that can be simulated, got {shown(family)}; for example ct.Categorical(p)"
        )
    return family.trial


def _run(
    trial: Trial, seed: int, done: np.ndarray, trials: int, jobs: int, store: Checkpoint | None, *, progress: bool
) -> np.ndarray:
    """Return ``done`` extended to ``trials`` errors, in blocks of about a second; what a block adds is stored."""
    # A worker more than trials would only start a process. None lets a surrounding parallel_config decide; joblib's own
    # default is 1.
    n_jobs = None if jobs == 1 else min(jobs, trials - done.size)
    workers = max(1, joblib.effective_n_jobs(n_jobs))
    size = workers
    with (
        counting_bar("trials", trials, done.size, shown=progress) as advance,
        joblib.Parallel(n_jobs=n_jobs) as parallel,
    ):
        while done.size < trials:
            block = range(done.size, min(done.size + size, trials))
            tasks = [block[k::workers] for k in range(min(workers, len(block)))]
            start = time.monotonic()
            parts = parallel(joblib.delayed(_errors)(trial, seed, task) for task in tasks)
            errors = np.empty(len(block))
            for k, part in enumerate(parts):
                errors[k::workers] = part
            done = np.concatenate([done, errors])
            if store is not None:
                store.save(done)
            advance(done.size)
            if time.monotonic() - start < _BLOCK_SECONDS / 2:
                size *= 2
    return done


def _errors(trial: Trial, seed: int, indices: range) -> list[float]:
    """Run some trials in a worker."""
    with one_blas_thread():
        return [_error(trial, seed, i) for i in indices]


def _error(trial: Trial, seed: int, index: int) -> float:
    with np.errstate(all="ignore"):  # an overflow ends in the error below, with the trial to repeat it
        error = trial(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,))))
    if not math.isfinite(error):
        raise ConvergenceError(
            f"trial {index} of seed {seed} needs a finite error, got {error}; rescale the spectrum and target towards 1"
        )
    return error


class _OneBlasThread:
    """The limit of one BLAS thread, shared by all threads of a process.

    BLAS keeps its limit per process (or, with OpenMP, per thread), so a worker thread that finishes must not lift it
    under another one that still runs: everyone sets the limit, the last one to leave restores what the first one found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._controller: ThreadpoolController | None = None
        self._found: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._controller is None:
                self._controller = ThreadpoolController()  # scans the loaded libraries: milliseconds, so once
            limiter = self._controller.limit(limits=1, user_api="blas")
            if self._inside == 0:
                self._found = limiter
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._found.restore_original_limits()


one_blas_thread = _OneBlasThread()
"""Context manager under which BLAS runs on one thread, so that results do not depend on the number of cores."""
