"""The literate derivations of the families run, step by step."""

import runpy
from pathlib import Path

import pytest

DERIVATIONS = Path(__file__).parent.parent / "derivations"


@pytest.mark.parametrize("name", ["token_replace", "gaussian_accumulate", "regular_fresh_real", "random_past"])
def test_derivation(name, capsys):
    runpy.run_path(str(DERIVATIONS / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1].startswith(("3.", "5."))
