"""The drawing in docs/architecture.md, and who knows a particular subsystem, compared with the imports."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ROOT

APP = ROOT / "app"
MODULES = sorted(APP.rglob("*.py"))
DRAWING = re.search(r"```rooms\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.DOTALL)
LINES = [re.split(r"\s{3,}", line)[0].split() for line in DRAWING[1].splitlines()]
LEVELS = {room: level for level, line in enumerate(LINES) for room in line}

TABLE = APP / "subsystems" / "__init__.py"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def imported(tree: ast.AST, everywhere: bool = False) -> Iterator[str]:
    """The modules of the program that are imported: when the module is, or also later, or for annotations only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "app":
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                yield whole if whole in NAMES else node.module
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.If):
            yield from imported(node, everywhere)


def room_of(module: str) -> str:
    """The room of the drawing that a module is in: the longest beginning of its name that the drawing has.

    >>> room_of("app.web.runs.overview"), room_of("app.subsystems.dt.verdict")
    ('web/runs', 'subsystems/dt')
    """
    parts = module.split(".")[1:]
    return next(room for n in range(len(parts), 0, -1) if (room := "/".join(parts[:n])) in LEVELS)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent != APP or path.stem != "__init__"], ids=name_of
)
def test_a_room_imports_only_what_stands_beside_or_below_it(path):
    mine = room_of(name_of(path))
    above = {name for name in imported(ast.parse(path.read_text())) if LEVELS[room_of(name)] < LEVELS[mine]}
    assert not above, f"{mine} stands below"


def test_the_drawing_has_every_room_and_no_other():
    folders = {path.relative_to(APP).parts[0] for path in MODULES} - {"__init__.py"}
    there = {Path(name).stem for name in folders}
    assert {room.split("/")[0] for room in LEVELS} == there
    for room in LEVELS:
        assert (APP / room).is_dir() or (APP / f"{room}.py").exists(), room


def test_only_a_subsystem_itself_and_the_one_table_know_it():
    for name in (path.name for path in (APP / "subsystems").iterdir() if (path / "__init__.py").exists()):
        outside = [path for path in MODULES if path != TABLE and APP / "subsystems" / name not in path.parents]
        know = [
            str(path.relative_to(ROOT))
            for path in outside
            if any(
                module.startswith(f"app.subsystems.{name}")
                for module in imported(ast.parse(path.read_text()), everywhere=True)
            )
        ]
        assert know == []


# What only the drift tubes have. Layers are also what networks are made of.
WORDS_OF_DT = re.compile(r"wheel|sector|station|chamber|superlayer|layer", re.IGNORECASE)
# Where they may stand nevertheless, for what stored data and open jobs name so: this list only becomes shorter.
STILL_SAY_SO = {
    "app/driftwatch.py",  # an argument of jobs
    "app/jobs/compare.py",
    "app/jobs/evaluate.py",
    "app/ml/curves.py",  # fields of stored figures
    "app/ml/hdf5.py",  # layers of a network
    "app/ml/models.py",  # fields of cards
    "app/sources/http.py",  # an error of TLS
    "app/store/runs.py",  # a field of the drift of runs
    "app/web/api/drift.py",
    "templates/runs/drift.html",
}


def test_words_of_the_drift_tubes_stand_in_their_own_rooms_alone():
    kinds = {".py", ".html", ".svg", ".js", ".css"}
    places = [path for room in ("app", "templates", "static") for path in (ROOT / room).rglob("*")]
    outside = [path for path in places if path.suffix in kinds and "dt" not in path.relative_to(ROOT).parts]
    assert len(outside) > 200
    say_so = {str(path.relative_to(ROOT)) for path in outside if WORDS_OF_DT.search(path.read_text(encoding="utf-8"))}
    assert say_so == STILL_SAY_SO
