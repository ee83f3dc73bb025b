"""The lists of labels, progress, agreement, known problems: what they show is what is stored, whoever reads."""

import csv
import io
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from operator import itemgetter

import pytest
from csv_text import csv_text
from waiting import wait_until

from app.domain.items import ItemState
from app.domain.labels import Seen
from app.subsystems.dt.geometry import Chamber

RUN = 302634
PLACE = re.compile(r"/eval/(\d+)/(-?\d)/(\d+)/(\d)/")
LISTS = ("/data/new_net_scores/", "/data/contamination/", "/data/user_scores/")


def load(app):
    driftwatch = app.extensions["driftwatch"]
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="tests")
    wait_until(lambda: not driftwatch.store.runs.busy())
    return app


def judged(app):
    return [i for i in app.extensions["driftwatch"].store.items.of_run(RUN) if i.state is ItemState.JUDGED]


def say(app, who, place, bad=(), **more):
    """A label of a person who saw what is there now."""
    driftwatch = app.extensions["driftwatch"]
    seen = Seen.of(driftwatch.store.items.get(RUN, place))
    return driftwatch.labelling.submit(who, RUN, place, bad, str(uuid.uuid4()), seen, **more).event


def client_of(app, sign_in, role=None, name=None):
    client = app.test_client()
    if role:
        sign_in(client, role, name)
    return client


def rows(page):
    """The cells of each row of the list, without tags."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", page.partition("<tbody>")[2], re.DOTALL)
    return [[re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", r, re.S)] for r in found]


def places(page):
    """(run, wheel, sector, station) of each row."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [tuple(map(int, found)) for found in PLACE.findall(body)]


def where(thing):
    return RUN, thing.place.wheel, thing.place.sector, thing.place.station


def table(answer):
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(csv_text(answer))))


@pytest.fixture(scope="module")
def labelled(_made_apps, demo):
    """A run of which some chambers are labelled, and the events. Look, do not change."""
    app = load(_made_apps(dqm_url=demo.url, second_opinions=0))
    items = judged(app)
    said = [
        say(app, "ann", items[0].place, [3, 4], comment='=HYPERLINK("http://example.org")', seconds=4.4),
        say(app, "berta", items[1].place, []),
        say(app, "berta", items[2].place, reason="low_statistics", comment="too\nlittle"),
        say(app, "ann", items[3].place, [1]),
    ]
    undo = app.extensions["driftwatch"].labelling.undo("ann", said[3].id, str(uuid.uuid4())).event
    return app, [*said, undo]


@pytest.fixture(scope="module")
def second(_made_apps, demo):
    """A run of which every label wants a second opinion."""
    return load(_made_apps(dqm_url=demo.url, second_opinions=1))


# --- what nobody labelled ---


def test_the_unlabelled_come_least_certain_first_and_each_once(labelled):
    app, events = labelled
    client = app.test_client()
    pages = [client.get(f"/data/new_net_scores/?size=100&page={page}").text for page in (1, 2, 3)]
    certainties = [row[0] for page in pages for row in rows(page)]
    judged_ones = [float(one) for one in certainties if one != "–"]
    assert judged_ones == sorted(judged_ones)
    shown = [place for page in pages for place in places(page)]
    scored = [item for item in app.extensions["driftwatch"].store.items.of_run(RUN) if item.judgement]
    assert len(shown) == len(set(shown)) == len(scored) - 2
    assert not {where(event) for event in events[:2]} & set(shown)
    assert where(events[2]) in shown  # skipped only
    assert where(events[3]) in shown  # withdrawn
    assert "berta" in next(row for page in pages for row in rows(page) if row[-2] != "–")


def test_the_file_of_a_list_has_its_rows_in_its_order_with_its_filters(labelled):
    client = labelled[0].test_client()
    query = "wheel=1&sort=score"
    pages = [client.get(f"/data/new_net_scores/?{query}&size=50&page=1").text]
    assert f"/data/new_net_scores/scores.csv?{query.replace('&', '&amp;')}" in pages[0]
    found = table(client.get(f"/data/new_net_scores/scores.csv?{query}"))
    assert [tuple(int(row[k]) for k in ("run", "wheel", "sector", "station")) for row in found] == places(pages[0])
    worst = [float(row["worst_score"]) for row in found if row["worst_score"]]
    assert worst == sorted(worst, reverse=True)


