"""docs/pages.md, docs/commands.md and docs/settings.md list all there is, and nothing else; links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from config import ROOT, Settings

OF_MANY = "--subsystem"  # an option of so many commands that it is documented once, before the tables
DOCUMENTS = (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bench").glob("*.md"))


def first_cells(name: str) -> list[str]:
    """What stands in the first column of the tables of a document, without their heads."""
    return re.findall(r"^\| (`.*?) \| ", (ROOT / "docs" / name).read_text(encoding="utf-8"), flags=re.MULTILINE)


def commands_of(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from commands_of(one, *before, name)
        else:
            yield " ".join((*before, name)), one


def test_the_document_of_the_pages_names_every_page(app):
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods]
    pages = {rule.rule for rule in rules if rule.rule.endswith("/") and not rule.rule.startswith("/api/")}
    assert pages == {address for cell in first_cells("pages.md") for address in re.findall("`(.*?)`", cell)}


def test_the_document_of_the_commands_names_every_command_with_its_options(app):
    of_flask = {"routes", "run", "shell"}
    ours = {name: one for name, one in commands_of(app.cli) if name not in of_flask}
    documented = {}
    for cell in first_cells("commands.md"):
        (name,) = re.findall(r"^`flask ([a-z-]+(?: [a-z-]+)*)", cell)
        assert name not in documented, name
        documented[name] = set(re.findall(r"--[a-z-]+", cell))
    for name, one in ours.items():
        # A command that subsystems have of their own is documented as the first subsystem has it.
        chosen = one.make_context(name, [], resilient_parsing=True).command
        options = [p for p in chosen.params if isinstance(p, click.Option) and not p.hidden]
        assert documented[name] == {text for option in options for text in option.opts} - {OF_MANY}, name
    assert set(documented) == set(ours)
    assert f"`{OF_MANY} NAME`" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def test_the_document_of_the_settings_lists_every_one_with_its_default_and_what_it_is():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = {name: rest for name, *rest in re.findall(r"^\| `([A-Z0-9_]+)` \| (.*?) \| (.*) \|$", page, re.MULTILINE)}
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = field.default
        if name in ("data_dir", "model_dir"):
            default = default.relative_to(ROOT)
        expected = "–" if default in (None, "") else f"`{default}`"
        assert rows[name.upper()] == [expected, field.description], name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_to_a_file_leads_to_one_that_is_there(document):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text(encoding="utf-8")):
        path = Path(document.parent, target).resolve()
        assert path.is_relative_to(ROOT), target
        assert path.is_file(), target
