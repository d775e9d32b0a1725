"""Run the tests on mistakes: a warm process that forks one child per mistake, each in a private copy of the tree.

The parent imports what is slow and is not ours (SymPy, SciPy, Hypothesis, ...) once and never the package; a child starts with
all that and with nothing of the package. A child that dies, hangs or fails a test has killed its mistake.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.covering import Map
from tests.mutants.sites import Site

__all__ = ["Outcome", "copy_of_tree", "run_all", "warm_up"]

_WARM = (
    "numpy", "scipy.linalg", "scipy.special", "scipy.integrate", "scipy.optimize", "scipy.sparse.linalg", "scipy.stats", "sympy",
    "sympy.printing.latex", "mpmath", "hypothesis", "hypothesis.extra.numpy", "pytest", "_pytest.doctest", "lark",
    "typer", "typer.testing",
    "rich.table", "rich.progress", "joblib", "threadpoolctl", "sklearn.datasets", "matplotlib.figure",
    "matplotlib.backends.backend_agg",
)  # fmt: skip
_FIRST = 6.0  # seconds of tests in the first batch: most mistakes die there
_MEMORY = 8 << 30
_BROKEN = 70


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
        [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "collapse_theory"],
        cwd=to,
        check=True,
    )
    return to


def order(site: Site, known: Map) -> list[str]:
    """Return the tests to run on a site: those that run its line, then its function, then its file; fastest first.

    A line that every import runs says nothing: on a decorator or a default the tests of its function come first, elsewhere those
    that run a line where the name it defines is used, then those whose file shares a word of the path.
    """
    line = known.tests(site.file, site.line)
    if site.function[0] > 1:
        function = known.tests(site.file, *site.function)
        if site.line <= site.function[0]:
            function, line = function + line, []
    else:
        path = Path(site.file)
        words = {path.stem, path.parent.name, path.stem.rstrip("s"), path.parent.name.rstrip("s")} - {
            "collapse_theory",
            "",
        }
        fastest = sorted(known.seconds, key=lambda t: (known.seconds[t], t))
        related = [t for t in fastest if any(w in t.split("::")[0] for w in words)]
        function, line = [*_tests_of_uses(site, known), *related, *line], []
    return list(dict.fromkeys([*line, *function, *known.users(site.file)]))


def _tests_of_uses(site: Site, known: Map) -> list[str]:
    """Return the tests that run a statement with the name that a module-level line defines, rarely run statements first.

    A statement of several lines is recorded at its first.
    """
    root = Path(__file__).resolve().parents[2]
    named = re.match(r"(\w+)\b[^=(]*=", (root / site.file).read_text(encoding="utf-8").splitlines()[site.line - 1])
    if named is None:
        return []
    word = re.compile(rf"\b{named[1]}\b")
    package = Path(site.file).parts[0]
    uses: list[list[str]] = []
    for path in sorted((root / package).rglob("*.py")):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        for f in (f for f in ast.walk(ast.parse(source)) if isinstance(f, ast.FunctionDef)):
            for s in (s for s in ast.walk(f) if isinstance(s, ast.stmt) and s is not f):
                header = source.splitlines()[
                    s.lineno - 1 : s.body[0].lineno - 1 if hasattr(s, "body") else s.end_lineno
                ]
                if word.search("\n".join(header)):
                    uses.append(known.tests(name, s.lineno))
    return [t for tests in sorted(uses, key=len) for t in tests]


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
            del live[pid]
            if job.end(status if ended else None) or job.start():
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
        self.suspects: list[str] = []
        self.said = ""

    def start(self) -> bool:
        """Fork a child for the next batch; False if there is none."""
        size = min(_FIRST, self.limit) if self.first else self.limit
        batch: list[str] = []
        for t in self.outcome.left:
            if batch and size < self.known.seconds[t]:
                break
            size -= self.known.seconds[t]
            batch.append(t)
        if self.outcome.killer is not None or not batch or self.limit <= 0:
            return False
        self.batch, self.first = batch, False
        self.limit -= sum(self.known.seconds[t] for t in batch)
        self.fork(batch, self.outcome.site.plant(self.source))
        return True

    def fork(self, batch: list[str], source: bytes) -> None:
        """Run tests on a source in a child."""
        self.file.write_bytes(source)
        self.began = time.monotonic()
        work = 30 + 5 * sum(self.known.seconds.get(t, 1.0) for t in batch)
        self.deadline = (
            self.began + 60 + 10 * work
        )  # a process that sleeps for ever; one that works is stopped by its limit
        self.report = self.copy / ".killer"
        self.report.write_text("")
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _child(self.copy, batch, self.report, int(work))

    def end(self, status: int | None) -> bool:
        """Read what the child found, ``status`` None where it had to be stopped; True if another child has been started.

        Tests that fail, vanish or cannot be collected with the mistake are run once more without it: only if they pass then, they
        have killed.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if status is None:
            os.waitpid(self.pid, 0)
        o = self.outcome
        o.seconds += time.monotonic() - self.began
        if self.suspects:  # this was the control
            suspects, self.suspects = set(self.suspects), []
            if status == 0:
                o.killer = self.said
            else:
                print(f"fails without a mistake, not used: {self.said}", file=sys.stderr, flush=True)
                o.left = [t for t in o.left if t not in suspects]
                self.limit += sum(self.known.seconds[t] for t in self.batch)
            return False
        said = self.report.read_text().strip()
        if status is not None and os.waitstatus_to_exitcode(status) == _BROKEN and not said:
            raise RuntimeError(f"the child did not come to the tests:\n{(self.copy / '.log').read_text()[-2000:]}")
        if status == 0:
            o.run += len(self.batch)
            o.left = o.left[len(self.batch) :]
            return False
        what, *named = said.split("\n")
        suspects = named if what in {"gone", "not collected"} else [what]
        if suspects and all(t in self.known.seconds for t in suspects):
            self.suspects, self.said = suspects, what if [what] == suspects else f"{what}: {suspects[0]}"
            self.fork(suspects, self.source)
            return True
        hung = status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
        o.killer = said or ("time limit" if hung else f"the process died ({status})")
        return False

    def restore(self) -> None:
        """Take the mistake out of the copy."""
        self.file.write_bytes(self.source)