def test_the_file_of_all_scores_has_every_chamber_layer_1_first(labelled):
    app, _ = labelled
    found = table(app.test_client().get("/data/net_scores/scores.csv?state=any&sort=run&descending=false"))
    items = {where(item): item for item in app.extensions["driftwatch"].store.items.of_run(RUN)}
    assert len(found) == len(items) == 250
    for row in found:
        item = items[tuple(int(row[k]) for k in ("run", "wheel", "sector", "station"))]
        scores = [float(row[f"layer_{n}"]) if row[f"layer_{n}"] else None for n in range(1, 13)]
        assert scores == list(item.judgement.scores)
    said = {
        where(item): row["evaluation"] for item, row in zip(items.values(), found, strict=True) if row["evaluation"]
    }
    assert sorted(said.values()) == ["bad: 3, 4", "good", "skipped"]


# --- where person and network disagree ---


def test_the_labelled_come_with_the_greatest_disagreement_first(labelled):
    app, events = labelled
    shown = rows(app.test_client().get("/data/contamination/").text)
    assert len(shown) == 2
    expected = []
    for event in events[:2]:
        differences = {n: abs(s - (n in event.bad)) for n, s in enumerate(event.scores, 1) if s is not None}
        layer = max(differences, key=differences.get)
        expected.append((differences[layer], layer, event.scores[layer - 1], event.by))
    expected.sort(reverse=True)
    assert [row[0] for row in shown] == [f"{one[0]:.3f}" for one in expected]
    assert [(row[1], row[2]) for row in shown] == [(str(one[1]), f"{one[2]:.3f}") for one in expected]
    found = table(app.test_client().get("/data/contamination/labels.csv"))
    assert [(float(row["contamination"]), int(row["layer"]), row["by"]) for row in found] == [
        (pytest.approx(one[0]), one[1], one[3]) for one in expected
    ]


# --- who said what ---


def test_everything_said_is_listed_newest_first_also_what_was_withdrawn(labelled):
    app, events = labelled
    page = app.test_client().get("/data/user_scores/").text
    assert re.findall(r'id="label-([0-9a-f]+)"', page) == [event.id for event in reversed(events)]
    for words in ("bad: 3, 4", "skipped: low statistics", "<s>bad: 1</s>", "withdrew the one before", "opened by hand"):
        assert words in page
    assert "&#39;=HYPERLINK" not in page  # made harmless in the file only
    assert "HYPERLINK" in page


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("by=ann", [0, 3, 4]),
        ("by=BERTA", [1, 2]),
        ("kind=skip", [2]),
        ("kind=undo", [4]),
        ("withdrawn=true", [3]),
        ("withdrawn=false&by=ann", [0, 4]),
        (f"run={RUN}", [0, 1, 2, 3, 4]),
        ("run=1", []),
        ("since=2026-01-01&until=2098-12-31", [0, 1, 2, 3, 4]),
        ("until=2020-01-01", []),
    ],
)
def test_what_was_said_can_be_filtered_and_sorted(labelled, query, wanted):
    app, events = labelled
    client = app.test_client()
    expected = [events[i].id for i in reversed(wanted)]
    page = client.get(f"/data/user_scores/?{query}").text
    assert re.findall(r'id="label-([0-9a-f]+)"', page) == expected
    assert [row["id"] for row in table(client.get(f"/data/user_scores/labels.csv?{query}"))] == expected
    upward = client.get(f"/data/user_scores/?{query}&sort=at&descending=false").text
    assert re.findall(r'id="label-([0-9a-f]+)"', upward) == expected[::-1]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("run=x", "a whole number from 1 to 999,999,999"),
        ("wheel=9", "a whole number from -2 to 2"),
        ("sector=15", "a whole number from 1 to 14"),
        ("sort=colour", "one of "),
        ("size=7", "one of 20, 50, 100"),
        ("page=99", "must be "),
    ],
)
def test_a_wrong_filter_is_explained_and_the_file_refuses_it_too(labelled, path, query, allowed):
    client = labelled[0].test_client()
    answer = client.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert allowed in answer.text
    assert rows(answer.text) == []
    if not query.startswith(("size", "page")):
        file = "labels.csv" if path != LISTS[0] else "scores.csv"
        assert client.get(f"{path}{file}?{query}").status_code == 400


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-13-01", "by=a%20b", "kind=shout", "withdrawn=perhaps"]
)
def test_what_only_the_events_have_is_checked_too(labelled, query):
    assert labelled[0].test_client().get(f"/data/user_scores/?{query}").status_code == 400


