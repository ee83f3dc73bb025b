"""The pages, the API and the files of a subsystem that the program was not written for, beside the drift tubes'."""

import io
import json
import uuid
import zipfile

import pytest
from playwright.sync_api import expect
from toy import Region, app_with_toy
from waiting import wait_until

from app.domain.labels import Seen
from app.domain.vocabulary import WHOLE

RUN = 302635
PLACE = Region(1, 1)
AT = "/eval/toy/302635/1/1"


@pytest.fixture
def both(make_app, demo, tmp_path):
    """An application with a run of both."""
    app = app_with_toy(make_app, tmp_path, dqm_url=demo.url, second_opinions=1)
    driftwatch = app.extensions["driftwatch"]
    driftwatch.start()
    for name in driftwatch.subsystems:
        driftwatch.of(name).ask_for_run(RUN, by="ann")
    wait_until(lambda: not driftwatch.store.jobs.active() and not driftwatch.of("toy").store.jobs.active())
    return app


@pytest.fixture
def expert(both, sign_in):
    client = both.test_client()
    sign_in(client, "admin", "eva")
    return client


@pytest.fixture
def toy(both):
    return both.extensions["driftwatch"].of("toy")


def say(toy, person, answer, place=PLACE):
    return toy.labelling.submit(person, RUN, place, answer, str(uuid.uuid4()), Seen.of(toy.store.items.get(RUN, place)))


def test_every_page_without_arguments_answers_for_either(both, expert):
    rules = [rule for rule in both.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments]
    pages = [rule.rule for rule in rules if rule.rule.endswith("/")]
    assert len(pages) > 20
    for page in pages:
        for name in ("dt", "toy"):
            answer = expert.get(f"{page}?subsystem={name}")
            assert answer.status_code < 500, (page, name, answer.text[:300])
            if "no other has this page" in answer.text:
                assert (name, answer.status_code) == ("toy", 400)


def test_an_unknown_subsystem_is_refused_with_those_that_there_are(expert):
    for page in ("/", "/fetch/", "/data/net_scores/", "/models/", "/progress/", "/api/v1/scores", "/api/v1/runs"):
        answer = expert.get(f"{page}?subsystem=rpc")
        assert answer.status_code == 400
        assert "one of dt, toy" in answer.text


def test_links_stay_with_the_subsystem_and_it_can_be_changed(expert):
    page = expert.get("/data/net_scores/?subsystem=toy").text
    assert "/fetch/?subsystem=toy" in page
    assert "/eval/toy/302635/1/1/" in page
    assert 'href="/?subsystem=dt"' in page
    assert "chamber" not in page
    assert "wheel" not in page
    assert "subsystem=" not in expert.get("/data/net_scores/").text.split("<main")[1]


def test_a_run_of_each_is_listed_apart_and_shown_beside_the_other(expert, toy):
    assert f"{RUN}" in expert.get("/fetch/?subsystem=toy").text
    page = expert.get(f"/run/{RUN}/?subsystem=toy").text
    assert "3 bad regions" in page or "bad region" in page
    assert f"/run/{RUN}/?subsystem=dt" in page
    assert "Toy detector" in expert.get(f"/run/{RUN}/").text
    toy.delete_run(RUN, by="eva")
    wait_until(lambda: not toy.store.jobs.active())
    assert expert.get(f"/run/{RUN}/?subsystem=toy").status_code == 404
    assert expert.get(f"/run/{RUN}/").status_code == 200


def test_lists_are_filtered_and_sorted_by_its_own_keys_and_parts(expert):
    scores = expert.get("/api/v1/scores?subsystem=toy&lumi=1&sort=region&state=any").json["scores"]
    assert [(one["lumi"], one["region"]) for one in scores] == [(1, 1), (1, 2)]
    rows = expert.get(f"/data/net_scores/scores.json?subsystem=toy&run={RUN}&sort=channel_3&descending=true").json
    assert [row["channel_3"] for row in rows] == [1, 1, 1, 0, 0]
    assert set(rows[0]) >= {"run", "lumi", "region", "channel_1", "channel_4"}
    refused = expert.get("/api/v1/scores?subsystem=toy&wheel=1")
    assert (refused.status_code, refused.json["field"]) == (400, "wheel")
    assert expert.get("/data/net_scores/?subsystem=toy&region=3").status_code == 400


