import csv
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from csv_text import csv_text

from app.domain.runs import RunState
from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy

CELL = re.compile(r'data-layer="(\d+)" data-cell="(\d+)" data-count="(-?\d+)" (fill="#[0-9a-f]{6}"|class="none")')


def drawn(page):
    return {(int(layer), int(cell)): int(count) for layer, cell, count, _ in CELL.findall(page)}


@pytest.fixture
def pattern(driftwatch):
    """A chamber in which no two cells have the same count, and no scores yet."""
    chamber = Chamber(wheel=-1, station=2, sector=7)
    counts = np.full((12, chamber.columns), -1, dtype=np.int32)
    counts[chamber.read_out] = np.arange(chamber.read_out.sum())
    driftwatch.store.runs.request(302640, "tests", 250)
    driftwatch.store.runs.update(302640, state=RunState.FETCHING, done=1)
    driftwatch.store.items.store(302640, [(chamber, Occupancy(chamber, counts))], "tests")
    return counts


def test_every_cell_is_shown_with_the_count_that_was_served(client, pattern):
    answer = client.get("/eval/302640/-1/7/2/")
    assert answer.status_code == 200
    rows, columns = pattern.shape
    assert drawn(answer.text) == {
        (row + 1, column + 1): pattern[row, column] for row in range(rows) for column in range(columns)
    }
    assert "not scored yet" in answer.text
    assert len(answer.data) < 150_000


@pytest.mark.parametrize(("wheel", "sector", "station"), [(0, 1, 1), (2, 4, 4), (-2, 14, 4), (1, 4, 3), (-1, 3, 1)])
def test_the_chambers_of_every_geometry_are_drawn_as_stored(loaded, wheel, sector, station):
    page = loaded.test_client().get(f"/eval/302635/{wheel}/{sector}/{station}/").text
    chamber = Chamber(wheel=wheel, station=station, sector=sector)
    item = loaded.extensions["driftwatch"].store.items.get(302635, chamber)
    present = {layer.number for layer in chamber.layers}
    assert drawn(page) == {
        (layer, cell): count
        for layer, counts in enumerate(item.histogram.counts.tolist(), start=1)
        if layer in present
        for cell, count in enumerate(counts, start=1)
    }
    assert page.count('class="none"') == sum((~item.histogram.cells[layer - 1]).sum() for layer in present)
    assert len(page.encode()) < 150_000


def test_each_layer_has_its_score_and_verdict_beside_it(loaded):
    items = loaded.extensions["driftwatch"].store.items.of_run(302635)
    item = next(item for item in items if item.judgement.bad and item.place.station != 4)
    place = item.place
    page = loaded.test_client().get(f"/eval/302635/{place.wheel}/{place.sector}/{place.station}/").text
    rows = re.findall(r'<tr role="row" data-row="(\d+)"(.*?)</tr>', page, re.DOTALL)
    assert [int(layer) for layer, _ in rows] == list(range(12, 0, -1))
    for layer, row in rows:
        i = int(layer) - 1
        assert f'<td class="score" role="cell">{item.judgement.scores[i]:.3f}</td>' in row
        assert f"<span>{item.judgement.verdicts[i]}</span>" in row
        assert item.judgement.reasons[i] in row


def test_station_4_shows_that_it_has_no_superlayer_2(loaded):
    page = loaded.test_client().get("/eval/302635/0/1/4/").text
    assert page.count('class="gone-row"') == 4
    assert page.count("<span>absent</span>") == 4
    assert not {layer for layer, _ in drawn(page)} & {5, 6, 7, 8}


def test_the_neighbours_are_the_next_chambers_and_the_other_runs(loaded):
    client = loaded.test_client()
    page = client.get("/eval/302635/-2/12/1/").text
    assert '/eval/302635/-2/11/1/" aria-keyshortcuts="ArrowLeft"' in page
    assert '/eval/302635/-2/1/2/" aria-keyshortcuts="ArrowRight"' in page
    assert '/eval/302634/-2/12/1/" aria-keyshortcuts="ArrowDown"' in page
    assert "ArrowUp" not in page
    first = client.get("/eval/302634/-2/1/1/?scale=log").text
    assert '/eval/302634/2/14/4/?scale=log" aria-keyshortcuts="ArrowLeft"' in first
    assert '/eval/302635/-2/1/1/?scale=log" aria-keyshortcuts="ArrowUp"' in first


def test_the_form_leads_to_the_chamber(loaded):
    answer = loaded.test_client().get("/eval/?run=302635&wheel=-1&sector=2&station=1")
    assert (answer.status_code, answer.location) == (303, "/eval/302635/-1/2/1/")


def test_the_form_alone_proposes_the_newest_run(loaded, client):
    assert client.get("/eval/").status_code == 200
    assert 'value="302635"' in loaded.test_client().get("/eval/").text