def test_a_cell_that_a_spreadsheet_would_take_for_a_formula_is_harmless_in_a_file(labelled):
    client = labelled[0].test_client()
    comments = [row["comment"] for row in table(client.get("/data/user_scores/labels.csv?withdrawn=false&kind=label"))]
    assert """'=HYPERLINK("http://example.org")""" in comments
    assert any("'=HYPER" in row["comment"] for row in table(client.get("/data/contamination/labels.csv")))


def test_empty_lists_say_what_will_stand_there(client):
    assert "No scores yet" in client.get("/data/new_net_scores/").text
    assert "No scores yet" in client.get("/data/contamination/").text
    assert "No labels yet" in client.get("/data/user_scores/").text
    assert "No problem is known" in client.get("/problems/").text
    assert client.get("/progress/").status_code == 200
    assert client.get("/agreement/").status_code == 200


# --- the API ---


def test_the_api_lists_the_same_and_every_field_goes_round(labelled):
    app, events = labelled
    client = app.test_client()
    answer = client.get("/api/v1/labels").json
    assert answer["count"] == len(events)
    assert [label["id"] for label in answer["labels"]] == [event.id for event in reversed(events)]
    first = answer["labels"][-1]
    assert (first["by"], first["bad"], first["seconds"], first["hidden"]) == ("ann", [3, 4], 4.4, False)
    assert first["scores"] == list(events[0].scores)
    assert answer["labels"][1]["withdrawn"] is True
    assert answer["labels"][0]["undoes"] == events[3].id
    assert [label["by"] for label in client.get("/api/v1/labels?by=berta&sort=at&descending=false").json["labels"]] == [
        "berta",
        "berta",
    ]
    later = (events[1].at + timedelta(milliseconds=1)).isoformat().replace("+", "%2B")
    assert client.get(f"/api/v1/labels?since={later}").json["count"] == 3
    assert client.get("/api/v1/labels?size=2&page=3").json["labels"][0]["id"] == events[0].id
    assert client.get("/api/v1/labels?size=2&page=4").status_code == 404
    assert client.get("/api/v1/labels?nothing=1").status_code == 400
    assert client.get("/api/v1/labels?since=2026-11-22").status_code == 400  # of which zone
    assert [row["id"] for row in table(client.get("/api/v1/labels.csv"))] == [event.id for event in reversed(events)]


# --- second opinions ---


def test_a_first_answer_is_hidden_from_all_others_until_there_is_a_second(second, sign_in):
    place = judged(second)[10].place
    say(second, "ann", place, [2], comment="broken wire")
    chamber = f"wheel={place.wheel}&sector={place.sector}&station={place.station}"
    path = f"/api/v1/runs/{RUN}/chambers/{place.wheel}/{place.sector}/{place.station}"
    ann = client_of(second, sign_in, "shifter", "ann")
    others = [second.test_client(), client_of(second, sign_in, "expert", "eva")]
    tellers = (
        f"/data/user_scores/?{chamber}",
        f"/data/user_scores/labels.csv?{chamber}",
        f"/api/v1/labels?{chamber}",
        f"/api/v1/labels.csv?{chamber}",
        path,
        "/progress/",
    )
    for other in others:
        for teller in tellers:
            assert "broken wire" not in other.get(teller).text, teller
        assert other.get(f"/api/v1/labels?{chamber}").json["labels"][0]["bad"] is None
        assert other.get(f"/api/v1/labels?{chamber}").json["labels"][0]["hidden"] is True
        assert other.get(path).json["evaluation"] is None
        scores = [s for s in other.get(f"/api/v1/scores?{chamber}").json["scores"] if s["run"] == RUN]
        assert [s["evaluation"] for s in scores] == [None]
        assert "a second opinion is wanted" in other.get(f"/data/net_scores/?{chamber}").text
        assert places(other.get(f"/data/contamination/?{chamber}").text) == []  # its rank would tell
        assert "since a second opinion is wanted: 1 chamber" in other.get("/progress/").text
    for teller in tellers:
        assert "broken wire" in ann.get(teller).text, teller
    say(second, "berta", place, [2])
    for other in others:
        for teller in tellers:
            shown = "broken wire" in other.get(teller).text
            assert shown == (teller not in (path, "/progress/")), teller  # there, the newest counts
        assert other.get(path).json["evaluation"]["bad"] == [2]


