"""Sweeps: every point is what evaluate and simulate give there, whatever the workers and whatever happens to them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.study import sweep as module
from collapse_theory.study.sweep import Runs, simulated, sweep_writer
from tests.helpers import call, call_json

xarray = pytest.importorskip("xarray", reason="the extra data")

ERR = ct.catalog["ols-replace"].error
HERE = {"spectrum": ct.Isotropic(5), "T0": 20, "sigma": 0.5, "sigma0": 0.3}


def test_axes_are_the_lists_in_their_order():
    out = ERR.sweep(n=[0, 3], T=range(20, 50, 10), **HERE)
    assert isinstance(out, xarray.DataArray)
    assert out.dims == ("n", "T")
    for n in (0, 3):
        for T in (20, 30, 40):
            assert float(out.sel(n=n, T=T)) == pytest.approx(ERR.evaluate(n=n, T=T, **HERE), rel=1e-13)
    assert out.attrs["regime"] == "exact"
    assert out.attrs["T0"] == 20
    assert ERR.sweep(n=1, T=20, **HERE).dims == ()


def test_rounds_without_a_closed_form():
    err = ct.catalog["ridge-accumulate"].error
    here = {"spectrum": ct.Isotropic(10), "target": ct.RandomTarget(), "lam": 0.1, "sigma": 0.5}
    out = err.sweep(n=[1, 4], T=[20, 30], **here)
    assert float(out.sel(n=4, T=30)) == pytest.approx(err.evaluate(n=4, T=30, **here), rel=1e-13)


def test_each_point_is_simulated_as_ct_simulate_does(tmp_path):
    out = ERR.sweep(T=[20, 30], n=[0, 1], trials=6, seed=3, **HERE)
    assert list(out.data_vars) == ["theory", "mean", "sem"]
    pipe, values = ERR.described({"T": 30, "n": 1, **{k: v for k, v in HERE.items() if k != "spectrum"}})
    one = ct.simulate(pipe, spectrum=HERE["spectrum"], target=ct.RandomTarget(norm2=0), trials=6, seed=3, **values)
    at = out.sel(T=30, n=1)
    assert (float(at["mean"]), float(at["sem"])) == (one.mean, one.sem)


def test_numbers_do_not_depend_on_workers_and_nothing_is_done_twice(tmp_path, monkeypatch):
    axes, fixed = {"T": np.array([20, 30, 40])}, {k: v for k, v in HERE.items() if k != "spectrum"}
    about = {"spectrum": HERE["spectrum"], "target": ct.RandomTarget()}
    runs = Runs(5, checkpoint=tmp_path)
    alone = simulated(ERR, axes, {**fixed, "n": 1}, about, Runs(5))
    with joblib.parallel_config(backend="threading"):
        shared = simulated(ERR, axes, {**fixed, "n": 1}, about, Runs(5, jobs=2, checkpoint=tmp_path))
    for a, b in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(a.errors, b.errors)
    ran = []
    whole = module.simulate
    monkeypatch.setattr(
        module, "simulate", lambda *a, **k: ran.append(Path(k["checkpoint"]).exists()) or whole(*a, **k)
    )
    again = simulated(ERR, {"T": np.array([40, 50])}, {**fixed, "n": 1}, about, runs)  # the grid has grown
    assert ran == [True, False]
    np.testing.assert_array_equal(again[0].errors, alone[2].errors)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"n": [], "T": 20}, "list of numbers"),
        ({"n": [[1]], "T": 20}, "an axis is a list"),
        ({"n": [1, 1], "T": 20}, "once"),
        ({"n": ["a"], "T": 20}, "real number"),
        ({"n": 1}, "T"),
        ({"n": 1, "T": 20, "trials": 1}, "trials"),
        ({"n": 1, "T": 20, "trials": 2, "test_noise": 1.0}, "test_noise"),
        ({"n": 1, "T": 20, "trials": 2, "jobs": 0}, "jobs"),
        ({"n": 1, "T": [20, 3]}, "T"),
    ],
)
def test_bad_sweeps(values, what):
    with pytest.raises(ct.DomainError, match=what):
        ERR.sweep(**HERE, **values)


def test_what_is_no_pipeline_is_not_simulated():
    with pytest.raises(ct.DomainError, match="without trials"):
        ERR.diff("sigma").sweep(n=1, T=[20, 30], trials=2, **HERE)


def test_a_missing_extra_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ct.DomainError, match=r"pip install 'collapse-theory\[data\]'"):
        ERR.sweep(n=1, T=[20, 30], **HERE)


def test_families_are_swept_too():
    family = ct.Categorical([0.5, 0.3, 0.2])
    pipe = ct.workflows.accumulate(2, ct.Stage(T=ct.symbols.T))
    out = ct.test_error(pipe, family=family).sweep(T=[10, 40], trials=200)
    assert (abs(out["mean"] - out["theory"]) < 4 * out["sem"]).all()


# ---------------------------------------------------------------------- files
FILE = """
spectrum = "isotropic:d=5"
target = "random:norm2=1"
workflow = "accumulate"
stage = {T = 20, noise = 0.5, ridge = "lam"}
[sweep]
lam = [0.1, 1.0, 3.0]
generations = [1, 3]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(FILE)
    return path