def _child(copy: Path, tests: list[str], report: Path, work: int) -> None:
    """Run tests in order until the first fails, and end the process with the exit code."""
    code = _BROKEN
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        used = os.times()
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.user + used.system) + work, resource.RLIM_INFINITY))
        with (copy / ".log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        here = str(Path.cwd())
        os.chdir(copy)
        temporary = copy / ".tmp"
        temporary.mkdir(exist_ok=True)
        os.environ.update(
            PYTHONPATH=str(copy), TMPDIR=str(temporary), PYTHONDONTWRITEBYTECODE="1", HYPOTHESIS_PROFILE="ci"
        )
        sys.dont_write_bytecode = True
        sys.path[:] = [str(copy), *(p for p in sys.path if p not in ("", here))]
        for name in [n for n in sys.modules if n == "tests" or n.startswith("tests.")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        import pytest

        files = list(dict.fromkeys(t.split("::")[0] for t in tests))
        flags = [
            "-x",
            "-q",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            f"--basetemp={temporary / 'pytest'}",
        ]
        code = int(pytest.main([*flags, *files], plugins=[_InOrder(tests, report)]))
    except BaseException:  # whatever it is, it must not unwind into the parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class _InOrder:
    """Keep the wanted tests, in the wanted order, and note the one that fails."""

    def __init__(self, tests: list[str], report: Path) -> None:
        self.place, self.report = {t: i for i, t in enumerate(tests)}, report

    def pytest_collection_modifyitems(self, items: list) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda i: self.place[i.nodeid])
        if len(items) < len(self.place):
            there = {i.nodeid for i in items}
            self.report.write_text("\n".join(["gone", *(t for t in self.place if t not in there)]))
            raise SystemExit(1)

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            there = [t for t in self.place if t.split("::")[0] == report.nodeid.split("::")[0]]
            self.report.write_text("\n".join(["not collected", *there]))

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.report.read_text():
            self.report.write_text(report.nodeid)
