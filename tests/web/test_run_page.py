import re
from dataclasses import replace

import pytest
from queue_of_chambers import load

from app.domain.items import ItemState
from app.domain.judgement import Verdict
from app.domain.labels import Seen
from app.domain.runs import Run, RunState
from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.web.run_map import View
from app.web.runs.run_report import Change, proposed_reference

SPOT = re.compile(
    r'<td(?: colspan="2")?><a class="spot ([^"]*)" href="/eval/(\d+)/(-?\d)/(\d+)/(\d)/" title="([^"]*)"[^>]*>([^<]*)'
)
A, B, C = (Chamber(wheel=0, station=2, sector=sector) for sector in (1, 2, 3))
MB4 = Chamber(wheel=1, station=4, sector=13)


def spots(page):
    """Chamber → (classes, mark, words), in the order of the map."""
    return {
        Chamber(wheel=int(wheel), station=int(station), sector=int(sector)): (look.split(), mark, words)
        for look, _, wheel, sector, station, words, mark in SPOT.findall(page)
    }


def finish(driftwatch, scores, run):
    """A finished run with these scores, and its summary."""
    load(driftwatch, scores, run)
    tally = driftwatch.store.items.tally(run)
    summary, reasons = tally.counts, tally.reasons
    driftwatch.store.runs.update(run, summary=summary, reasons=reasons, total=len(scores))


@pytest.fixture
def three(driftwatch):
    """Run 100 with layers 3 and 5 of A and 2 of B bad; run 101 with layers 5 and 6 of A and 1 of C."""
    finish(driftwatch, {A: {3: 0.9, 5: 0.9}, B: {2: 0.8}, C: {}, MB4: {}}, 100)
    finish(driftwatch, {A: {5: 0.9, 6: 0.9}, B: {}, C: {1: 0.99}, MB4: {}}, 101)
    return driftwatch


@pytest.fixture
def items(loaded):
    return {item.place: item for item in loaded.extensions["driftwatch"].store.items.of_run(302635)}


@pytest.mark.parametrize("view", list(View))
def test_every_view_of_the_map_has_every_chamber_once_with_words(loaded, view):
    answer = loaded.test_client().get(f"/run/302635/?show={view}")
    assert answer.status_code == 200
    shown = spots(answer.text)
    assert len(shown) == 250
    assert all(words.startswith(f"wheel {place.wheel}".replace("-", "−")) for place, (_, _, words) in shown.items())


def test_the_views_say_what_is_known_of_each_chamber(loaded, items):
    client = loaded.test_client()
    shown = {view: spots(client.get(f"/run/302635/?show={view}").text) for view in View}
    for place, item in items.items():
        if item.state is not ItemState.JUDGED:
            continue
        bad = item.judgement.bad
        assert shown[View.BAD][place][1] == (str(bad) if bad else "")
        code = 0 if not bad else 1 if bad <= 4 else 2 if bad <= 8 else 3
        assert shown[View.CODE][place][1] == (str(code) if code else "")
        assert (shown[View.KIND][place][1] == "") == (bad == 0)
        rate = item.hits / sum(layer.cells for layer in place.layers)
        assert f"{rate:.3g} hits per cell" in shown[View.STATISTICS][place][2]
        assert ("rate-0" in shown[View.STATISTICS][place][0]) == (rate < 1.5)
        assert shown[View.LABELS][place][2].endswith("not labelled")
        assert shown[View.MISSING][place][1:] == ("", shown[View.MISSING][place][2].split(":")[0] + ": judged")


def test_sectors_13_and_14_stand_beside_4_and_10_and_every_row_is_as_wide(loaded):
    page = loaded.test_client().get("/run/302635/").text
    order = [place for place in spots(page) if (place.wheel, place.station) == (0, 4)]
    assert [place.sector for place in order] == [1, 2, 3, 4, 13, 5, 6, 7, 8, 9, 10, 14, 11, 12]
    rows = re.findall(r'<tr><th class="station".*?</tr>', page, re.DOTALL)
    assert len(rows) == 20
    assert {row.count("<td>") + 2 * row.count('<td colspan="2">') for row in rows} == {14}