# --- progress ---


def test_progress_counts_what_stands_by_name_and_has_a_summary(labelled, sign_in):
    app, _ = labelled
    page = client_of(app, sign_in, "shifter", "ann").get("/progress/").text
    assert re.search(r"labelled by me today</dt><dd>1 <small>1 in all", page)
    assert re.search(r"labelled by everyone today</dt><dd>2 <small>2 in all", page)
    people = re.findall(r'href="/data/user_scores/\?by=(\w+)"', page)
    assert people == ["ann", "berta"]
    summary = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[1]
    assert f"- runs: {RUN}" in summary
    assert "- labelled: 2 chambers (ann 1, berta 1)" in summary
    assert re.search(r"layers 3, 4 \(ann: “=HYPERLINK", summary)
    assert "low statistics (berta: “too little”)" in summary
    assert "labelled by me" not in app.test_client().get("/progress/").text


def test_a_summary_is_of_the_time_asked_for(labelled):
    client = labelled[0].test_client()
    assert "- labelled: 0 chambers" in client.get("/progress/?since=2020-01-01&until=2020-01-02").text
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert "- labelled: 2 chambers" in client.get(f"/progress/?since=2026-01-01&until={tomorrow}").text
    for query in ("since=x", "since=2026-01-02&until=2026-01-01", f"since={tomorrow}"):
        answer = client.get(f"/progress/?{query}")
        assert answer.status_code == 400
        assert "is not possible here" in answer.text
        assert "<textarea" not in answer.text


@pytest.mark.parametrize(
    ("sort", "upward"),
    [("person_name", ["ann", "berta"]), ("person_total", None), ("person_today", None), ("person_compared", None)]
    + [(f"run_{name}", None) for name in ("run", "judged", "labelled", "share", "uncertain_left")],
)
def test_both_tables_of_the_progress_sort_by_each_column(labelled, sort, upward):
    client = labelled[0].test_client()
    for descending, word in (("false", "ascending"), ("true", "descending")):
        page = client.get(f"/progress/?since=2026-01-01&sort={sort}&descending={descending}").text
        assert page.count(f'aria-sort="{word}"') == 1
        assert f'name="sort" value="{sort}"' in page
        if upward:
            people = re.findall(r'href="/data/user_scores/\?by=(\w+)"', page)
            assert people == (upward if descending == "false" else upward[::-1])
    wrong = client.get("/progress/?sort=colour")
    assert (wrong.status_code, "is not possible here" in wrong.text) == (400, True)


# --- agreement ---


@pytest.fixture(scope="module")
def disputed(second):
    """Two chambers on which ann and berta disagree."""
    places = [item.place for item in judged(second)[20:22]]
    for place in places:
        say(second, "ann", place, [1, 2])
        say(second, "berta", place, [2])
    return places


@pytest.mark.parametrize(
    "sort", ["pair_people", "pair_items", "pair_observed", "layer_layer", "layer_bad", "layer_kappa"]
)
def test_both_tables_of_the_agreement_sort_by_each_column(second, sign_in, disputed, sort):
    eva = client_of(second, sign_in, "expert", "eva")
    for descending, word in (("false", "ascending"), ("true", "descending")):
        page = eva.get(f"/agreement/?sort={sort}&descending={descending}").text
        assert page.count(f'aria-sort="{word}"') == 1
    assert eva.get("/agreement/?sort=kappa").status_code == 400


