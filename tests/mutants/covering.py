"""Which tests run a line of the package, and how long each takes: one run of the suite under coverage, kept in a file.

The module is a pytest plugin. Before each test it empties the package's caches and forgets derived theorems, so that a test is
seen to run what it would run alone; a process that a test starts reports its lines to that test. A later run repeats only the
tests that are new or that touch a file that has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

__all__ = ["Map", "record"]

PACKAGE = "collapse_theory"
_FOLDER, _SKIP = "MUTANTS_FOLDER", "MUTANTS_SKIP"
_CONTEXT = "MUTANTS_TEST"


@dataclass
class Map:
    """Tests, their seconds, and the lines each runs.

    Attributes:
        hashes: Digest of every file the tests may read, by path.
        seconds: Duration of each test, by its name.
        lines: Lines of the package by test and file.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def tests(self, file: str, first: int, last: int | None = None) -> list[str]:
        """Return the tests that run a line between ``first`` and ``last`` of a file, fastest first."""
        span = range(first, (first if last is None else last) + 1)
        hit = [t for t, files in self.lines.items() if not set(span).isdisjoint(files.get(file, ()))]
        return sorted(hit, key=lambda t: (self.seconds[t], t))

    def users(self, file: str) -> list[str]:
        """Return the tests that run any line of a file inside a function, fastest first."""
        return sorted((t for t, files in self.lines.items() if file in files), key=lambda t: (self.seconds[t], t))

    def fresh(self, root: Path, hashes: dict[str, str]) -> list[str]:
        """Return the tests whose own file, helpers and lines of the package have not changed since they were recorded."""
        changed = {f for f in {*hashes, *self.hashes} if hashes.get(f) != self.hashes.get(f)}
        if "tests/conftest.py" in changed:
            return []
        helpers = {Path(f).stem for f in changed if f.startswith("tests/") and not Path(f).stem.startswith("test_")}
        for f in [f for f in hashes if f.startswith("tests/")]:
            if helpers & set(re.findall(r"\w+", (root / f).read_text(encoding="utf-8"))):
                changed.add(f)
        scripts = any(f.startswith(("derivations/", "examples/")) for f in changed)
        return [
            t
            for t, files in self.lines.items()
            if t.split("::")[0] not in changed and changed.isdisjoint(files) and not (scripts and "derivation" in t)
        ]


