"""Run the tests on mistakes: a warm process that forks one child per mistake, each in a private copy of the tree.

The parent imports what is slow and is not ours (SymPy, SciPy, Hypothesis, ...) once and never the package; a child starts with
all that and with nothing of the package. A child that dies, hangs or fails a test has killed its mistake.
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.covering import Map
from tests.mutants.sites import Site

__all__ = ["Outcome", "copy_of_tree", "run_all", "warm_up"]

_WARM = (
    "numpy", "scipy.linalg", "scipy.special", "scipy.integrate", "scipy.optimize", "scipy.sparse.linalg", "scipy.stats", "sympy",
    "sympy.printing.latex", "mpmath", "hypothesis", "hypothesis.extra.numpy", "pytest", "_pytest.doctest", "lark", "typer", "typer.testing",
    "rich.table", "rich.progress", "joblib", "threadpoolctl", "sklearn.datasets", "matplotlib.figure", "matplotlib.backends.backend_agg",
)  # fmt: skip
_FIRST = 6.0  # seconds of tests in the first batch: most mistakes die there
_MEMORY = 8 << 30


@dataclass
class Outcome:
    """What became of one mistake.

    Attributes:
        site: The mistake.
        killer: The test that failed, or "time limit"; None while it lives.
        seconds: Wall clock spent on it.
        run: Tests that passed with the mistake in the package.
        left: Tests that would still have to run.
    """

    site: Site
    killer: str | None = None
    seconds: float = 0.0
    run: int = 0
    left: list[str] = field(default_factory=list)


def warm_up() -> None:
    """Import once what every child needs."""
    for name in _WARM:
        importlib.import_module(name)


def copy_of_tree(root: Path, to: Path) -> Path:
    """Return a copy of the files of the working tree that git does not ignore, compiled."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "collapse_theory"], cwd=to, check=True
    )
    return to


def order(site: Site, known: Map) -> list[str]:
    """Return the tests to run on a site: those that run its line, then its function, then its file; fastest first."""
    function = known.tests(site.file, *site.function) if site.function[0] > 1 else []
    return list(dict.fromkeys([*known.tests(site.file, site.line), *function, *known.users(site.file)]))


def run_all(outcomes: Iterable[Outcome], known: Map, copies: list[Path], budget: float) -> Iterator[Outcome]:
    """Yield every outcome as it is known, one mistake at a time in each copy of the tree.

    Args:
        outcomes: Mistakes with the tests left to run on each.
        known: Durations of the tests.
        copies: Private copies of the tree.
        budget: Seconds of tests to run on one mistake; what is left over stays in ``left``.
    """
    waiting, free, live = iter(outcomes), list(copies), {}
    done = object()
    while True:
        while free and (o := next(waiting, done)) is not done:
            job = _Job(o, known, free.pop(), budget)
            if job.start():
                live[job.pid] = job
            else:
                free.append(job.copy)
                yield o
        if not live:
            return
        for pid, job in list(live.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended and time.monotonic() < job.deadline:
                continue
            job.end(status if ended else None)
            del live[pid]
            if job.outcome.killer is None and job.start():
                live[job.pid] = job
            else:
                job.restore()
                free.append(job.copy)
                yield job.outcome
        time.sleep(0.02)


class _Job:
    """The batches of tests of one mistake, in one copy."""

    def __init__(self, outcome: Outcome, known: Map, copy: Path, budget: float) -> None:
        self.outcome, self.known, self.copy, self.budget = outcome, known, copy, budget
        self.file = copy / outcome.site.file
        self.source = self.file.read_bytes()
        self.limit, self.first = budget, True

    def start(self) -> bool:
        """Fork a child for the next batch; False if there is none."""
        size = min(_FIRST, self.limit) if self.first else self.limit
        batch: list[str] = []
        for t in self.outcome.left:
            if batch and size < self.known.seconds[t]:
                break
            size -= self.known.seconds[t]
            batch.append(t)
        if not batch or self.limit <= 0:
            return False
        cost = sum(self.known.seconds[t] for t in batch)
        self.batch, self.first, self.limit = batch, False, self.limit - cost
        self.file.write_bytes(self.outcome.site.plant(self.source))
        self.began = time.monotonic()
        self.deadline = self.began + 30 + 6 * cost
        self.report = self.copy / ".killer"
        self.report.write_text("")
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _child(self.copy, batch, self.report)
        return True

    def end(self, status: int | None) -> None:
        """Read what the child found; ``status`` is None where it had to be stopped."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if status is None:
            os.waitpid(self.pid, 0)
        o = self.outcome
        o.seconds += time.monotonic() - self.began
        if status == 0:
            o.run += len(self.batch)
            o.left = o.left[len(self.batch) :]
        else:
            said = self.report.read_text().strip()
            o.killer = said or ("time limit" if status is None else f"the process died ({status})")

    def restore(self) -> None:
        """Take the mistake out of the copy."""
        self.file.write_bytes(self.source)


def _child(copy: Path, tests: list[str], report: Path) -> None:
    """Run tests in order until the first fails, and end the process with the exit code."""
    code = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        with (copy / ".log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        here = os.getcwd()
        os.chdir(copy)
        temporary = copy / ".tmp"
        temporary.mkdir(exist_ok=True)
        os.environ.update(PYTHONPATH=str(copy), TMPDIR=str(temporary), PYTHONDONTWRITEBYTECODE="1", HYPOTHESIS_PROFILE="ci")
        sys.dont_write_bytecode = True
        sys.path[:] = [str(copy), *(p for p in sys.path if p not in ("", here))]
        for name in [n for n in sys.modules if n == "tests" or n.startswith("tests.")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        import pytest

        files = list(dict.fromkeys(t.split("::")[0] for t in tests))
        flags = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={temporary / 'pytest'}"]
        code = int(pytest.main([*flags, *files], plugins=[_InOrder(tests, report)]))
    finally:
        os._exit(code)


class _InOrder:
    """Keep the wanted tests, in the wanted order, and note the one that fails."""

    def __init__(self, tests: list[str], report: Path) -> None:
        self.place, self.report = {t: i for i, t in enumerate(tests)}, report

    def pytest_collection_modifyitems(self, items: list) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda i: self.place[i.nodeid])
        if len(items) < len(self.place):
            self.report.write_text(f"{len(self.place) - len(items)} tests are gone")
            raise SystemExit(1)

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.report.write_text(f"collection of {report.nodeid}")

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.report.read_text():
            self.report.write_text(report.nodeid)