def test_both_tables_of_the_agreement_are_saved_as_they_stand(second, sign_in, disputed):
    eva = client_of(second, sign_in, "expert", "eva")
    query = "sort=layer_bad&descending=true"
    page = eva.get(f"/agreement/?{query}").text
    assert f"/agreement/layers.json?{query.replace('&', '&amp;')}" in page
    layers = json.loads(eva.get(f"/agreement/layers.json?{query}").text)
    found = second.extensions["driftwatch"].labelling.agreement()
    assert {row["layer"]: row["bad"] for row in layers} == {one.part: one.bad for one in found.parts}
    assert [row["bad"] for row in layers] == sorted((row["bad"] for row in layers), reverse=True)
    pairs = list(csv.DictReader(io.StringIO(csv_text(eva.get("/agreement/pairs.csv")))))
    assert [(row["person"], row["other"], int(row["chambers"])) for row in pairs] == [
        (*pair.people, pair.items) for pair in found.pairs
    ]
    assert eva.get("/agreement/people.csv").status_code == 404
    assert client_of(second, sign_in, "shifter", "ann").get("/agreement/pairs.csv").status_code == 403


def test_the_figures_of_the_agreement_lead_to_their_chambers(second, sign_in, disputed):
    eva = client_of(second, sign_in, "expert", "eva")
    page = eva.get("/agreement/").text
    found = second.extensions["driftwatch"].labelling.agreement()
    chambers = {"": found.all.items, "?person=ann&amp;other=berta": found.pairs[0].items}
    chambers |= {f"?layer={one.part}": one.items for one in found.parts}
    for query, items in chambers.items():
        assert f'"/agreement/chambers/{query}">{items}</a>' in page
        rows = eva.get(f"/agreement/chambers/{query.replace('&amp;', '&')}").text
        assert rows.count("ann: ") == items
    differ = eva.get("/agreement/chambers/?layer=1&answers=different&sort=sector&descending=true").text
    assert f"{found.parts[0].observed * 100:.1f} %" in page
    assert differ.count("ann: bad: 1–2; berta: bad: 2") + differ.count("ann: bad: 1, 2; berta: bad: 2") == len(disputed)
    sectors = [int(sector) for sector in re.findall(r'place">(\d+)</td>\s*<td data-label="answers"', differ)]
    assert sectors == sorted((place.sector for place in disputed), reverse=True)


def test_the_answers_are_saved_as_they_stand(second, sign_in, disputed):
    eva = client_of(second, sign_in, "expert", "eva")
    rows = list(csv.DictReader(io.StringIO(csv_text(eva.get("/agreement/chambers/answers.csv?answers=different")))))
    said = {(row["station"], row["sector"], row["by"]): row["bad_layers"] for row in rows}
    for place in disputed:
        assert said[str(place.station), str(place.sector), "ann"] == "1 2"
        assert said[str(place.station), str(place.sector), "berta"] == "2"
    for query, accepted in {
        "person=ann&other=ann": "somebody else",
        "layer=13": "from 1 to 12",
        "answers=x": "one of alike, different",
        "sort=answers": "one of run",
        "page=9": "1: there is only one page",
    }.items():
        answer = eva.get(f"/agreement/chambers/?{query}")
        assert (answer.status_code, accepted in answer.text) == (400, True), query
    assert "No chamber was answered like this" in eva.get("/agreement/chambers/?person=nobody-else").text
    assert client_of(second, sign_in, "shifter", "ann").get("/agreement/chambers/").status_code == 403


def test_agreement_is_for_experts(second, sign_in):
    assert second.test_client().get("/agreement/").status_code == 303
    assert client_of(second, sign_in, "shifter", "ann").get("/agreement/").status_code == 403
    assert client_of(second, sign_in, "expert", "eva").get("/agreement/").status_code == 200