def test_it_is_labelled_by_the_api_with_its_classes(expert, toy):
    claimed = expert.post("/api/v1/queue/claim?subsystem=toy", json={}).json
    assert claimed["item"] == {"run": RUN, "lumi": 1, "region": 1}
    assert claimed["url"] == f"{AT}/"
    label = {**claimed["item"], "key": str(uuid.uuid4()), "seen": claimed["seen"], "classes": {"0": "bad", "3": "dead"}}
    kept = expert.post("/api/v1/labels?subsystem=toy", json=label)
    assert kept.status_code == 201
    assert (kept.json["bad"], kept.json["classes"]) == ([0, 3], {"0": "bad", "3": "dead"})
    assert toy.store.items.get(RUN, PLACE).evaluation["classes"] == {"0": "bad", "3": "dead"}
    for wrong, field in (({"9": "dead"}, "bad"), ({"3": "warm"}, "bad"), ({"0": "dead"}, "bad")):
        answer = expert.post("/api/v1/labels?subsystem=toy", json=label | {"key": str(uuid.uuid4()), "classes": wrong})
        assert (answer.status_code, answer.json["field"]) == (400, field)
    assert expert.get("/api/v1/labels").json["count"] == 0
    assert expert.get("/api/v1/labels?subsystem=toy").json["count"] == 1


def test_people_who_differ_in_the_class_alone_disagree_and_an_expert_decides(expert, toy):
    say(toy, "ann", {WHOLE: "bad", 3: "dead"})
    say(toy, "bob", {WHOLE: "bad", 3: "hot"})
    found = toy.labelling.agreement()
    assert found.disputed == 1
    assert {one.part: one.observed for one in found.parts} == {0: 1, 1: 1, 2: 1, 3: 0, 4: 1}
    page = expert.get("/agreement/?subsystem=toy").text
    assert "As <b>bob</b>: bad; hot: 3" in page
    answers = {"as": "0:bad,3:dead", "key": str(uuid.uuid4())}
    assert expert.post("/agreement/toy/302635/1/1", data=answers).status_code == 303
    assert toy.store.items.get(RUN, PLACE).evaluation["state"] == "resolved"
    assert toy.store.items.get(RUN, PLACE).evaluation["classes"] == {"0": "bad", "3": "dead"}
    rows = expert.get("/agreement/toy/regions/answers.json").json
    assert {(row["by"], row["bad_channels"]) for row in rows} == {("ann", "0:bad 3:dead"), ("bob", "0:bad 3:hot")} or {
        row["bad_channels"] for row in rows
    } == {"0 3:dead", "0 3:hot"}
    assert expert.get("/agreement/chambers/answers.json").json == []


def test_a_known_problem_is_one_of_its_places(expert, toy):
    given = {"lumi": "1", "region": "1", "channels": "3", "text": "no voltage", "since": "302000"}
    assert expert.post("/problems/add?subsystem=toy", data=given).status_code == 303
    assert toy.store.items.get(RUN, PLACE).known
    (row,) = expert.get("/problems/problems.json?subsystem=toy").json
    assert (row["lumi"], row["region"], row["channels"]) == (1, 1, "3")
    assert expert.get("/problems/problems.json").json == []


def test_its_export_comes_in_again_where_nothing_is(both, expert, toy, make_app, tmp_path):
    say(toy, "ann", {WHOLE: "bad", 3: "dead"})
    file = expert.get("/data/export?subsystem=toy&kind=all&format=jsonl").data
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        (labels,) = [name for name in archive.namelist() if name.startswith("labels")]
        rows = archive.read(labels).decode().splitlines()
    assert any(json.loads(row).get("classes") == {"0": "bad", "3": "dead"} for row in rows)
    (tmp_path / "other").mkdir()
    other = app_with_toy(make_app, tmp_path / "other").extensions["driftwatch"]
    path = tmp_path / "export.zip"
    path.write_bytes(file)
    there = other.of("toy")
    checked = there.importing.check(path, path.name, "eva")
    there.importing.write(checked.id, "eva")
    assert there.store.items.get(RUN, PLACE).evaluation["classes"] == {"0": "bad", "3": "dead"}
    assert [one.judgement for one in there.store.items.of_run(RUN)] == [
        one.judgement for one in toy.store.items.of_run(RUN)
    ]
    assert other.store.runs.find() == []


def test_its_parts_are_called_in_the_browser_by_its_own_keys(both, toy, serve, sign_in, page):
    url = serve(both)
    sign_in(page, "shifter", "ann", at=url)
    page.goto(f"{url}/eval/?subsystem=toy")
    page.wait_for_url("**/eval/toy/302635/1/1/")
    expect(page.locator("#answer")).to_have_text("Submit: all good")
    page.keyboard.press("3")
    page.keyboard.press("d")
    page.keyboard.press("1")
    page.keyboard.press("h")
    page.keyboard.press("0")
    page.keyboard.press("b")
    expect(page.locator("#answer")).to_have_text("Submit: bad; 1 hot: 1; 1 dead: 3")

    def submitted():  # an answer that comes at once was meant for the item before, and is not taken
        page.keyboard.press("Enter")
        return toy.store.items.get(RUN, PLACE).evaluation

    wait_until(submitted)
    assert toy.store.items.get(RUN, PLACE).evaluation["classes"] == {"0": "bad", "1": "hot", "3": "dead"}
    page.locator("#mine li").first.wait_for()
    assert "bad; hot: 1; dead: 3" in page.locator("#mine").inner_text()
    assert page.url != f"{url}/eval/toy/302635/1/1/"
