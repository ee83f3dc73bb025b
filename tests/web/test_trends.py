import csv
import io
import json
import re

import numpy as np
import pytest
from csv_text import csv_text
from queue_of_chambers import load

from app.subsystems.dt.geometry import Chamber
from app.web.runs.trend_lines import COLUMNS, thin

A, B, MB4 = (
    Chamber(wheel=0, station=2, sector=1),
    Chamber(wheel=-1, station=2, sector=2),
    Chamber(wheel=1, station=4, sector=13),
)
RUNS = (100, 110, 120, 130)


@pytest.fixture(scope="module")
def through(_made_apps):
    """Four runs: layer 3 of A is bad in the last two, with scores that rise; layer 1 of B is bad in the first."""
    app = _made_apps()
    driftwatch = app.extensions["driftwatch"]
    for i, run in enumerate(RUNS):
        load(driftwatch, {A: {3: (0.2, 0.5, 0.7, 0.9)[i]}, B: {1: 0.9 if i == 0 else 0.1}, MB4: {}}, run)
        summary = driftwatch.store.items.tally(run).counts
        driftwatch.store.runs.update(run, summary=summary)
    driftwatch.labelling.problems.add("eve", A, [3], "low voltage", since=115, until=125)
    return app


@pytest.fixture
def pages(through):
    return through.test_client()


def numbers(page):
    """The rows of the table."""
    body = re.search(r"<tbody>(.*?)</tbody>", page, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(?:<a [^>]*>)?([^<]*)", row) for row in body[1].split("</tr>")] if body else []
    return [row for row in cells if row]


@pytest.mark.parametrize(
    ("by", "last_row"),
    [
        ("wheel", ["100", "0", "1", "0", "0", "0", "1"]),
        ("station", ["100", "0", "1", "0", "0", "1"]),
        ("kind", ["100", *["0"] * 6, "1", "1"]),
        ("run", ["100", "1", "1", "0", "0"]),
    ],
)
def test_bad_layers_are_counted_run_by_run(pages, by, last_row):
    shown = numbers(pages.get(f"/trends/?by={by}").text)
    assert [row[0] for row in shown] == ["130", "120", "110", "100"]
    assert shown[-1] == last_row


def test_one_chamber_or_layer_has_its_score_and_its_rate(pages, through):
    items = through.extensions["driftwatch"].store.items
    shown = numbers(pages.get("/trends/0/1/2/?layer=3&descending=false").text)
    assert [float(row[1]) for row in shown] == pytest.approx([0.2, 0.5, 0.7, 0.9], abs=6e-4)
    rate = items.get(100, A).histogram.row(3).mean()
    assert float(shown[0][2]) == pytest.approx(rate, rel=2e-3)
    worst = numbers(pages.get("/trends/0/1/2/?descending=false").text)
    assert [row[1] for row in worst] == [row[1] for row in shown]
    item = items.get(100, A)
    whole = item.hits / sum(layer.cells for layer in A.layers)
    assert float(worst[0][2]) == pytest.approx(whole, rel=2e-3)
    assert [row[1] for row in numbers(pages.get("/trends/0/1/2/?layer=4").text)] == ["0.050"] * 4


def test_scores_of_other_models_are_not_mixed_in_but_rates_are_no_scores(pages):
    shown = numbers(pages.get("/trends/0/1/2/?model=row-cnn-1").text)
    assert [row[1] for row in shown] == ["–"] * 4
    assert all(float(row[2]) > 0 for row in shown)
    assert "No finished run is like this" in pages.get("/trends/?model=row-cnn-1").text


def test_a_range_of_runs_is_part_of_the_address(pages):
    page = pages.get("/trends/?first=105&last=125").text
    assert [row[0] for row in numbers(page)] == ["120", "110"]
    assert "first=105" in re.search(r'data-columns="([^"]*)"', page)[1]
    drawn = pages.get("/trends/columns.json?first=105&last=125").json
    assert (drawn["first"], drawn["last"]) == (105, 125)
    assert [column[6] for column in drawn["panels"][0]["columns"]] == [110, 120]
    assert 'value="105"' in page


def test_what_is_under_the_pointer_are_the_runs_values(pages):
    drawn = pages.get("/trends/0/1/2/columns.json?layer=3").json
    score, rate = drawn["panels"]
    assert (score["words"], rate["words"]) == ("score, layer 3", "hits per cell")
    assert [(first, last, runs, at) for first, last, runs, *_, at in score["columns"]] == [(r, r, 1, r) for r in RUNS]
    assert [column[4] for column in score["columns"]] == pytest.approx([0.2, 0.5, 0.7, 0.9], abs=6e-4)


@pytest.mark.parametrize("scheme", ["light", "dark", "paper"])
def test_the_picture_has_a_curve_of_every_wheel_and_its_own_paper(pages, scheme):
    answer = pages.get(f"/trends/picture.svg?scheme={scheme}")
    assert answer.mimetype == "image/svg+xml"
    assert all(f">wheel {wheel}<" in answer.text for wheel in ("−2", "−1", "0", "1", "2"))
    assert ("#dfe4e6" in answer.text) == (scheme == "dark")
    assert "script" not in answer.text
    again = pages.get(f"/trends/picture.svg?scheme={scheme}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_known_problem_is_a_band_where_it_was(pages):
    assert pages.get("/trends/0/1/2/picture.svg?layer=3").text.count("url(#") > 0
    assert "url(#h" not in pages.get("/trends/0/1/2/picture.svg?layer=4").text
    assert "runs 115–125: layer 3, low voltage" in pages.get("/trends/0/1/2/").text


def test_a_picture_is_drawn_anew_when_a_problem_is_noted_or_a_run_comes(make_app):
    app = make_app()
    driftwatch, client = app.extensions["driftwatch"], app.test_client()
    tags = []

    def look():
        tags.append(client.get("/trends/0/1/2/columns.json").headers["ETag"])

    look()
    load(driftwatch, {A: {3: 0.9}}, 100)
    driftwatch.store.runs.update(100, summary=driftwatch.store.items.tally(100).counts)
    look()
    problem = driftwatch.labelling.problems.add("eve", A, [3], "low voltage", since=100)
    look()
    driftwatch.labelling.problems.end("eve", problem.id, 100)
    look()
    assert len(set(tags)) == 4


@pytest.mark.parametrize("path", ["/trends/runs", "/trends/0/1/2/runs"])
def test_the_numbers_can_be_saved_as_they_stand(pages, path):
    query = "?first=105&sort=run&descending=false"
    rows = list(csv.DictReader(io.StringIO(csv_text(pages.get(f"{path}.csv{query}")))))
    objects = json.loads(pages.get(f"{path}.json{query}").text)
    assert [int(row["run"]) for row in rows] == [one["run"] for one in objects] == [110, 120, 130]
    assert [
        {name: value == "True" if name == "simulated" else float(value) for name, value in row.items()} for row in rows
    ] == objects
    assert pages.get(f"{path}.xml").status_code == 404


@pytest.mark.parametrize("sort", ["run", "bad_wheel_-1", "bad_parts"])
def test_every_column_sorts_both_ways(pages, sort):
    up, down = (numbers(pages.get(f"/trends/?sort={sort}&descending={way}").text) for way in ("false", "true"))
    assert up == down[::-1]
    assert len(up) == 4


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("?by=colour", "one of wheel, station, kind, run"),
        ("?first=0", "a whole number from 1"),
        ("?first=120&last=110", "a run from 120 on"),
        ("?model=none", "one of"),
        ("?sort=bad_kind_block", "one of run, bad_wheel_-2"),
        ("?page=7", "there is only one page"),
        ("0/1/2/?layer=13", "one of 1, 2"),
        ("1/13/4/?layer=5", "one of 1, 2, 3, 4, 9"),
        ("chamber/?wheel=0&station=2", "The sector is missing"),
        ("chamber/?wheel=0&station=2&sector=13", "from 1 to 12 in station 2"),
        ("chamber/?wheel=1&station=4&sector=13&layer=5", "a layer that"),
        ("chamber/?wheel=1&station=4&sector=13&layer=x", "a whole number from 1 to 12"),
        ("0/13/2/", "from 1 to 12 in station 2"),
        ("picture.svg?scheme=red", "one of paper, light, dark"),
    ],
)
def test_what_cannot_be_is_refused_and_explained(pages, query, allowed):
    answer = pages.get(f"/trends/{query}")
    assert answer.status_code == 400
    assert allowed in answer.text