def test_what_is_new_is_what_was_good_in_the_reference_run(three, client):
    made = client.get("/api/v1/runs/101/summary").json
    assert (made["reference"], made["reference_proposed"]) == (100, True)
    changes = {(one["sector"], layer["layer"]): layer["change"] for one in made["bad"] for layer in one["layers"]}
    assert changes == {(1, 5): "stayed", (1, 6): "new", (3, 1): "new"}
    assert made["gone"] == [
        {"wheel": 0, "station": 2, "sector": 1, "layers": [3]},
        {"wheel": 0, "station": 2, "sector": 2, "layers": [2]},
    ]
    shown = spots(client.get("/run/101/?show=change").text)
    assert {place.sector: shown[place][1] for place in (A, B, C)} == {1: "+=−", 2: "−", 3: "+"}
    assert shown[MB4][1:] == ("", "wheel 1, sector 13, station 4: no bad layer then or now")


def test_the_run_is_one_sentence_for_the_logbook(three, client):
    page = client.get("/run/101/").text
    assert re.search(r'<p id="sentence">(.*?)</p>', page)[1] == (
        "Run 101: 2 bad chambers of 4 judged (3 bad layers of 44); new since run 100: W0 S1 MB2 layer 6 "
        f"(only by its score), W0 S3 MB2 layer 1 (only by its score); 1 chamber as before; gone: W0 S1 MB2 layer 3, "
        f"W0 S2 MB2 layer 2; scores by {three.model}."
    )
    assert 'data-copy="sentence"' in page


def test_without_a_run_to_compare_with_the_page_says_so(driftwatch, client):
    finish(driftwatch, {A: {3: 0.9}, B: {}}, 100)
    page = client.get("/run/100/?show=change").text
    assert "There is no other finished run" in page
    assert "Run 100: 1 bad chamber of 2 judged (1 bad layer of 24); bad: W0 S1 MB2 layer 3" in page
    assert all(mark == "?" for _, mark, words in spots(page).values() if "compare" in words)


def test_a_reference_can_be_chosen(three, client):
    finish(three, {A: {5: 0.9, 6: 0.9}, B: {}, C: {}, MB4: {}}, 50)
    assert client.get("/api/v1/runs/101/summary").json["reference"] == 50  # the better one, though it is further away
    chosen = client.get("/api/v1/runs/101/summary?reference=100").json
    assert (chosen["reference"], chosen["reference_proposed"]) == (100, False)
    assert 'Against run <a href="/run/100/">100</a>' in client.get("/run/101/?reference=100").text


@pytest.mark.parametrize("reference", ["101", "305000", "0", "x", "<script>alert(1)</script>", "99999999999"])
def test_a_reference_that_cannot_be_is_refused_and_explained(three, client, reference):
    answer = client.get("/run/101/", query_string={"reference": reference})
    assert answer.status_code == 400
    assert 'id="reference-wrong"' in answer.text
    assert "<script>alert" not in answer.text
    assert len(spots(answer.text)) == 250
    problem = client.get("/api/v1/runs/101/summary", query_string={"reference": reference})
    assert (problem.status_code, problem.json["field"]) == (400, "reference")


def test_layers_that_were_not_judged_are_neither_new_nor_gone():
    good, bad, unjudged, absent = Verdict.GOOD, Verdict.BAD, Verdict.UNJUDGED, Verdict.ABSENT
    then = (good, bad, unjudged, unjudged, bad, absent, Verdict.EMPTY)
    now = (bad, bad, bad, good, unjudged, absent, good)
    assert Change.between(then, now) == Change(new=(1,), stayed=(2,), gone=(7,))
    assert Change.between(None, now) == Change(comparable=False)


def run_with(number, bad, judged=250):
    summary = {"bad_parts": bad, "parts": 2720, "judged": judged}
    return Run(number, RunState.FINISHED, total=250, model="m", summary=summary)


@pytest.mark.parametrize(
    ("near", "proposed"),
    [
        ([], None),
        ([(99, 5), (101, 5)], 99),  # as near, as good: the earlier one
        ([(99, 900), (101, 5), (90, 5)], 101),  # the nearest is worse than most
        ([(99, 5, 100), (80, 700)], 80),  # the nearest has too few hits: hardly anything is judged
        ([(99, 5, 100)], None),
    ],
)
def test_the_nearest_run_with_enough_hits_that_is_no_worse_than_most_is_proposed(near, proposed):
    found = proposed_reference(run_with(100, 3), [run_with(*one) for one in near])
    assert (found and found.number) == proposed
    assert proposed_reference(run_with(100, 3), [replace(run_with(99, 1), summary={})]) is None


