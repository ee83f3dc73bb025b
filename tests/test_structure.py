"""The rules of the layout that code reviews forget."""

import ast
import subprocess
import sys

import pytest

from config import ROOT

APP = ROOT / "app"
PURE = [APP / "labelling" / f"{name}.py" for name in ("agreement", "events", "strategies", "summary")]
DOMAIN = [*sorted((APP / "subsystems").rglob("*.py")), *PURE, APP / "errors.py", APP / "run_numbers.py"]
OUTER = {"flask", "werkzeug", "pymongo", "bson", "tensorflow", "keras", "requests", "apscheduler"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_domain_depends_on_nothing_outer(path):
    names = set(imports(path))
    assert not {name for name in names if name.split(".")[0] in OUTER}
    outer = ("app.web", "app.store", "app.jobs", "app.sources", "app.ml", "app.driftwatch", "config")
    assert not {name for name in names if name.startswith(outer)}


def test_only_the_networks_package_imports_tensorflow():
    for path in (ROOT / "app").rglob("*.py"):
        if path.parent != ROOT / "app" / "ml":
            assert not {name for name in imports(path) if name.split(".")[0] in ("tensorflow", "keras")}, path


def test_importing_the_program_connects_to_nothing_and_loads_no_tensorflow():
    script = (
        "import sys, threading; before = threading.active_count(); import wsgi; app = wsgi.create_app()\n"
        "assert threading.active_count() == before\n"
        "heavy = {'tensorflow', 'keras', 'skimage', 'uproot', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
