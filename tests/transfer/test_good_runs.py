"""Which runs are good, and in which form that goes out."""

import json

import pytest
from filled_database import PLACES, judgement

from app.domain.labels import Seen
from app.domain.runs import RunState
from app.errors import InvalidInput
from app.subsystems.dt.simulate import simulate_chamber
from app.transfer import good_runs
from app.transfer.good_runs import read_lumisections


def load(driftwatch, run, bad, places=PLACES[:4], **changes):
    store = driftwatch.store
    store.runs.request(run, "tests", len(places))
    store.items.store(run, [(place, simulate_chamber(run, place).occupancy) for place in places], "tests")
    judged = [(place, judgement(place, 0.9 if i < bad else 0.1), []) for i, place in enumerate(places)]
    store.items.keep_scores(run, judged, driftwatch.model)
    tally = store.items.tally(run)
    summary, reasons = tally.counts, tally.reasons
    counts = {"done": len(places), "missing": 0, "summary": summary, "reasons": reasons, "model": driftwatch.model}
    store.runs.update(run, **{"state": RunState.FINISHED, **counts, **changes})


def say(driftwatch, run, place, bad):
    seen = Seen.of(driftwatch.store.items.look(run, place))
    driftwatch.labelling.submit("ann", run, place, bad, f"key-{run}-{place.sector}-{len(bad)}", seen)


@pytest.fixture
def three(driftwatch):
    load(driftwatch, 11, bad=0)
    load(driftwatch, 12, bad=1)
    load(driftwatch, 13, bad=3)
    load(driftwatch, 14, bad=0, missing=1)
    load(driftwatch, 15, bad=0, state=RunState.FAILED)
    return driftwatch


def found(driftwatch, runs=None, most_bad=1, lumisections=None):
    return json.loads(driftwatch.exporting.good_runs(runs, most_bad, lumisections))


def test_a_run_is_good_with_few_bad_chambers_and_nothing_missing(three):
    assert found(three) == [11, 12]
    assert found(three, most_bad=0) == [11]
    assert found(three, most_bad=3) == [11, 12, 13]
    assert found(three, runs=(12, 14)) == [12]
    assert found(three, runs=(16, 20)) == []


def test_what_people_say_counts_before_what_the_model_says(three):
    say(three, 12, PLACES[0], [])
    assert found(three, most_bad=0) == [11, 12]
    say(three, 11, PLACES[1], [3])
    assert found(three, most_bad=0) == [12]
    say(three, 13, PLACES[0], [1])  # as the model
    assert found(three, most_bad=3) == [11, 12, 13]


def test_with_lumisections_the_good_ranges_go_out_as_cms_writes_them(three, tmp_path):
    path = tmp_path / "lumisections.json"
    path.write_text('{"11": [[1, 35], [39, 120]], "13": [[1, 2]], "99": [[1, 1]]}')
    assert found(three, lumisections=read_lumisections(path)) == {"11": [[1, 35], [39, 120]]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"x": []}',
        '{"11": 3}',
        '{"11": [[2, 1]]}',
        '{"11": [[0, 1]]}',
        '{"11": [[1]]}',
        '{"11": [[1, true]]}',
    ],
)
def test_lumisections_in_another_form_are_refused(tmp_path, text):
    path = tmp_path / "lumisections.json"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_lumisections(path)


def test_a_file_of_lumisections_may_begin_with_a_byte_order_mark_and_has_its_bound(tmp_path, monkeypatch):
    path = tmp_path / "lumisections.json"
    path.write_bytes(b'\xef\xbb\xbf{"302635": [[1, 35]]}')
    assert read_lumisections(path) == {302635: [(1, 35)]}
    monkeypatch.setattr(good_runs, "LARGEST_LUMISECTIONS", 10)
    with pytest.raises(InvalidInput, match=r"lumisections\.json', but must be a file of at most 10 bytes"):
        read_lumisections(path)
