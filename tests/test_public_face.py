"""The public face is lazy and complete."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import collapse_theory as ct

ROOT = Path(ct.__file__).parent


def test_import_is_lazy():
    heavy = ("scipy", "matplotlib", "sklearn", "sympy", "joblib")
    code = f"import sys, collapse_theory; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_face_pickles_by_name():
    """A function of a user's script that refers to it goes to the processes of a parallel run."""
    assert pickle.loads(pickle.dumps(ct)) is ct


def test_every_name_of_the_stub_resolves():
    tree = ast.parse((ROOT / "__init__.pyi").read_text())
    names = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names <= set(dir(ct))
    assert all(getattr(ct, name) is not None for name in names)