def test_bad_chambers_are_shown_as_pictures_with_what_is_wrong(loaded, items):
    page = loaded.test_client().get("/run/302635/").text
    listed = re.search(r'<ol class="worst">(.*?)</ol>', page, re.DOTALL)[1]
    bad = {place: item for place, item in items.items() if item.judgement.bad}
    assert listed.count("<img ") == len(bad) <= 24
    for place, item in bad.items():
        where = f"/eval/302635/{place.wheel}/{place.sector}/{place.station}/"
        entry = next(one for one in listed.split("<li><a ") if where in one)
        assert re.findall(r"<li>(\d+)", entry) == [str(layer) for layer in item.bad_kinds]
        for finding in item.findings:
            if finding["makes_bad"] and item.bad_parts.get(finding["layer"], ("", ""))[1] == finding["text"]:
                assert finding["text"].replace("'", "&#39;") in entry


def test_many_bad_chambers_are_shown_on_demand(driftwatch, client):
    places = [Chamber(wheel=wheel, station=1, sector=sector) for wheel in (-1, 0, 1) for sector in range(1, 13)]
    finish(driftwatch, {place: {1: 0.9} for place in places}, 100)
    page = client.get("/run/100/").text
    assert page.count('loading="lazy"') == 24
    assert "All 36 bad chambers" in page
    assert client.get("/run/100/?all=true").text.count('loading="lazy"') == 36


def test_what_is_missing_is_on_the_map_and_in_the_sentence(three, client):
    missing = UnusableHistogram(Reason.NOT_FINITE, "layer 1, cell 2 is nan")
    gone = Chamber(wheel=2, station=3, sector=7)
    three.store.items.store(101, [(gone, missing)], "tests")
    three.store.runs.update(101, missing=1)
    page = client.get("/run/101/?show=missing").text
    assert spots(page)[gone][1:] == ("×", "wheel 2, sector 7, station 3: missing, a count is not finite")
    assert "; 1 missing; scores by" in page


def test_first_answers_are_hidden_on_the_map_from_whoever_is_to_give_a_second(make_app, sign_in):
    app = make_app(second_opinions=1)
    driftwatch = app.extensions["driftwatch"]
    finish(driftwatch, {A: {3: 0.9}, B: {}}, 100)
    driftwatch.labelling.submit("ann", 100, A, [3], "a-key-of-ann-s", Seen.of(driftwatch.store.items.get(100, A)))
    marks = {}
    for name in ("ann", "bob"):
        client = app.test_client()
        sign_in(client, "shifter", name)
        marks[name] = spots(client.get("/run/100/?show=labels").text)[A][1:]
    assert marks["ann"] == ("▲", "wheel 0, sector 1, station 2: labelled bad: 3")
    assert marks["bob"][0] == "…"


def test_wrong_addresses_are_explained(loaded, client):
    answer = loaded.test_client().get("/run/302635/?show=colour")
    assert answer.status_code == 400
    assert "one of score, bad, code" in answer.text
    assert client.get("/run/302635/").status_code == 404
    assert client.get("/run/abc/").status_code == 400
    assert client.get("/api/v1/runs/302635/summary").status_code == 404


def test_the_form_leads_to_the_run_it_names_and_without_one_to_the_newest(loaded, client):
    there = loaded.test_client()
    assert there.get("/run/?run=302634").location == "/run/302634/"
    assert there.get("/run/").location == "/run/302635/"
    assert there.get("/run/?run=x").status_code == 400
    assert client.get("/run/").location == "/"


def test_a_run_without_chambers_says_why(driftwatch, client):
    driftwatch.store.runs.request(302640, "someone", 250)
    driftwatch.store.runs.update(302640, state=RunState.FAILED, why="The server wants <a> sign-in.")
    page = client.get("/run/302640/").text
    assert "Run 302640 has no chambers" in page
    assert "The server wants &lt;a&gt; sign-in." in page


def test_pages_lead_to_the_run(loaded):
    client = loaded.test_client()
    for path in ("/fetch/", "/data/net_scores/", "/progress/", "/eval/302635/0/1/1/", "/saliency/302635/"):
        assert 'href="/run/302635/"' in client.get(path).text, path
