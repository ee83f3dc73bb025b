"""A subsystem that the program was not written for, beside the drift tubes on one database."""

import uuid
from datetime import UTC, datetime

import pytest
from pymongo import MongoClient
from toy import PLACES, TOY, Region, settings_with_toy
from waiting import wait_until

from app.domain.items import ItemQuery
from app.domain.judgement import Verdict
from app.domain.labels import Seen
from app.domain.runs import RunState
from app.domain.thresholds import SetThreshold
from app.driftwatch import Driftwatch
from app.errors import InvalidInput, NotFound
from app.jobs.runner import Work
from app.registry import Registry
from app.subsystems.dt import DT
from config import ROOT

RUN = 302635


@pytest.fixture
def dt(mongodb, demo, tmp_path):
    """Driftwatch with the drift tubes and the toy, on an empty database; at work in the background."""
    uri = f"{mongodb}/test_{uuid.uuid4().hex}"
    settings = settings_with_toy(tmp_path, ROOT / "models", mongodb_uri=uri, dqm_url=demo.url, control_share=0)
    driftwatch = Driftwatch(settings, [DT, TOY])
    yield driftwatch
    driftwatch.close()
    with MongoClient(uri) as client:
        client.drop_database(client.get_default_database())


@pytest.fixture
def toy(dt):
    dt.start()
    return dt.of("toy")


def fetched(driftwatch, run=RUN):
    driftwatch.ask_for_run(run, by="ann")
    wait_until(lambda: not driftwatch.store.jobs.active())
    return driftwatch.store.runs.get(run)


def test_each_is_asked_for_by_its_name(dt):
    assert dt.subsystems == ("dt", "toy")
    assert dt.of("toy").of("dt") is dt
    with pytest.raises(InvalidInput, match="subsystem is 'rpc', but must be one of dt, toy"):
        dt.of("rpc")


def test_a_run_is_fetched_from_its_own_source_and_scored_by_its_own_model(toy):
    run = fetched(toy)
    assert (run.state, run.done, run.missing, run.model, run.threshold) == (RunState.FINISHED, 5, 1, "toy-1", 0.6)
    assert run.summary["parts"] == 20
    assert run.summary["bad_parts"] == 3
    item = toy.store.items.get(RUN, Region(1, 1))
    assert item.judgement.scores == (0.5, 0.0, 1.0, 0.0)
    assert item.bad_parts == {3: ("score", "")}
    assert [one.place for one in toy.store.items.of_run(RUN)] == sorted(PLACES)
    certain = toy.store.lists.find(ItemQuery("toy-1", sort="certainty"))
    assert [one.place.region for one in certain] == [1, 1, 1, 2, 2]
    assert toy.store.lists.count(ItemQuery("toy-1", place={"lumi": 2})) == 2


def test_the_run_of_the_same_number_is_another_for_each(dt, toy):
    of_toy, of_dt = fetched(toy), fetched(dt)
    assert (of_toy.total, of_dt.total) == (6, 250)
    assert (of_toy.model, of_dt.model) == (toy.model, dt.model)
    dt.delete_run(RUN, by="eva")
    wait_until(lambda: not dt.store.jobs.active())
    with pytest.raises(NotFound):
        dt.store.runs.get(RUN)
    assert toy.store.runs.get(RUN).state is RunState.FINISHED
    assert len(toy.store.items.of_run(RUN)) == 6
    assert dt.store.events.runs_with("run deleted") == {RUN}
    assert toy.store.events.runs_with("run deleted") == set()


def test_jobs_of_both_on_runs_of_one_number_are_two(dt):
    jobs = [one.store.jobs.ask("fetch", RUN, "dqm", "ann") for one in (dt, dt.of("toy"))]
    assert len({job.id for job in jobs}) == 2
    assert [job.subsystem for job in jobs] == ["dt", "toy"]
    assert [one.store.jobs.active(RUN)[0].id for one in (dt, dt.of("toy"))] == [job.id for job in jobs]
    dt.of("toy").store.jobs.cancel("fetch", RUN)
    assert [len(one.store.jobs.active()) for one in (dt, dt.of("toy"))] == [1, 0]


def test_the_least_certain_is_given_first_and_labels_stay_with_their_subsystem(dt, toy):
    fetched(toy)
    (claimed,) = [toy.labelling.claim("ann")]
    place = claimed.item.place
    assert place == Region(1, 1)
    toy.labelling.submit("ann", RUN, place, [1, 3], str(uuid.uuid4()), Seen.of(toy.store.items.get(RUN, place)))
    assert toy.store.items.get(RUN, place).evaluation["bad"] == [1, 3]
    assert toy.store.items.get(RUN, place).contamination == 0.5
    with pytest.raises(InvalidInput):
        toy.labelling.submit("ann", RUN, place, [5], str(uuid.uuid4()), Seen.of(toy.store.items.get(RUN, place)))
    assert len(toy.labelling.history(RUN, place, "ann")) == 1
    assert dt.store.labels.runs() == []


def test_another_model_is_put_into_use_for_one_alone_and_runs_are_scored_again_by_it(dt, toy):
    before = dt.model
    fetched(toy)
    toy.activate("toy-2", by="eva")
    assert (toy.model, dt.model) == ("toy-2", before)
    toy.reevaluate(None, by="eva")
    wait_until(lambda: toy.store.reevaluations.opened() is None)
    assert toy.store.runs.get(RUN).model == "toy-2"
    assert toy.store.items.get(RUN, Region(1, 1)).judgement.verdicts[0] is Verdict.BAD
    assert [past.model for past in toy.store.past_scores.of_item(RUN, Region(1, 1), but="toy-2")] == ["toy-1"]


def set_threshold(store, score):
    store.thresholds.add(SetThreshold("toy-1", "shifter", score, None, "why", "eva", datetime.now(UTC)))


def test_a_threshold_that_is_set_while_a_run_is_judged_counts_for_all_of_it_or_for_nothing(dt, monkeypatch):
    toy = dt.of("toy")
    dt.start()
    fetched(toy)
    store, models = toy.store, toy.models
    half = [one.place for one in store.items.of_run(RUN) if one.judgement][::2]
    old = {"$set": {"model": "toy-2", "state": "unscored"}}
    for place in half:  # these are judged anew, the others get new verdicts from their scores
        store.items._collection.update_one(TOY.identity(RUN, place), old)
    set_threshold(store, 0.7)
    bad_from = models.bad_from

    def and_then_another_is_set(name):
        threshold = bad_from(name)
        monkeypatch.setattr(models, "bad_from", bad_from)
        set_threshold(store, 0.8)
        return threshold

    monkeypatch.setattr(models, "bad_from", and_then_another_is_set)
    assert toy.scoring.score(RUN, Work())
    assert store.items.tally(RUN).thresholds == {0.7}
    assert toy.scoring.facts(RUN)["threshold"] == 0.7
    assert {reason for one in store.items.of_run(RUN) if one.judgement for reason in one.judgement.reasons} == {
        "",
        "score 1.00 ≥ 0.7",
    }


def test_only_the_last_few_models_stay_loaded(dt, monkeypatch):
    monkeypatch.setattr("app.registry.MOST_LOADED", 1)
    toy = dt.of("toy")
    models = Registry(toy.store, dt.settings.model_dir / "toy", dt.settings.data_dir / "models" / "toy")
    card = models.scorer("toy-1").card
    assert models.scorer("toy-1").card is card
    assert models.scorer("toy-2").version == "toy-2"
    assert models.scorer("toy-1").card is not card
    assert models.scorer("toy-1").card == card
