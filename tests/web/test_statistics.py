import csv
import io
import json
import re
from dataclasses import replace
from operator import itemgetter

import pytest
from csv_text import csv_text
from queue_of_chambers import load

from app.domain.items import ItemState
from app.domain.labels import Seen
from app.subsystems.dt.geometry import Chamber
from app.web.labels.label_lists import LABELLED

A, B, C = (Chamber(wheel=0, station=2, sector=sector) for sector in (1, 2, 3))


@pytest.fixture
def items(loaded):
    store = loaded.extensions["driftwatch"].store
    return [item for run in (302634, 302635) for item in store.items.of_run(run) if item.state is ItemState.JUDGED]


def table(page, title):
    """The rows of the table of a section, as (heading, [(number, where it leads)])."""
    body = re.search(rf">{title}.*?<tbody>(.*?)</tbody>", page, re.DOTALL)[1]
    found = []
    for row in body.split("</tr>"):
        if head := re.search(r'<th scope="row">([^<]*)', row):
            cells = re.findall(r'<td class="number">(?:<a href="([^"]*)"[^>]*>)?([^<]*)', row)
            found.append((head[1], [(number, link.replace("&amp;", "&")) for link, number in cells]))
    return found


def listed(client, address):
    return int(re.search(r"of (?:more than )?([\d,]+) chamber", client.get(address).text)[1].replace(",", ""))


@pytest.mark.parametrize("query", ["", "?run=302635", "?wheel=-1&station=4", "?by=wheel", "?by=station&run=302634"])
def test_every_number_of_the_spread_leads_to_as_many_chambers(loaded, query):
    client = loaded.test_client()
    rows = table(client.get(f"/data/statistics/{query}").text, "worst score")
    assert len(rows) == 20
    followed = 0
    for _, cells in rows:
        for number, link in cells:
            if link and followed < 12:
                assert listed(client, link) == int(number.replace(",", "")), link
                followed += 1
    assert followed


def test_the_spread_counts_every_judged_chamber_once(loaded, items):
    client = loaded.test_client()
    for query, fits in (
        ("", lambda item: True),
        ("?run=302634", lambda item: item.run == 302634),
        ("?wheel=2&station=1", lambda item: (item.place.wheel, item.place.station) == (2, 1)),
    ):
        rows = list(csv.DictReader(io.StringIO(csv_text(client.get(f"/data/statistics/scores.csv{query}")))))
        expected = [0] * 20
        for item in filter(fits, items):
            expected[min(int(item.judgement.worst * 20), 19)] += 1
        assert [int(row["chambers"]) for row in rows] == expected


def test_the_uncertain_share_is_that_of_the_list_behind_it(loaded, items):
    client = loaded.test_client()
    rows = table(client.get("/data/statistics/").text, "wheel")
    assert [head for head, _ in rows] == ["−2", "−1", "0", "1", "2"]
    for wheel, (_, cells) in zip((-2, -1, 0, 1, 2), rows, strict=True):
        for station, (share, link) in enumerate(cells, start=1):
            those = [item for item in items if (item.place.wheel, item.place.station) == (wheel, station)]
            uncertain = sum(item.judgement.certainty < 0.4 for item in those)
            assert float(share.removesuffix(" %")) == pytest.approx(100 * uncertain / len(those), abs=0.06)
            if uncertain:
                assert listed(client, link) == uncertain


def test_a_label_that_is_not_on_its_item_yet_when_the_page_is_made_is_there_once_it_is(make_app, sign_in, monkeypatch):
    app = make_app()
    driftwatch, client = app.extensions["driftwatch"], app.test_client()
    load(driftwatch, {A: {3: 0.92}}, 100)
    summary = driftwatch.store.items.tally(100).counts
    driftwatch.store.runs.update(100, summary=summary)
    seen = Seen.of(driftwatch.store.items.get(100, A))
    with monkeypatch.context() as patch:  # as where the program is killed there, or the page made at the same moment
        patch.setattr(driftwatch.labelling, "_project", lambda run, place, events: None)
        driftwatch.labelling.submit("ann", 100, A, [3], "a-key-of-ann-1", seen)
    assert "Nobody labelled a chamber like this" in client.get("/data/statistics/").text
    driftwatch.labelling.reconcile()
    assert "Nobody labelled a chamber like this" not in client.get("/data/statistics/").text