WRONG = [
    (("0", "0", "1", "1"), "a whole number from 1 to 999,999,999"),
    (("-5", "0", "1", "1"), "a whole number from 1 to 999,999,999"),
    (("1000000000", "0", "1", "1"), "a whole number from 1 to 999,999,999"),
    (("abc", "0", "1", "1"), "a whole number from 1 to 999,999,999"),
    (("302635", "3", "1", "1"), "a whole number from -2 to 2"),
    (("302635", "x", "1", "1"), "a whole number from -2 to 2"),
    (("302635", "0", "13", "2"), "a whole number from 1 to 12 in station 2"),
    (("302635", "0", "15", "4"), "a whole number from 1 to 14 in station 4"),
    (("302635", "0", "0", "1"), "a whole number from 1 to 12 in station 1"),
    (("302635", "0", "1.5", "1"), "a whole number from 1 to 12 in station 1"),
    (("302635", "0", "1", "5"), "a whole number from 1 to 4"),
    (("302635", "0", "1", "9" * 5000), "a whole number from 1 to 4"),
    (("302635", "<script>alert(1)<script>", "1", "1"), "a whole number from -2 to 2"),
]


@pytest.mark.parametrize(("values", "allowed"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_input_says_what_is_allowed_and_keeps_the_form(loaded, values, allowed):
    client = loaded.test_client()
    run, wheel, sector, station = values
    asked = {"run": run, "wheel": wheel, "sector": sector, "station": station}
    answers = [client.get("/eval/", query_string=asked)]
    if "<" not in wheel:
        answers.append(client.get(f"/eval/{run}/{wheel}/{sector}/{station}/"))
    for answer in answers:
        assert answer.status_code == 400
        assert allowed in answer.text
        assert 'aria-invalid="true"' in answer.text
        assert "<script>alert" not in answer.text
        assert f'value="{run}"' in answer.text


def test_run_and_chamber_can_be_wrong_at_once(loaded):
    page = loaded.test_client().get("/eval/abc/3/1/1/").text
    assert "999,999,999" in page
    assert "from -2 to 2" in page


def test_a_form_that_is_not_complete_says_what_is_missing(loaded):
    answer = loaded.test_client().get("/eval/?run=302635&wheel=0")
    assert answer.status_code == 400
    assert "The sector is missing." in answer.text
    assert "The station is missing." in answer.text


def test_an_unknown_scale_is_refused(loaded):
    answer = loaded.test_client().get("/eval/302635/0/1/1/?scale=cubic")
    assert answer.status_code == 400
    assert "one of linear, log" in answer.text


def test_a_run_that_is_not_loaded_can_be_loaded_from_here(loaded):
    answer = loaded.test_client().get("/eval/305000/0/1/1/")
    assert answer.status_code == 404
    assert "Run 305000 is not loaded" in answer.text
    assert 'name="runs" value="305000"' in answer.text
    assert "This chamber in other runs" in answer.text


def test_a_chamber_that_has_not_arrived_yet_says_so(client, pattern):
    answer = client.get("/eval/302640/0/1/1/")
    assert answer.status_code == 404
    assert "This chamber has not arrived yet" in answer.text


def test_a_missing_chamber_says_why(client, driftwatch):
    missing = UnusableHistogram(Reason.NOT_FINITE, "layer 3, cell 7 is <nan>")
    driftwatch.store.runs.request(302640, "tests", 250)
    driftwatch.store.items.store(302640, [(Chamber(wheel=0, station=1, sector=1), missing)], "tests")
    answer = client.get("/eval/302640/0/1/1/")
    assert answer.status_code == 200
    assert "missing: a count is not finite" in answer.text
    assert "layer 3, cell 7 is &lt;nan&gt;" in answer.text
    for file in ("counts.csv", "occupancy.svg"):
        assert client.get(f"/eval/302640/0/1/1/{file}").status_code == 404


def test_the_numbers_of_the_picture_can_be_saved(client, pattern):
    answer = client.get("/eval/302640/-1/7/2/counts.csv?download=1")
    assert answer.mimetype == "text/csv"
    assert 'attachment; filename="occupancy_302640_W-1_S7_St2.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(csv_text(answer))))
    assert rows[0] == ["layer", "cell", "count"]
    assert [[int(value) for value in row] for row in rows[1:]] == [
        [row + 1, column + 1, pattern[row, column]] for row, column in np.argwhere(pattern >= 0)
    ]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_picture_can_be_saved(client, pattern, scale):
    answer = client.get(f"/eval/302640/-1/7/2/occupancy.svg?scale={scale}")
    assert answer.mimetype == "image/svg+xml"
    titles = [title.text for title in ElementTree.fromstring(answer.text).iter("{http://www.w3.org/2000/svg}title")]
    assert sorted(titles) == sorted(
        f"layer {row + 1}, cell {column + 1}: {pattern[row, column]}" for row, column in np.argwhere(pattern >= 0)
    )


@pytest.mark.parametrize("file", ["counts.csv", "occupancy.svg"])
@pytest.mark.parametrize("place", ["302635/3/1/1", "302635/0/13/2", "abc/0/1/1"])
def test_files_of_chambers_that_cannot_be_are_refused(loaded, place, file):
    assert loaded.test_client().get(f"/eval/{place}/{file}").status_code == 400
