"""The code in docs/analysis.md does what the page says, against pages that are served."""

import re
import subprocess
import sys

import pytest
from filled_database import RUN, fill

from config import ROOT

PAGE = (ROOT / "docs" / "analysis.md").read_text()

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def served(_made_apps, serve):
    app = _made_apps()
    fill(app.extensions["driftwatch"], text="plain")
    return app, serve(app)


def test_every_block_of_python_runs_and_finds_what_there_is(served, tmp_path, monkeypatch):
    app, address = served
    driftwatch = app.extensions["driftwatch"]
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"```sh\nflask (.*?)\n```", PAGE)
    assert app.test_cli_runner().invoke(args=command.split()).exit_code == 0
    names = {"address": address}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    through_api = None
    for block in blocks:
        exec(compile(block, "docs/analysis.md", "exec"), names)
        through_api = through_api or (names["scores"], names["labels"])
    for one, other in zip(through_api, (names["scores"], names["labels"]), strict=True):
        pandas.testing.assert_frame_equal(one, other)
    assert len(names["scores"]) == 6
    assert set(names["scores"].run) == {RUN}
    expected = {
        (item.run, item.place.wheel, item.place.station, item.place.sector): item.contamination
        for item in driftwatch.store.items.of_run(RUN)
        if item.contamination is not None
    }
    assert names["contamination"].to_dict() == pytest.approx(expected)
    assert len(expected) > 1


def test_what_the_page_needs_is_imported_by_no_page_of_ours():
    script = "import sys, wsgi; wsgi.create_app(); assert not {'pandas', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