def test_labels_say_what_a_score_means(make_app, sign_in):
    app = make_app()
    driftwatch, client = app.extensions["driftwatch"], app.test_client()
    load(driftwatch, {A: {3: 0.92}, B: {3: 0.97}, C: {3: 0.55}}, 100)
    assert "Nobody labelled a chamber like this" not in client.get("/data/statistics/").text  # nothing is summed yet
    summary = driftwatch.store.items.tally(100).counts
    driftwatch.store.runs.update(100, summary=summary)
    assert "Nobody labelled a chamber like this" in client.get("/data/statistics/").text
    for i, (place, bad) in enumerate(((A, [3]), (B, []), (C, [3, 4]))):
        seen = Seen.of(driftwatch.store.items.get(100, place))
        driftwatch.labelling.submit("ann", 100, place, bad, f"a-key-of-ann-{i}", seen)
    page = client.get("/data/statistics/").text
    steps = {head: [number for number, _ in cells] for head, cells in table(page, "What a score means")}
    assert steps["0.9–1.0"] == ["2", "1", "50.0 %", "0.945"]
    assert steps["0.5–0.6"] == ["1", "1", "100.0 %", "0.550"]
    assert steps["0.0–0.1"][:2] == ["33", "1"]
    saved = json.loads(client.get("/data/statistics/calibration.json?sort=step_least&descending=true").text)
    assert saved[0] == {
        "least": 0.9,
        "most": 1.0,
        "layers": 2,
        "bad": 1,
        "share": 0.5,
        "mean_score": pytest.approx(0.945),
    }
    links = {head: cells[0][1] for head, cells in table(page, "What a score means")}
    assert [listed(client, links[head]) for head in ("0.0–0.1", "0.5–0.6", "0.9–1.0")] == [3, 1, 2]
    wrong = client.get("/data/contamination/?layer_least=0.9&layer_most=0.1")
    assert (wrong.status_code, "at least 0.9, the lower end" in wrong.text) == (400, True)
    for which in ("scores", "calibration"):
        picture = client.get(f"/data/statistics/picture/{which}.svg?scheme=dark")
        assert (picture.status_code, picture.mimetype) == (200, "image/svg+xml")
        assert "#dfe4e6" in picture.text
    assert "Do people agree?" not in page
    sign_in(client, "expert")
    assert "No chamber has two answers" in client.get("/data/statistics/").text


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("run=0", "from 1 to 999,999,999"),
        ("wheel=3", "from -2 to 2"),
        ("by=x", "one of all, wheel"),
        ("model=x", "one of"),
    ],
)
def test_a_wrong_filter_is_refused_and_explained(loaded, query, allowed):
    client = loaded.test_client()
    for address in ("/data/statistics/", "/data/statistics/picture/scores.svg", "/data/statistics/scores.json"):
        answer = client.get(f"{address}?{query}")
        assert answer.status_code == 400
        assert allowed in answer.text
    assert client.get("/data/statistics/picture/colour.svg").status_code == 404


@pytest.mark.parametrize(("title", "sort", "column"), [("worst score", "line_0", 0), ("wheel", "station_3", 2)])
@pytest.mark.parametrize("descending", [False, True])
def test_each_table_sorts_by_its_columns(loaded, title, sort, column, descending):
    page = loaded.test_client().get(f"/data/statistics/?sort={sort}&descending={str(descending).lower()}").text
    values = [float(cells[column][0].replace(",", "").removesuffix(" %")) for _, cells in table(page, title)]
    assert values == sorted(values, reverse=descending)
    assert page.count("aria-sort") == 1


