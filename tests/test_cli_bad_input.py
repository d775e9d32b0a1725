"""Bad input on the command line: exit code 2, a message, no traceback, in bounded time, and nothing left behind."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from collapse_theory.cli.main import app

BASE = (Path(__file__).parent.parent / "examples" / "chain.toml").read_text()
OLS = ["ols-replace", "--set", "T=80", "--set", "T0=90", "--set", "n=3", "--set", "sigma=0.5", "--set", "sigma0=0.4"]
RIDGE = ["ridge-clean", "--target", "random:norm2=1", "--set", "T=80", "--set", "sigma=0.5", "--set", "lam=0.1"]


def refused(*arguments):
    start = time.monotonic()
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 2, (result.output[-500:], result.exception)
    assert "Traceback" not in result.output
    assert len(result.output) < 4000
    assert time.monotonic() - start < 20
    return result.output


FILES = {
    "brackets": BASE + "\nx = " + "[" * 5000 + "]" * 5000,
    "dotted key": BASE + "\n[values]\n" + ".".join("a" * 3000) + " = 1",
    "quoted dotted key": BASE + "\n[values]\n" + " . ".join(['"a b"'] * 3000) + " = 1",
    "inline tables": BASE + "\nx = " + "{a=" * 3000 + "1" + "}" * 3000,
    "digits": "x = " + "9" * 5000,
    "negative digits": BASE + "\n[values]\nlam = -" + "9" * 5000,
    "hexadecimal": BASE + "\n[values]\nlam = 0x" + "f" * 5000,
    "nested tables": BASE + "\n" + "\n".join(f"[{'.'.join('a' * i)}]" for i in range(1, 60)),
    "power of a sum": BASE.replace('"lam"', '"(lam+1)**1000"'),
    "merged powers": BASE.replace('"lam"', '"((lam+1)^30)^30"'),
    "many terms": BASE.replace('"lam"', '"(lam+k+w+phi+r)^30"'),
    "tower": BASE.replace('"lam"', '"9**9**9**9"'),
    "sum with a real bound": BASE.replace('"lam"', '"Sum(1/i^2, (i, 1, lam))"'),
    "sum with a fraction": BASE.replace('"lam"', '"Sum(1/i^2, (i, 1, 5/2))"'),
    "backward sum": BASE.replace('"lam"', '"Sum(1/i^2, (i, 5, 1))"'),
    "imaginary": BASE.replace('"lam"', '"lam*sqrt(-1)"'),
    "reserved symbol": BASE.replace('"lam"', '"terms"').replace("lam =", "terms ="),
    "values of an argument": BASE + '\n[values]\n"m1.ridge" = 0.5\n',
    "no file": None,
    "too large": "#" * (2 << 20),
    "NUL": BASE + "\0",
    "jobs": "jobs = 999999999\n" + BASE,
    "trials": "trials = 1000000000000\n" + BASE.replace("trials = 100", ""),
    "seed": BASE.replace("seed = 0", "seed = -1"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("command", [["predict"], ["report", "-o", "out"]], ids=["predict", "report"])
def test_files(command, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if FILES[kind] is not None:
        Path("f.toml").write_text(FILES[kind])
    refused(command[0], "f.toml", *command[1:])
    assert {p.name for p in tmp_path.iterdir()} <= {"f.toml"}


@pytest.mark.parametrize("kind", ["isotropic:d={}", "powerlaw:d={},beta=1.5", "spiked:d={},spikes=20/10"])
@pytest.mark.parametrize(
    "d", ["1e8", "1e9", "1e12", "1e18", "1e30", "1e300", "10^300", "9" * 39, "-3", "0", "0.5", "oo"]
)
def test_dimensions(kind, d):
    """A spectrum that is a law has a value at any size that float64 counts."""
    arguments = ["predict", *RIDGE, "--spectrum", kind.format(d)]
    if d not in {"1e8", "1e9", "1e12"}:
        refused(*arguments)
    else:
        start = time.monotonic()
        assert CliRunner().invoke(app, arguments).exit_code == 0
        assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "text",
    [
        "terms=1",
        "spectrum=1",
        "target=1",
        "digits=3",
        "self=1",
        "trials=5",
        "lam=",
        "=1",
        "lam",
        "",
        "d=3",
        "\x00=1",
        "n=-1",
        "n=0.5",
        "sigma=-1",
        "sigma=oo",
        "sigma=1j",
        "sigma=nan",
        "sigma=" + "9" * 5000,
        "sigma=lin:0:1:9999999999",
        "sigma=0..99999999",
    ],
)
@pytest.mark.parametrize("command", ["predict", "validate"])
def test_assignments(command, text):
    rest = [a for a in OLS if not text.startswith(a.partition("=")[0] + "=") or a == "--set"]
    pairs = [x for flag, value in zip(rest[1::2], rest[2::2], strict=False) if value != "--set" for x in (flag, value)]
    refused(command, "ols-replace", "--spectrum", "isotropic:d=50", *pairs, "--set", text)


@pytest.mark.parametrize(
    "option", [("--seed", -1), ("--trials", 0), ("--trials", 1), ("--jobs", 0), ("--jobs", 999999999)]
)
def test_options_of_validate(option):
    refused("validate", *OLS, "--spectrum", "isotropic:d=10", *option)


def header(text):
    body = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


ARRAYS = {
    "empty.npy": b"",
    "magic.npy": b"\x93NUMPY",
    "zip.npy": b"PK\x03\x04" + b"\0" * 100,
    "text.npy": b"1,2,3",
    "huge.npy": header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"),
    "overflow.npy": header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,)}"),
    "negative.npy": header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}"),
    "key.npy": header("{'descr': '<f8', 'shape': (3,)}"),
    "code.npy": header("__import__('os').system('true')"),
    "nested.npy": header("(" * 90),
    "dtype.npy": header("{'descr': 'nonsense', 'fortran_order': False, 'shape': (3,)}"),
    "pickle.npy": header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"cos\nsystem\n(S'true'\ntR.",
    "cell.csv": b"1,,2\n",
    "last.csv": b"1,2,\n",
    "header.csv": b"eigenvalue\n1\n2\n",
    "nan.csv": b"1,nan\n",
    "nothing.csv": b"\n",
    "latin.csv": b"1,\xe9\n",
    "x.pkl": b"",
}


@pytest.mark.parametrize(
    "name", [*ARRAYS, "missing.npy", "folder.npy", "\0.npy", "complex.npy", "structured.npy", "bool.npy", "text2.npy"]
)
def test_arrays_in_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder.npy").mkdir()
    np.save("complex.npy", np.array([1.0 + 0j, 2.0]))
    np.save("structured.npy", np.zeros(2, dtype=[("a", float)]))
    np.save("bool.npy", np.array([True, False]))
    np.save("text2.npy", np.array(["1", "2"]))
    for file, content in ARRAYS.items():
        Path(file).write_bytes(content)
    refused("predict", *RIDGE, "--spectrum", f"file:{name}")


def test_places_for_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("f.toml").write_text(BASE.replace('inputs = ["gaussian"]', "inputs = []"))
    Path("file").write_text("mine")
    Path("link").symlink_to("nowhere")
    for place in ("file", "link", "file/deeper", "x" * 300):
        assert "output needs" in refused("report", "f.toml", "-o", place)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.toml", "file", "link"]


def test_titles_in_any_script_are_in_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    title = "模型崩溃 — انهيار — Коллапс 🎉 naïve"
    Path("f.toml").write_text(
        BASE.replace('inputs = ["gaussian"]', "inputs = []").replace(
            "One synthetic generation: error over the ridge", title
        )
    )
    result = CliRunner().invoke(app, ["report", "f.toml", "-o", "out"])
    assert result.exit_code == 0, result.output
    document = Path("out/report.tex").read_text(encoding="utf-8")
    assert title in document
    assert r"\DeclareUnicodeCharacter{6A21}" in document
    assert title in Path("out/report.json").read_text(encoding="utf-8")
