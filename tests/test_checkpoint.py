"""Checkpoints: a killed simulation resumes, and a file of another problem is refused."""

import json
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.simulate.regression_trial import linear_trial
from tests.helpers import ROOT, SMALL, three_rounds


class Counting:
    """Linear regression that counts its trials, and takes its time."""

    def __init__(self, seconds=0.0, fail_at=None):
        self.calls, self.seconds, self.fail_at = 0, seconds, fail_at

    def trial(self, pipeline, model, setting):
        inner = linear_trial(pipeline, model, setting)

        class Trial:
            fingerprint = inner.fingerprint

            def __call__(_, rng):
                if self.calls == self.fail_at:
                    raise KeyboardInterrupt
                self.calls += 1
                time.sleep(self.seconds)
                return inner(rng)

        return Trial()


CHILD = """
import sys
from tests.test_checkpoint import SMALL, Counting, ct, three_rounds
ct.simulate(three_rounds(), family=Counting(0.1), **SMALL, trials=1000, seed=3, checkpoint=sys.argv[1])
"""


def test_checkpoint_survives_a_kill(tmp_path):
    path = tmp_path / "run.json"
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(CHILD), str(path)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not (path.is_file() and len(json.loads(path.read_text())["errors"]) >= 3):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    finished = len(json.loads(path.read_text())["errors"])
    assert 3 <= finished < 30
    counting = Counting()
    resumed = ct.simulate(three_rounds(), family=counting, **SMALL, trials=30, seed=3, checkpoint=path)
    assert counting.calls == 30 - finished
    np.testing.assert_array_equal(resumed.errors, ct.simulate(three_rounds(), **SMALL, trials=30, seed=3).errors)
    again = ct.simulate(three_rounds(), family=counting, **SMALL, trials=10, seed=3, checkpoint=path)
    assert counting.calls == 30 - finished
    np.testing.assert_array_equal(again.errors, resumed.errors[:10])
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".part"] == ["run.json"]


def test_interrupt_keeps_what_is_done(tmp_path):
    path = tmp_path / "run.json"
    with pytest.raises(KeyboardInterrupt):
        ct.simulate(three_rounds(), family=Counting(fail_at=3), **SMALL, trials=9, checkpoint=path)
    counting = Counting()
    resumed = ct.simulate(three_rounds(), family=counting, **SMALL, trials=9, checkpoint=path)
    assert counting.calls <= 8
    np.testing.assert_array_equal(resumed.errors, ct.simulate(three_rounds(), **SMALL, trials=9).errors)
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_checkpoint_of_another_problem_is_refused(tmp_path):
    path = tmp_path / "run.json"
    how = {**SMALL, "trials": 3, "checkpoint": path}
    ct.simulate(three_rounds(), **how)
    ct.simulate(three_rounds(), **how)  # another Pipeline object, the same problem
    before = path.read_bytes()
    for pipe, change in (
        (three_rounds(), {"seed": 1}),
        (three_rounds(T=11), {}),
        (three_rounds(ridge=0.1), {}),
        (three_rounds(), {"target": ct.RandomTarget(norm2=2)}),
        (three_rounds(), {"spectrum": ct.PowerLaw(6, beta=2)}),
    ):
        with pytest.raises(ct.DomainError, match="another problem"):
            ct.simulate(pipe, **{**how, **change})
    assert path.read_bytes() == before


def test_checkpoint_of_another_pipeline_of_tokens_is_refused(tmp_path):
    """Rows, weights, pools and labellers tell pipelines apart, of a family with its own simulation too."""

    def pipeline(T=6, weights=(1, 1), chosen=2, labellers=(ct.TRUTH, 0, 1), source=0):
        pipe = ct.Pipeline()
        first = pipe.sample(T=5)
        fits = {ct.TRUTH: ct.TRUTH, 0: pipe.fit(first), 1: pipe.fit(pipe.sample(T=3))}
        mixed = pipe.sample(T=4, source=ct.one_of(*(fits[m] for m in labellers)))
        pool = pipe.subsample([first, pipe.samples[1], mixed][:chosen], T=2)
        pipe.fit([pipe.sample(T=T, source=fits[source]), pool, mixed], weights=[*weights, 1])
        return pipe

    path, family = tmp_path / "run.json", ct.Categorical([0.2, 0.8])
    how = {"family": family, "trials": 2, "checkpoint": path}
    first = ct.simulate(pipeline(), **how)
    np.testing.assert_array_equal(ct.simulate(pipeline(), **how).errors, first.errors)
    changes = (
        {"T": 7},
        {"weights": (1, 2)},
        {"chosen": 3},
        {"labellers": (0, 1)},
        {"source": 1},
        {"source": ct.TRUTH},
    )
    for change in changes:
        with pytest.raises(ct.DomainError, match="checkpoint"):
            ct.simulate(pipeline(**change), **how)
    with pytest.raises(ct.DomainError, match="checkpoint"):
        ct.simulate(pipeline(), **{**how, "family": ct.Categorical([0.3, 0.7])})


def test_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.json"
    how = {**SMALL, "trials": 3, "checkpoint": path}
    ct.simulate(three_rounds(), **how)
    whole = path.read_text()
    digit = whole.index("0.") + 4
    for damaged in (
        "",
        whole[:-20],
        whole[:digit] + str(9 - int(whole[digit])) + whole[digit + 1 :],
        "[]",
        "null",
        "\x00\xff",
    ):
        path.write_text(damaged, encoding="latin-1")
        with pytest.raises(ct.DomainError, match=r"damaged|readable"):
            ct.simulate(three_rounds(), **how)
    with pytest.raises(ct.DomainError, match="can be written"):
        ct.simulate(three_rounds(), **SMALL, trials=3, checkpoint=tmp_path / "missing" / "run.json")