@pytest.mark.parametrize(
    ("name", "title", "query"),
    [
        ("scores", "worst score", "sort=line_0&descending=true&run=302634"),
        ("uncertain", "wheel", "sort=station_3"),
    ],
)
def test_each_table_is_saved_as_it_stands(loaded, name, title, query):
    client = loaded.test_client()
    page = table(client.get(f"/data/statistics/?{query}").text, title)
    saved = json.loads(client.get(f"/data/statistics/{name}.json?{query}").text)
    assert f"/data/statistics/{name}.csv?{query.replace('&', '&amp;')}" in client.get(f"/data/statistics/?{query}").text
    if name == "scores":
        assert [row["chambers"] for row in saved] == [int(cells[0][0].replace(",", "")) for _, cells in page]
    else:
        wheels = [head.replace("−", "-") for head, _ in page]
        assert [(str(row["wheel"]), row["station"]) for row in saved] == [
            (wheel, f"MB{station}") for wheel in wheels for station in range(1, 5)
        ]
        shares = [f"{100 * row['uncertain'] / row['chambers']:.1f}" for row in saved]
        shown = [float(share.removesuffix(" %")) for _, cells in page for share, _ in cells]
        assert [float(share) for share in shares] == pytest.approx(shown, abs=0.06)


def test_a_table_that_is_not_there_is_not_found(loaded):
    client = loaded.test_client()
    for address, there in (("rows.csv", "scores, uncertain, calibration"), ("scores.xls", "csv, json")):
        answer = client.get(f"/data/statistics/{address}")
        assert (answer.status_code, there in answer.text) == (404, True)


def test_nothing_to_count_is_said(client, loaded):
    assert "No scores yet" in client.get("/data/statistics/").text
    assert "No chamber like this is judged" in loaded.test_client().get("/data/statistics/?run=5").text


def test_the_list_of_a_run_sorts_by_each_layer(loaded, items):
    client = loaded.test_client()
    for layer in (1, 7, 12):
        rows = client.get(f"/data/net_scores/scores.json?run=302635&sort=layer_{layer}&descending=true").json
        scores = [row[f"layer_{layer}"] for row in rows if row[f"layer_{layer}"] is not None]
        assert scores == sorted(scores, reverse=True)
        assert len(rows) == sum(item.run == 302635 for item in items)
    assert "one of certainty, score" in client.get("/data/net_scores/?sort=layer_3").text


def test_uncertain_chambers_are_listed_the_least_certain_first(loaded):
    client = loaded.test_client()
    rows = client.get("/data/net_scores/scores.json?uncertain=0.4").json
    assert rows
    assert max(row["certainty"] for row in rows) < 0.4
    assert client.get("/data/net_scores/?uncertain=0.4&sort=run").status_code == 400
    assert client.get("/data/net_scores/?uncertain=0.4&sort=run&run=302635").status_code == 200


@pytest.mark.parametrize(
    "path", ["net_scores/scores", "new_net_scores/scores", "contamination/labels", "user_scores/labels"]
)
def test_every_list_is_saved_alike_as_csv_and_as_json(loaded, path):
    client = loaded.test_client()
    rows = list(csv.DictReader(io.StringIO(csv_text(client.get(f"/data/{path}.csv?run=302635")))))
    objects = client.get(f"/data/{path}.json?run=302635").json
    assert len(rows) == len(objects)
    for row, one in zip(rows, objects, strict=True):
        assert list(row) == list(one)
        assert {name: "" if value is None else str(value) for name, value in one.items()} == row
    assert client.get(f"/data/{path}.xml").status_code == 404


@pytest.fixture(scope="module")
def several(_made_apps):
    """Labelled chambers of two runs; on one of them two people disagree. Look, do not change."""
    app = _made_apps(second_opinions=0)
    driftwatch = app.extensions["driftwatch"]
    said = [
        (100, A, {3: 0.92}, "eve", [], "why not"),
        (100, B, {5: 0.97}, "ann", [5, 6, 7], ""),
        (100, C, {1: 0.55}, "bob", [1], "=1+1"),
        (101, A, {12: 0.30}, "ann", [12, 2], "noisy"),
        (101, B, {8: 0.81}, "bob", [], ""),
    ]
    for run in (100, 101):
        load(driftwatch, {place: scores for number, place, scores, *_ in said if number == run}, run)
    for number, (run, place, _, person, bad, comment) in enumerate(said):
        seen = Seen.of(driftwatch.store.items.get(run, place))
        driftwatch.labelling.submit(person, run, place, bad, f"a-key-of-{number:02}", seen, comment=comment)
    return app


