import re

import pytest

from app.domain.items import ItemState
from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber

ROW = re.compile(r"<tr>\s*<td class=\"number\">(.*?)</tr>", re.DOTALL)
PLACE = re.compile(r"/eval/(\d+)/(-?\d)/(\d+)/(\d)/")


def rows(page):
    """(certainty, (run, wheel, sector, station), the whole row) of each row."""
    return [
        (row.split("<")[0], tuple(map(int, PLACE.search(row).groups())), row)
        for row in ROW.findall(page.partition("<tbody>")[2])
    ]


@pytest.fixture
def pages(loaded):
    return loaded.test_client()


def test_without_scores_the_page_says_how_to_begin(client):
    answer = client.get("/data/net_scores/")
    assert answer.status_code == 200
    assert "No scores yet" in answer.text
    assert 'href="/fetch/"' in answer.text


def test_the_least_certain_chambers_come_first_and_everything_comes_once(pages):
    seen = []
    for page in range(1, 6):
        seen += rows(pages.get(f"/data/net_scores/?size=100&page={page}").text)
    certainties = [float(certainty) for certainty, _, _ in seen if certainty != "–"]
    assert certainties == sorted(certainties)
    assert len({place for _, place, _ in seen}) == len(seen) == 500


def test_a_row_has_the_twelve_scores_and_names_what_has_none(pages, loaded):
    for _, (run, wheel, sector, station), row in rows(pages.get("/data/net_scores/?size=50").text):
        item = loaded.extensions["driftwatch"].store.items.get(
            run, Chamber(wheel=wheel, station=station, sector=sector)
        )
        shown = re.findall(r'<td class="s(?: [^"]*)?"[^>]*>([^<]*)</td>', row)
        expected = ["–" if verdict == "absent" else "·" for verdict in item.judgement.verdicts]
        for i, score in enumerate(item.judgement.scores):
            if score is not None:
                expected[i] = f"{score:.3f}"
        assert shown == expected
        assert row.startswith(f"{item.judgement.certainty:.5f}<")


def test_unjudged_chambers_are_shown_as_such(pages, loaded):
    unjudged = [
        item
        for run in (302634, 302635)
        for item in loaded.extensions["driftwatch"].store.items.of_run(run)
        if item.state is ItemState.UNJUDGED
    ]
    assert unjudged
    shown = rows(pages.get("/data/net_scores/?state=unjudged").text)
    assert len(shown) == len(unjudged)
    assert all(certainty == "–" and "·</td>" in row for certainty, _, row in shown)


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("run=302634", lambda run, wheel, sector, station: run == 302634),
        ("wheel=-2", lambda run, wheel, sector, station: wheel == -2),
        ("wheel=−2", lambda run, wheel, sector, station: wheel == -2),
        ("station=4&sector=13", lambda run, wheel, sector, station: (station, sector) == (4, 13)),
    ],
)
def test_filters_live_in_the_address(pages, loaded, query, fits):
    shown = [place for _, place, _ in rows(pages.get(f"/data/net_scores/?size=100&{query}").text)]
    items = [i for run in (302634, 302635) for i in loaded.extensions["driftwatch"].store.items.of_run(run)]
    expected = sum(fits(i.run, i.place.wheel, i.place.sector, i.place.station) for i in items)
    assert len(shown) == min(100, expected)
    assert all(fits(*place) for place in shown)


def test_a_range_of_scores_is_that_of_the_worst_layer(pages):
    shown = rows(pages.get("/data/net_scores/?least=0.5&most=0.9&sort=score").text)
    worst = [float(re.findall(r'<td class="number">([01]\.\d{3})</td>', row)[-1]) for _, _, row in shown]
    assert worst
    assert worst == sorted(worst, reverse=True)
    assert all(0.5 <= value <= 0.9 for value in worst)


@pytest.mark.parametrize("sort", ["certainty", "score", "run", "wheel", "station", "sector", "state"])
def test_every_column_that_sorts_sorts_both_ways(pages, sort):
    ways = [
        [place for _, place, _ in rows(pages.get(f"/data/net_scores/?size=100&sort={sort}&descending={way}").text)]
        for way in ("true", "false")
    ]
    assert all(len(way) == 100 for way in ways)
    assert ways[0] != ways[1]
    assert 'aria-sort="ascending"' in pages.get(f"/data/net_scores/?sort={sort}&descending=false").text


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("run=0", "a whole number from 1 to 999,999,999"),
        ("run=-5", "a whole number from 1 to 999,999,999"),
        ("run=1000000000", "a whole number from 1 to 999,999,999"),
        ("run=abc", "a whole number from 1 to 999,999,999"),
        ("wheel=3", "a whole number from -2 to 2"),
        ("station=0", "a whole number from 1 to 4"),
        ("sector=15", "a whole number from 1 to 14"),
        ("sector=<script>alert(1)</script>", "a whole number from 1 to 14"),
        ("least=2", "a number from 0 to 1"),
        ("most=nan", "a number from 0 to 1"),
        ("least=0.9&most=0.1", "at least 0.9"),
        ("state=lost", "one of scored, judged"),
        ("sort=occupancy", "one of certainty, score"),
        ("size=21", "one of 20, 50, 100"),
        ("size=1000000000", "one of 20, 50, 100"),
        ("page=0", "a whole number from 1 to 25"),
        ("page=-1", "a whole number from 1 to 25"),
        ("page=1000000000", "a whole number from 1 to 25"),
    ],
)
def test_a_wrong_filter_is_explained_beside_its_field(pages, query, allowed):
    answer = pages.get(f"/data/net_scores/?{query}")
    assert answer.status_code == 400
    assert allowed in answer.text
    assert "<script>alert" not in answer.text
    assert rows(answer.text) == []


def test_nothing_that_fits_is_not_an_error(pages):
    answer = pages.get("/data/net_scores/?run=305000")
    assert answer.status_code == 200
    assert "No chamber is like this" in answer.text


def test_missing_chambers_are_listed_with_their_reasons(client, driftwatch):
    driftwatch.store.runs.request(302640, "tests", 250)
    missing = UnusableHistogram(Reason.NEGATIVE, "layer 3, cell 7 is -7")
    driftwatch.store.items.store(302640, [(Chamber(wheel=0, station=1, sector=1), missing)], "tests")
    page = client.get("/data/net_scores/?state=missing").text
    assert "a count is negative: layer 3, cell 7 is -7" in page
    assert rows(client.get("/data/net_scores/").text) == []
