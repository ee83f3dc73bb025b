"""The rules of the layout that code reviews forget."""

import ast
import re
import subprocess
import sys

import pytest

from config import ROOT

APP = ROOT / "app"
DOMAIN = [
    *(APP / "domain").rglob("*.py"),
    *(APP / "subsystems").glob("*.py"),
    *(APP / "subsystems").glob("*/*.py"),  # not their sources, learning and web
    APP / "errors.py",
    APP / "given.py",
]
OUTER = {"flask", "werkzeug", "pymongo", "bson", "tensorflow", "keras", "requests"}


def imports(path):
    """What a module imports when it runs: not what only its annotations name."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_domain_depends_on_nothing_outer(path):
    names = set(imports(path))
    assert not {name for name in names if name.split(".")[0] in OUTER}
    outer = ("app.web", "app.store", "app.jobs", "app.sources", "app.ml", "app.driftwatch", "app.labelling", "config")
    assert not {name for name in names if name.startswith(outer)}


def test_only_the_rooms_of_networks_import_tensorflow():
    for path in APP.rglob("*.py"):
        if path.parent != APP / "ml" and path.parent.name != "learning":
            assert not {name for name in imports(path) if name.split(".")[0] in ("tensorflow", "keras")}, path


def test_importing_the_program_connects_to_nothing_and_loads_no_tensorflow():
    script = (
        "import sys, threading; before = threading.active_count(); import wsgi; app = wsgi.create_app()\n"
        "assert threading.active_count() == before\n"
        "heavy = {'tensorflow', 'keras', 'skimage', 'uproot', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_only_one_place_asks_a_range_for_what_may_be_no_number():
    """`"x" in range(2**31)` tries every number of it; `given.within` does not."""
    for path in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
                for asked in node.comparators:
                    is_range = isinstance(asked, ast.Call) and getattr(asked.func, "id", "") == "range"
                    assert not is_range, f"{path}:{node.lineno}"


def test_every_form_that_changes_something_asks_browsers_not_to_restore_it():
    """Firefox puts ticks and texts back by their places, which may be another's row by then."""
    own_words = {"sign_in.html", "account.html"}  # for what password managers fill in, at each field
    for path in sorted((ROOT / "templates").rglob("*.html")):
        for form in re.findall(r"<form\b[^>]*post[^>]*>", path.read_text()):
            assert 'autocomplete="off"' in form or path.name in own_words, f"{path.name}: {form}"


def test_no_module_is_imported_for_what_its_import_does():
    """Routes are registered: an import that only has to happen looks as if it could be taken out."""
    for path in APP.rglob("*.py"):
        assert "F401" not in path.read_text(), path
