"""Files appear whole or not at all: full disks, kills, links, folders in the way, and two runs at one place."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import collapse_theory as ct
from collapse_theory.core.writing import whole_folder, write_file
from collapse_theory.describe.files import load
from collapse_theory.present.report import write_report
from tests.helpers import ROOT

NAMES = ("a", "b", "c")


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def in_a_process(code, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process.stdout as out:
        assert out.readline().strip() == "ready"
    return process


HOLD = """
import sys, time
from pathlib import Path
from collapse_theory.core import writing
def wait(*_):
    print("ready", flush=True); time.sleep(60)
"""
HOLD_FILE = HOLD + "writing.os.fsync = wait\nwriting.write_file(Path(sys.argv[1]), 'half', 'checkpoint')\n"
HOLD_FOLDER = (
    HOLD
    + """
with writing.whole_folder(Path(sys.argv[1])) as (scratch, workshop):
    (scratch / 'a').write_text('half'); wait()
"""
)
KILL_BETWEEN = (
    HOLD
    + """
old = Path.replace
def replace(self, to):
    old(self, to)
    if self.name == 'a': wait()
Path.replace = replace
with writing.whole_folder(Path(sys.argv[1]), ('a', 'b', 'c')) as (scratch, workshop):
    (scratch / 'a').write_text('new'); (scratch / 'b').write_text('new')