def label(row):
    return str(row["layer"]) in row["bad_layers"].split()


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("contamination", itemgetter("contamination")),
        ("layer", itemgetter("layer")),
        ("layer_score", itemgetter("score")),
        ("layer_label", label),
        ("bad_layers", lambda row: len(row["bad_layers"].split())),
        ("by", itemgetter("by")),
        ("at", itemgetter("at")),
        ("run", itemgetter("run")),
        ("wheel", itemgetter("wheel")),
        ("station", itemgetter("station")),
        ("sector", itemgetter("sector")),
    ],
)
@pytest.mark.parametrize("descending", ["true", "false"])
def test_labelled_chambers_of_all_runs_sort_by_each_column(several, sort, value, descending):
    client, query = several.test_client(), f"sort={sort}&descending={descending}"
    rows = client.get(f"/data/contamination/labels.json?{query}").json
    assert len(rows) == 5
    values = [value(row) for row in rows]
    assert values == sorted(values, reverse=descending == "true")
    page = client.get(f"/data/contamination/?{query}").text
    assert page.count(f'aria-sort="{"descending" if descending == "true" else "ascending"}"') == 1
    body = page.partition("<tbody>")[2]
    shown = re.findall(r'class="lead"><a href="/eval/(\d+)/(-?\d)/(\d+)/(\d)/"', body)
    assert shown == [tuple(str(row[name]) for name in ("run", "wheel", "sector", "station")) for row in rows]
    of_a_run = client.get(f"/data/contamination/labels.json?run=100&{query}").json
    assert [value(row) for row in of_a_run] == [value(row) for row in rows if row["run"] == 100]


def test_such_an_order_reads_the_chambers_of_the_page_and_no_others(several):
    driftwatch = several.extensions["driftwatch"]
    lists = driftwatch.store.lists
    query = replace(LABELLED, model=driftwatch.model, descending=True)
    for sort in (*lists.SORTS_OF_LABELLED, "run", "wheel", "station", "sector"):
        order = [(name, -1) for name in (lists.SORTS | lists.SORTS_OF_LABELLED)[sort]]
        found = driftwatch.store._database["items"].find(lists._filter(query)).sort(order).limit(2)
        read = found.hint(lists._index(replace(query, sort=sort), 2)).explain()["executionStats"]
        assert read["totalDocsExamined"] == 2, sort


def test_the_spread_is_saved_in_the_order_of_the_address(loaded):
    client = loaded.test_client()
    rows = client.get("/data/statistics/scores.json?by=wheel&sort=line_2&descending=true").json
    counts = [row["wheel 0"] for row in rows]
    assert len(counts) == 20
    assert counts == sorted(counts, reverse=True)
    assert client.get("/data/statistics/scores.csv?sort=line_9").status_code == 400


def test_comments_and_what_was_said_sort_in_the_list_of_one_run(several):
    client = several.test_client()
    rows = client.get("/data/contamination/labels.json?run=100&sort=comment&descending=false").json
    assert [row["comment"] for row in rows] == ["", "=1+1", "why not"]
    assert client.get("/data/contamination/?sort=comment").status_code == 400
    rows = client.get("/data/net_scores/scores.json?run=100&sort=evaluation&descending=true").json
    assert len(rows) == 3
    assert client.get("/data/net_scores/?sort=evaluation").status_code == 400
    assert client.get("/data/new_net_scores/scores.csv?run=100&sort=skipped_by").status_code == 200
    assert "the list of one run can be sorted by it" in client.get("/data/contamination/").text