def test_the_command_writes_netcdf_and_csv(file, tmp_path):
    out = str(tmp_path / "out.nc")
    told = call_json("sweep", str(file), "-o", out, "--trials", "3", "--checkpoint", str(tmp_path / "points"))
    assert told["axes"] == {"lam": 3, "generations": 2}
    with xarray.open_dataset(tmp_path / "out.nc", engine="scipy") as out:
        assert out["theory"].dims == ("lam", "generations")
        pipe = ct.workflows.accumulate(3, ct.Stage(T=20, noise=0.5, ridge=1.0))
        value = ct.test_error(pipe).evaluate(spectrum=ct.Isotropic(5), target=ct.RandomTarget())
        assert float(out["theory"].sel(lam=1.0, generations=3)) == pytest.approx(value, rel=1e-12)
        assert set(out.data_vars) == {"theory", "mean", "sem"}
    call("sweep", str(file), "-o", str(tmp_path / "out.csv"))
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "lam,generations,theory"
    assert len(lines) == 7


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ct.ParseError, match=r"\.nc or \.csv"):
        sweep_writer(tmp_path / "out.txt")
    with pytest.raises(ct.DomainError, match="no existing folder"):
        sweep_writer(tmp_path / "none" / "out.nc")


# ---------------------------------------------------------------------- pictures
def test_a_picture_has_a_line_per_value_and_points_with_bars():
    figure = ERR.plot("T", T=[10, 30, 200], n=[0, 2], trials=4, points=2, **HERE)
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [len(c.lines[0].get_xdata()) for c in axes.containers] == [2, 2]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["$n$ = 0", "$n$ = 2", "simulation"]
    terms = ERR.plot("n", T=30, terms=True, ax=axes, **HERE)
    assert terms is figure
    with pytest.raises(ct.DomainError, match=r"pass T=\[\.\.\.\]"):
        ERR.plot("T", n=1, **HERE)
    with pytest.raises(ct.DomainError, match="at most one more"):
        ERR.plot("T", T=[10, 20], n=[1, 2], sigma=[1, 2], **{k: v for k, v in HERE.items() if k != "sigma"})


# ---------------------------------------------------------------------- clusters
@pytest.mark.heavy
def test_a_dask_worker_that_is_killed_changes_no_number(tmp_path):
    distributed = pytest.importorskip("distributed")
    about = {"spectrum": ct.Isotropic(80), "target": ct.RandomTarget()}
    axes = {"T": np.arange(100, 108)}
    fixed = {"n": 2, "T0": 100, "sigma": 0.5, "sigma0": 0.3}
    alone = simulated(ERR, axes, fixed, about, Runs(200))
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        victim = next(iter(client.run(os.getpid).values()))
        code = (
            "import os, pathlib, signal, time\n"
            f"folder = pathlib.Path({str(tmp_path)!r})\n"
            "while len(list(folder.glob('*.json'))) < 3: time.sleep(0.05)\n"
            f"os.kill({victim}, signal.SIGKILL)\n"
        )
        killer = subprocess.Popen([sys.executable, "-c", code])
        shared = simulated(ERR, axes, fixed, about, Runs(200, jobs=-1, checkpoint=tmp_path))
        assert killer.wait(30) == 0  # it was killed while the sweep ran
        assert victim not in client.run(os.getpid).values()
    for a, b in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(a.errors, b.errors)


@pytest.mark.heavy
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path):
    code = (
        "import collapse_theory as ct\n"
        "out = ct.catalog['ols-replace'].error.sweep(T=[100, 101, 102], n=2, T0=100, sigma=0.5, sigma0=0.3, trials=400,\n"
        f"    spectrum=ct.Isotropic(80), target=ct.RandomTarget(), checkpoint={str(tmp_path)!r})\n"
        "print(out['mean'].values.tolist())\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code])
    while len(list(tmp_path.glob("*.json"))) < 2:
        time.sleep(0.05)
    first.kill()
    first.wait()
    kept = sum(len(json.loads(p.read_text())["errors"]) for p in tmp_path.glob("*.json"))
    assert 400 <= kept < 1200
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    values = {"T": [100, 101, 102], "n": 2, "T0": 100, "sigma": 0.5, "sigma0": 0.3}
    whole = ERR.sweep(**values, trials=400, spectrum=ct.Isotropic(80), target=ct.RandomTarget())
    assert json.loads(out.stdout) == whole["mean"].values.tolist()