def test_an_expert_decides_as_one_of_them_or_otherwise(second, sign_in, disputed):
    eva = client_of(second, sign_in, "expert", "eva")
    page = eva.get("/agreement/").text
    store = second.extensions["driftwatch"].store
    for place in disputed:
        assert f"/agreement/{RUN}/{place.wheel}/{place.sector}/{place.station}" in page
    assert "ann, berta" in page
    assert "bad: 1, 2" in page

    def decide(client, place, **form):
        return client.post(f"/agreement/{RUN}/{place.wheel}/{place.sector}/{place.station}", data=form)

    first, other = disputed
    key = str(uuid.uuid4())
    assert decide(client_of(second, sign_in, "shifter", "ann"), first, **{"as": "2"}, key=key).status_code == 403
    for wrong in ({}, {"as": ""}, {"as": "13"}, {"as": "x"}, {"as": "otherwise", "bad": ["0"]}):
        assert decide(eva, first, key=key, **wrong).status_code == 400
    assert store.items.get(RUN, first).evaluation["state"] == "disputed"
    for _ in range(2):  # a double click is one decision
        assert decide(eva, first, **{"as": "1,2"}, key=key, comment="seen it").status_code == 303
    said = store.items.get(RUN, first).evaluation
    assert (said["state"], said["bad"], said["by"], said["comment"]) == ("resolved", [1, 2], "eva", "seen it")
    assert sum(event.kind == "resolve" for event in store.labels.of_item(RUN, first)) == 1
    assert decide(eva, other, **{"as": "otherwise", "bad": ["4", "3"]}, key=str(uuid.uuid4())).status_code == 303
    assert store.items.get(RUN, other).evaluation["bad"] == [3, 4]
    assert decide(eva, other, **{"as": "good"}, key=str(uuid.uuid4())).status_code == 409  # nobody disagrees now
    assert f"/agreement/{RUN}" not in eva.get("/agreement/").text


# --- known problems ---

FORM = {"wheel": "-1", "sector": "7", "station": "2", "layers": "5-8", "since": "302000", "text": "no high voltage"}


def test_an_expert_adds_a_known_problem_and_ends_it_and_all_can_read_it(app, anonymous, driftwatch, sign_in):
    eva = client_of(app, sign_in, "expert", "eva")
    answer = eva.post("/problems/add", data={**FORM, "first_cell": "5", "last_cell": "8"})
    assert answer.status_code == 303
    (row,) = rows(anonymous.get(answer.headers["Location"]).text)
    assert row[:6] == ["W−1 S7 MB2", "5–8", "5–8", "no high voltage", "302000", "lasts"]
    (problem,) = driftwatch.labelling.problems.list()
    assert (problem.parts, problem.cells, problem.by) == ((5, 6, 7, 8), (5, 8), "eva")
    assert rows(anonymous.get("/problems/?run=301999").text) == []
    assert rows(anonymous.get("/problems/?wheel=2").text) == []
    assert anonymous.get("/problems/?run=0").status_code == 400
    assert eva.post(f"/problems/{problem.id}/end", data={"until": "1"}).status_code == 400  # before it began
    assert eva.post(f"/problems/{problem.id}/end", data={"until": "302634"}).status_code == 303
    assert eva.post(f"/problems/{problem.id}/end", data={"until": "302635"}).status_code == 409
    (row,) = rows(anonymous.get("/problems/").text)
    assert row[5].split() == ["302634", "noted", "by", "eva"]


@pytest.fixture
def dead(driftwatch):
    """A known problem that lasts since run 302000."""
    return driftwatch.labelling.problems.add("eva", Chamber(-1, 2, 7), [5, 6], "dead", since=302000)


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("301999", "a run from 302000 on"),
        ("never", "a whole number from 1 to 999,999,999"),
        ("0", "a whole number from 1 to 999,999,999"),
        ("", "Needed: the last run with it"),
    ],
)
def test_a_mistake_in_the_last_run_of_a_problem_stands_beside_its_field_and_nothing_ends(
    client, driftwatch, dead, until, said
):
    place = "/eval/302634/-1/7/2/"
    for run in ({}, {"run": "302634"}):  # from the list, and from the chamber's page
        answer = client.post(f"/problems/{dead.id}/end", data={"until": until, **run})
        assert answer.status_code == 400
        assert 'aria-invalid="true" aria-describedby="until-wrong"' in answer.text
        assert said in re.search(r'id="until-wrong">([^<]*)', answer.text)[1]
        assert f'name="until" value="{until}"' in answer.text
        assert ('name="run" value="302634"' in answer.text) == bool(run)
        assert f'href="{place if run else "/problems/"}">Cancel' in answer.text
        assert "W−1 S7 MB2" in answer.text
    assert driftwatch.store.problems.get(dead.id) == dead
    right = client.post(f"/problems/{dead.id}/end", data={"until": "302000", "run": "302634"})
    assert (right.status_code, right.headers["Location"]) == (303, place)


def test_a_problem_can_be_ended_on_a_page_of_its_own(client, dead):
    assert "Last run with it" in client.get(f"/problems/{dead.id}/end").text
    assert client.get("/problems/0123456789abcdef01234567/end").status_code == 404