def test_the_form_of_a_chamber_leads_to_it(pages):
    answer = pages.get("/trends/chamber/?wheel=1&station=4&sector=13&layer=9&first=110")
    assert answer.location == "/trends/1/13/4/?layer=9&first=110"
    assert pages.get(answer.location).status_code == 200


@pytest.mark.parametrize("path", ["/trends/", "/trends/0/1/2/", "/data/statistics/", "/data/net_scores/", "/run/100/"])
def test_an_address_with_words_of_the_program_itself_is_harmless(pages, path):
    query = "endpoint=x&_external=1&_anchor=y&ending=z&which=w&scheme=v&wheel=0&sector=1&station=2&run=100"
    assert pages.get(f"{path}?{query}").status_code == 200


def test_an_empty_database_says_what_will_be_here(client):
    assert "As soon as runs are finished" in client.get("/trends/").text
    assert client.get("/trends/0/1/2/").status_code == 200
    assert client.get("/trends/picture.svg").status_code == 200
    assert client.get("/trends/columns.json").json["panels"][0]["columns"] == []


def test_ten_thousand_values_are_thinned_without_losing_the_greatest():
    random = np.random.default_rng(7)
    runs = np.sort(random.choice(50_000, 10_000, replace=False)) + 300_000
    values = random.poisson(3, 10_000).astype(float)
    values[random.random(10_000) < 0.05] = np.nan
    thinned = thin(runs, values, 300_000, 349_999)
    assert len(thinned.first) <= COLUMNS
    assert thinned.runs.sum() == np.count_nonzero(~np.isnan(values))
    assert thinned.greatest.max() == np.nanmax(values)
    for i in (0, 17, len(thinned.first) - 1):
        inside = (runs >= thinned.first[i]) & (runs <= thinned.last[i]) & ~np.isnan(values)
        those = np.sort(values[inside])
        assert (thinned.runs[i], thinned.least[i], thinned.greatest[i]) == (len(those), those[0], those[-1])
        assert thinned.middle[i] == those[(len(those) - 1) // 2]
        assert values[runs == thinned.at[i]] == those[-1]