def record(root: Path, folder: Path, workers: int, *, stale: bool = False) -> Map:
    """Return the map of the tree at ``root``, recording only what ``folder`` does not already know; nothing if ``stale``."""
    store, hashes = folder / "map.json", digests(root)
    known = Map(**json.loads(store.read_text())) if store.is_file() else Map()
    if known.hashes == hashes or (stale and known.lines):
        return known
    fresh = known.fresh(root, hashes)
    raw = folder / f"raw-{uuid.uuid4().hex}"
    raw.mkdir(parents=True)
    (raw / "skip.json").write_text(json.dumps(fresh))
    (raw / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    (raw / "rc").write_text(
        f"[run]\nsource = {root / PACKAGE}\ncontext = ${{{_CONTEXT}}}\nparallel = true\ndata_file = {raw / 'lines'}\n"
        "disable_warnings = no-data-collected,module-not-imported\n"
    )
    environment = {**os.environ, _FOLDER: str(raw), "PYTHONPATH": f"{root}", "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.mutants.covering",
        "-p",
        "no:cacheprovider",
        "-n",
        str(workers),
    ]
    print(f"mapping lines to tests; {len(fresh)} tests are known", file=sys.stderr, flush=True)
    run = subprocess.run(
        [*command, "--dist", "worksteal"], cwd=root, env=environment, check=False, capture_output=True, text=True
    )
    (folder / "map.log").write_text(run.stdout + run.stderr)
    if run.returncode not in {0, 1}:
        raise SystemExit(
            f"the tests need to run before mistakes are planted:\n{run.stdout[-3000:]}{run.stderr[-1000:]}"
        )
    out = _read(raw, root, hashes, known, set(fresh))
    store.write_text(json.dumps(out.__dict__))
    for path in raw.iterdir():
        path.unlink()
    raw.rmdir()
    return out


def digests(root: Path) -> dict[str, str]:
    """Return the digest of every file that a test may read."""
    suffixes = {".py", ".toml", ".md", ".txt", ".json"}
    files = (p for p in sorted(root.rglob("*")) if p.suffix in suffixes and p.is_file())
    names = ((p.relative_to(root).as_posix(), p) for p in files)
    return {
        n: hashlib.sha256(p.read_bytes()).hexdigest()[:16]
        for n, p in names
        if not n.startswith(("tests/mutants/", "."))
    }


def _failed(raw: Path) -> set[str]:
    """Return the tests that fail without any mistake, by the clock for instance: they can kill nothing."""
    failed = {t for path in raw.glob("tests-*.json") for t in json.loads(path.read_text())["failed"]}
    for t in sorted(failed):
        print(f"fails without a mistake, not used: {t}", file=sys.stderr)
    return failed


def _read(raw: Path, root: Path, hashes: dict[str, str], known: Map, fresh: set[str]) -> Map:
    collected: set[str] = set()
    out = Map(hashes=hashes)
    for path in raw.glob("tests-*.json"):
        part = json.loads(path.read_text())
        collected |= set(part["collected"])
        out.seconds.update(part["seconds"])
    for t in _failed(raw):
        out.seconds.pop(t, None)
    for t in fresh & collected:
        out.seconds[t], out.lines[t] = known.seconds[t], known.lines[t]
    for path in raw.glob("lines*"):
        data = coverage.CoverageData(str(path))
        data.read()
        for file in data.measured_files():
            name = Path(file).relative_to(root).as_posix()
            for line, contexts in data.contexts_by_lineno(file).items():
                for test in contexts:
                    if test in out.seconds and test not in fresh:
                        out.lines.setdefault(test, {}).setdefault(name, []).append(line)
    for t in out.seconds:
        out.lines.setdefault(t, {})
    return out


class _Recorder:
    """Record the lines and the seconds of every test of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seconds, self.collected, self.failed = folder, {}, [], []
        self.cover = coverage.Coverage(
            data_file=str(folder / f"lines-{os.getpid()}"), source_pkgs=[PACKAGE], config_file=False, messages=False
        )
        self.cover.set_option(
            "run:disable_warnings", ["no-data-collected", "module-not-imported", "module-not-measured"]
        )
        self.cover.start()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        skip = set(json.loads((self.folder / "skip.json").read_text()))
        self.collected = [i.nodeid for i in items]
        items[:] = [i for i in items if i.nodeid not in skip]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        forget()
        self.cover.switch_context(item.nodeid)
        os.environ[_CONTEXT] = item.nodeid
        start = _work()
        yield
        self.seconds[item.nodeid] = _work() - start
        self.cover.switch_context("")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.cover.stop()
        self.cover.save()
        out = {"collected": self.collected, "seconds": self.seconds, "failed": self.failed}
        (self.folder / f"tests-{os.getpid()}.json").write_text(json.dumps(out))


def _work() -> float:
    """Return the processor seconds of this process and its children: what a busy machine does not change."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def forget() -> None:
    """Empty the caches of the package and forget every derived theorem."""
    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGE):
            for thing in list(vars(module).values()):
                if hasattr(thing, "cache_clear"):
                    thing.cache_clear()
    theorem = sys.modules.get(f"{PACKAGE}.theorems.theorem")
    for th in theorem.REGISTRY.values() if theorem else ():
        vars(th).pop("error", None)


def pytest_configure(config: Any) -> None:
    """Record in the processes that run tests, and let the processes they start report too."""
    if _FOLDER in os.environ and (hasattr(config, "workerinput") or not config.getoption("numprocesses", None)):
        folder = Path(os.environ[_FOLDER])
        config.pluginmanager.register(_Recorder(folder))
        os.environ["COVERAGE_PROCESS_START"] = str(folder / "rc")
        os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
