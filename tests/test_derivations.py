"""Every derivation runs, checks its steps and prints a numbered transcript."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "derivations"
SCRIPTS = sorted(p.name for p in FOLDER.glob("*.py") if p.name != "transcript.py")


@pytest.mark.parametrize("name", SCRIPTS)
def test_derivation(name, capsys, monkeypatch):
    """In this process, where everything is imported already; the steps are numbered from one, as in one of its own."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "transcript", raising=False)
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    check_transcript(capsys.readouterr().out)


def test_a_derivation_is_a_script():
    script = [sys.executable, "-W", "error", FOLDER / "ols_replace.py"]
    run = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-1000:]
    check_transcript(run.stdout)


def check_transcript(text):
    lines = text.splitlines()
    assert [line.split(".")[0].strip() for line in lines] == [str(i) for i in range(1, len(lines) + 1)]
    assert len(lines) >= 3