def test_where_a_form_comes_from_is_checked_before_anything_is_changed(client, driftwatch, dead):
    assert client.post(f"/problems/{dead.id}/end", data={"until": "302634", "run": "x"}).status_code == 400
    assert client.post("/problems/add", data={**FORM, "run": "x"}).status_code == 400
    assert driftwatch.labelling.problems.list() == [dead]


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("chamber", lambda row: (int(row["wheel"]), int(row["station"]), int(row["sector"]))),
        ("layers", lambda row: int(row["layers"].split()[0])),
        ("cells", lambda row: int(row["first_cell"] or 0)),
        ("text", itemgetter("text")),
        ("since", lambda row: int(row["since"])),
        ("until", lambda row: int(row["until"] or 0)),
        ("at", itemgetter("at")),
    ],
)
@pytest.mark.parametrize("descending", ["true", "false"])
def test_known_problems_sort_by_each_column_and_are_saved_so(client, driftwatch, sort, value, descending):
    add = driftwatch.labelling.problems.add
    add("eva", Chamber(1, 2, 7), [5], "dead, since the winter", since=302000, until=302010)
    add("eva", Chamber(-1, 2, 7), [6], "=noisy", since=302005, until=302006, cells=(7, 8))
    add("ann", Chamber(-1, 1, 9), [1], "no gas", since=301000, cells=(3, 4))
    query = f"sort={sort}&descending={descending}"
    page = client.get(f"/problems/?{query}").text
    assert page.count(f'aria-sort="{"descending" if descending == "true" else "ascending"}"') == 1
    assert f'href="/problems/problems.json?{query.replace("&", "&amp;")}"' in page
    found = table(client.get(f"/problems/problems.csv?{query}"))
    values = [value(row) for row in found]
    assert values == sorted(values, reverse=descending == "true")
    texts = [row["text"].removeprefix("'") for row in found]
    assert [row[3] for row in rows(page)] == texts
    assert [row["text"] for row in client.get(f"/problems/problems.json?{query}").json] == texts
    assert len(table(client.get(f"/problems/problems.csv?wheel=1&{query}"))) == 1
    assert client.get("/problems/problems.csv?sort=colour").status_code == 400
    assert client.get("/problems/?sort=colour").status_code == 400


@pytest.mark.parametrize("role", [None, "viewer", "shifter"])
def test_nobody_below_an_expert_changes_known_problems(app, driftwatch, sign_in, role):
    client = client_of(app, sign_in, role)
    assert client.post("/problems/add", data=FORM).status_code == (403 if role else 401)
    assert client.get("/problems/add").status_code == (403 if role else 303)
    assert client.post("/problems/0123456789abcdef01234567/end", data={"until": "1"}).status_code == (
        403 if role else 401
    )
    assert client.get("/problems/0123456789abcdef01234567/end").status_code == (403 if role else 303)
    assert "Add one" not in client.get("/problems/").text
    assert driftwatch.labelling.problems.count() == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": ""}, "Needed: layers"),
        ({"layers": "13"}, "layers from 1 to 12"),
        ({"layers": "8-5"}, "layers from 1 to 12"),
        ({"station": "4", "layers": "5"}, "is not possible here"),  # station 4 has no superlayer 2
        ({"sector": "13"}, "is not possible here"),
        ({"wheel": ""}, "is not possible here"),
        ({"first_cell": "9", "last_cell": "3"}, "is not possible here"),
        ({"last_cell": "500"}, "is not possible here"),
        ({"since": "x"}, "is not possible here"),
        ({"until": "301999"}, "is not possible here"),
        ({"text": " "}, "Needed: what is wrong"),
        ({"text": "x" * 2_001}, "is not possible here"),
    ],
)
def test_a_mistake_in_a_known_problem_is_explained_and_what_was_written_stays(client, driftwatch, wrong, said):
    answer = client.post("/problems/add", data={**FORM, **wrong})
    assert answer.status_code == 400
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert ('value="302000"' in answer.text) or "since" in wrong
    assert driftwatch.labelling.problems.count() == 0


def test_the_form_begins_with_what_the_address_gives(client):
    page = client.get("/problems/add?wheel=-1&sector=7&station=2&since=302634").text
    assert '<option value="-1" selected>' in page
    assert 'value="302634"' in page
