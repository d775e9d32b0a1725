"""The public face is lazy and complete, and imports point one way."""

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


def imports(path, *, lazily):
    """Return the package's modules that a file imports, at module level or anywhere."""
    tree = ast.parse(path.read_text())
    top = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test))]
    nodes = ast.walk(tree) if lazily else top
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("collapse_theory"):
            found.add(node.module.removeprefix("collapse_theory").strip("."))
        elif isinstance(node, ast.Import):
            found |= {
                a.name.removeprefix("collapse_theory").strip(".")
                for a in node.names
                if a.name.startswith("collapse_theory")
            }
    return found


def offenders(folder, forbidden, *, lazily=False):
    return [
        (path.relative_to(ROOT).as_posix(), module)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for module in sorted(imports(path, lazily=lazily))
        if module.split(".")[0] in forbidden
    ]


def test_arrows_point_one_way():
    derive = {"derive", "spectral", "equivalents", "theorems", "families", "formula"}
    assert not offenders("describe", derive | {"evaluate", "present", "simulate", "cli"})
    for folder in ("spectral", "equivalents", "theorems"):
        assert not offenders(folder, {"evaluate", "present", "simulate", "cli", "validate"}), folder
    assert not offenders("evaluate", {"theorems", "families", "present", "simulate", "cli"}, lazily=True)
    assert not offenders("simulate", derive | {"evaluate", "present", "cli"}, lazily=True)
    for folder in ("describe", "spectral", "equivalents", "evaluate", "simulate", "families", "theorems"):
        assert not offenders(folder, {"cli"}, lazily=True), folder


def test_only_one_module_creates_symbols():
    for path in sorted(ROOT.rglob("*.py")):
        if path.name == "symbols.py":
            continue
        calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        made = [f for f in calls if getattr(f, "id", getattr(f, "attr", "")) in {"Symbol", "symbols", "sympify"}]
        strict = [f for f in made if getattr(f, "id", "") == "sympify"]
        allowed = 1 if path.name in {"integrals.py", "predictor.py"} else 0
        assert len(made) <= allowed + 0 * len(strict), path
