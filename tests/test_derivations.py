"""Every derivation runs, checks its steps and prints a numbered transcript."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "derivations"
SCRIPTS = sorted(p.name for p in FOLDER.glob("*.py") if p.name != "transcript.py")


@pytest.mark.parametrize("name", SCRIPTS)
def test_derivation(name):
    run = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / name], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-1000:]
    lines = run.stdout.splitlines()
    assert [line.split(".")[0].strip() for line in lines] == [str(i) for i in range(1, len(lines) + 1)]
    assert len(lines) >= 3