"""
)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# ------------------------------------------------------------------ one file
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(call, tmp_path, monkeypatch):
    file = tmp_path / "run.json"
    write_file(file, "old", "checkpoint")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(ct.DomainError, match="No space left"):
        write_file(file, "new", "checkpoint")
    assert names(tmp_path) == ["run.json"]
    assert file.read_text() == "old"


def test_a_kill_leaves_the_old_file_and_the_next_run_cleans_up(tmp_path):
    file = tmp_path / "run[1].json"
    write_file(file, "old", "checkpoint")
    process = in_a_process(HOLD_FILE, file)
    assert len(names(tmp_path)) == 2
    write_file(file, "between", "checkpoint")  # the other run is alive: its part stays
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert file.read_text() == "between"
    write_file(file, "new", "checkpoint")
    assert names(tmp_path) == ["run[1].json"]
    assert file.read_text() == "new"


def test_a_file_keeps_its_mode_and_its_link(tmp_path):
    file, link = tmp_path / "real", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_file(link, "new", "checkpoint")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("what", ["folder", "dangling link", "no folder", "circle", "long name"])
def test_what_is_no_place_for_a_file(what, tmp_path):
    path = tmp_path / "x"
    if what == "folder":
        path.mkdir()
    elif what == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    elif what == "circle":
        path.symlink_to(path)
    elif what == "no folder":
        path = path / "y"
    else:
        path = tmp_path / ("x" * 300)
    before = names(tmp_path)
    with pytest.raises(ct.DomainError, match="checkpoint needs"):
        write_file(path, "new", "checkpoint")
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=9))
    with pytest.raises(ct.DomainError, match="checkpoint needs"):
        ct.simulate(pipe, spectrum=ct.Isotropic(3), target=ct.RandomTarget(), trials=2, checkpoint=path)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"format": 1}', "[" * 5000, "9" * 5000, '{"errors": [NaN]}', "\0"]
)
def test_a_file_of_another_kind_is_no_checkpoint_and_stays(content, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(content)
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=9))
    with pytest.raises(ct.DomainError, match="checkpoint needs"):
        ct.simulate(pipe, spectrum=ct.Isotropic(3), target=ct.RandomTarget(), trials=2, checkpoint=file)
    assert file.read_text() == content


# ------------------------------------------------------------------ a folder
def test_a_full_disk_leaves_no_folder(tmp_path, monkeypatch):
    def report():
        with whole_folder(tmp_path / "out", NAMES) as (scratch, _):
            write_file(scratch / "a", "whole", "report")
            monkeypatch.setattr(os, "fsync", full)
            write_file(scratch / "b", "half", "report")

    with pytest.raises(ct.DomainError, match="No space left"):
        report()
    assert names(tmp_path) == []


def test_a_second_run_at_the_same_folder_is_refused_while_the_first_lives(tmp_path):
    process = in_a_process(HOLD_FOLDER, tmp_path / "out")
    with pytest.raises(ct.DomainError, match="no other run"), whole_folder(tmp_path / "out"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(tmp_path) == [".out.partial"]
    with whole_folder(tmp_path / "out") as (scratch, _):
        (scratch / "b").write_text("whole")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["b"]


def test_a_run_killed_between_two_files_is_completed_by_the_next(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a", "b", "c", "mine"):
        (out / name).write_text("old")
    process = in_a_process(KILL_BETWEEN, out)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ((out / "a").read_text(), (out / "b").read_text()) == ("new", "old")

    class StopError(Exception):
        pass

    with pytest.raises(StopError), whole_folder(out, NAMES):
        raise StopError
    assert {p.name: p.read_text() for p in out.iterdir()} == {"a": "new", "b": "new", "mine": "old"}
    assert names(tmp_path) == ["out"]


def test_two_runs_do_not_mix_in_one_folder(tmp_path):
    out = tmp_path / "out"
    for made in (("a", "b"), ("b", "c")):
        with whole_folder(out, NAMES) as (scratch, _):
            for name in made:
                (scratch / name).write_text(str(made))
        (out / "mine").write_text("kept")
    assert names(out) == ["b", "c", "mine"]


@pytest.mark.parametrize("what", ["file", "dangling link", "circle", "folder of a name", "under a file"])
def test_what_is_no_place_for_a_folder(what, tmp_path):
    out = tmp_path / "out"
    if what == "file":
        out.write_text("mine")
    elif what == "dangling link":
        out.symlink_to(tmp_path / "nowhere")
    elif what == "circle":
        out.symlink_to(out)
    elif what == "folder of a name":
        (out / "a").mkdir(parents=True)
    else:
        out.write_text("mine")
        out = out / "deeper"
    before = names(tmp_path)
    with pytest.raises(ct.DomainError, match="output needs"), whole_folder(out, NAMES):
        raise AssertionError("too late: the work has begun")
    assert names(tmp_path) == before


def test_an_interrupted_study_is_forgotten_by_another(tmp_path):

    text = 'spectrum = "isotropic:d=4"\ntarget = "random:norm2=1"\nworkflow = "accumulate"\n'
    text += "trials = 5\ngenerations = 1\n[stage]\nT = 9\nnoise = {}\n"

    def stop(_what, done, _total):
        if done == 1:
            raise KeyboardInterrupt

    for noise, interrupt in ((0.5, stop), (0.6, None)):
        (tmp_path / "f.toml").write_text(text.format(noise))
        settings = load(tmp_path / "f.toml")[1]
        if interrupt is None:
            write_report(settings, tmp_path / "out")
        else:
            with pytest.raises(KeyboardInterrupt):
                write_report(settings, tmp_path / "out", interrupt)
            assert (tmp_path / ".out.partial").exists()
    assert names(tmp_path) == ["f.toml", "out"]


def test_processes_that_race_leave_one_whole_file(tmp_path):
    code = (
        "import sys; from pathlib import Path; from collapse_theory.core.writing import write_file; print('ready', flush=True)\n"
        "for i in range(40): write_file(Path(sys.argv[1]), sys.argv[2] * 1000, 'checkpoint')"
    )
    file = tmp_path / "run.json"
    processes = [in_a_process(code, file, letter) for letter in "abc"]
    deadline = time.monotonic() + 60
    assert [p.wait(deadline - time.monotonic()) for p in processes] == [0, 0, 0]
    assert names(tmp_path) == ["run.json"]
    assert file.read_text() in {letter * 1000 for letter in "abc"}


@pytest.fixture
def small_disk():
    """Let no file grow beyond four kilobytes, as a disk that is full does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def shrink():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))

    yield shrink
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_that_does_not_fit_leaves_the_old_one(tmp_path, small_disk):
    path = tmp_path / "run.json"
    pipe = ct.workflows.replace(0, downstream=ct.Stage(T=12, noise=0.5))
    how = {"spectrum": ct.Isotropic(3), "target": ct.RandomTarget(), "checkpoint": path}
    first = ct.simulate(pipe, trials=5, **how)
    before = path.read_bytes()
    small_disk()
    with pytest.raises((ct.CollapseTheoryError, OSError)):
        ct.simulate(pipe, trials=2000, **how)
    kept = json.loads(path.read_text())  # whole, and of this problem
    assert kept["errors"][:5] == first.errors.tolist()
    assert len(before) <= len(path.read_bytes()) <= 4096
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_does_not_fit_leaves_the_old_files(tmp_path, small_disk):
    out = tmp_path / "out"
    with whole_folder(out) as (scratch, _):
        (scratch / "a").write_text("old")

    def write():
        with whole_folder(out) as (scratch, _):
            (scratch / "a").write_text("new")
            (scratch / "b").write_text("x" * 10_000)

    small_disk()
    with pytest.raises((ct.CollapseTheoryError, OSError)):
        write()
    assert {p.name: p.read_text() for p in out.iterdir()} == {"a": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_files_of_a_block_appear_together(tmp_path):
    """While the block runs nothing is seen in the folder."""
    out = Path(tmp_path / "out")
    with whole_folder(out) as (scratch, _):
        (scratch / "a").write_text("1")
        assert not out.exists() or not list(out.iterdir())
        assert tmp_path in scratch.parents  # the same disk: a move, not a copy
    assert [p.name for p in out.iterdir()] == ["a"]
