"""The house: arrows between rooms point down, doors are the only ways up, and names say where a thing is."""

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import collapse_theory as ct
from collapse_theory.core.doors import DOORS

ROOT = Path(ct.__file__).parent
MODULES = sorted(p for p in ROOT.rglob("*.py"))
parsed = cache(lambda path: ast.parse(path.read_text()))
nodes = cache(lambda path: list(ast.walk(parsed(path))))
LINT = Path(sys.executable).with_name("lint-imports")


def contracts(folder):
    """Run the contracts of ``pyproject.toml`` on the package in a folder."""
    command = [LINT, "--no-cache"]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )


def test_the_contracts_hold():
    done = contracts(ROOT.parent)
    assert done.returncode == 0, done.stdout


PLANTED = {
    "core/numbers.py": "def late():\n    from collapse_theory.present import latex\n",
    "simulate/solve.py": "from collapse_theory.derive.formula import ErrorFormula\n",
    "describe/nodes.py": "from collapse_theory.describe import pipeline\n",
    "algebra/special.py": "import matplotlib\n",
}


def test_a_planted_import_breaks_its_contract(tmp_path):
    shutil.copytree(ROOT, tmp_path / "collapse_theory", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT.parent / "pyproject.toml", tmp_path)
    for module, line in PLANTED.items():
        path = tmp_path / "collapse_theory" / module
        path.write_text(f"{path.read_text()}\n\n{line}")
    done = contracts(tmp_path)
    told = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert "core.numbers -> collapse_theory.present.latex" in told
    assert "simulate.solve -> collapse_theory.derive.formula" in told
    assert "algebra.special -> matplotlib" in told
    broken = [x for x in done.stdout.splitlines() if x.rstrip().endswith("BROKEN")]
    assert any(x.startswith("No room has a cycle inside") for x in broken), broken


def test_every_door_leads_somewhere_and_belongs_to_a_method():
    assert DOORS
    sources = "\n".join(p.read_text() for p in MODULES)
    for door, address in DOORS.items():
        assert callable(resolve_name(address)), door
        assert f'through("{door}")' in sources, door


def test_there_is_no_other_way_to_import_by_name():
    """Imports that a contract cannot see: the doors, the lazy public face and the catalogue, which lists its own room."""
    allowed = {"__init__.py", "core/doors.py", "theorems/catalog.py"}
    names = {"import_module", "resolve_name", "__import__"}
    for path in MODULES:
        used = {
            getattr(n, "id", getattr(n, "attr", "")) for n in nodes(path) if isinstance(n, (ast.Name, ast.Attribute))
        }
        assert path.relative_to(ROOT).as_posix() in allowed or not used & names, path


def test_no_file_name_occurs_in_two_rooms():
    names = Counter(p.name for p in MODULES if p.name != "__init__.py")
    assert not [name for name, count in names.items() if count > 1]


def test_no_class_name_occurs_twice():
    classes = Counter(node.name for p in MODULES for node in nodes(p) if isinstance(node, ast.ClassDef))
    assert not [name for name, count in classes.items() if count > 1]


def test_only_one_module_creates_symbols():
    for path in MODULES:
        if path.name == "symbols.py":
            continue
        calls = [n.func for n in nodes(path) if isinstance(n, ast.Call)]
        made = [f for f in calls if getattr(f, "id", getattr(f, "attr", "")) in {"Symbol", "symbols", "sympify"}]
        allowed = 1 if path.name in {"opaque.py", "predictor.py"} else 0
        assert len(made) <= allowed, path


def defined(body, prefix):
    """Yield the full names of the classes, functions and methods in a module or class."""
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield f"{prefix}.{node.name}"
            yield from defined(node.body if isinstance(node, ast.ClassDef) else (), f"{prefix}.{node.name}")


def test_every_reference_in_a_docstring_resolves():
    """As Sphinx reads them: a name of the module or its classes, a full name, or after a dot the one name that ends so."""
    modules = {".".join(p.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): p for p in MODULES}
    inside = {module: list(defined(parsed(p).body, module)) for module, p in modules.items()}
    objects = [name for names in inside.values() for name in names]
    lost = []
    for module, path in modules.items():
        here = [f"{prefix}." for prefix in (module, *inside[module])]
        for role, target in re.findall(r":(mod|func|class|meth):`~?([^`]+)`", path.read_text()):
            known = modules if role == "mod" else objects
            found = (
                [name for name in known if name.endswith(target)]
                if target.startswith(".")
                else [name for name in known if name in {target, *(prefix + target for prefix in here)}]
            )
            if not found or (target.startswith(".") and len(found) > 1):
                lost.append((path.name, target, found))
    assert not lost
