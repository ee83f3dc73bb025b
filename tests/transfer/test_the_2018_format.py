"""The training format of the 2018 study, out and in."""

import io
import json

import pytest
from filled_database import HISTOGRAMS, PLACES, RUN, fill
from waiting import wait_until

from app.domain.runs import RunState
from app.errors import InvalidInput
from app.store.imports import Outcome
from app.store.runs import NOT_SCORED
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.the_2018_format import PIECE, read, written


def layers_of(place, run=RUN, content="content"):
    histogram = HISTOGRAMS[place]
    where = {"wheel": str(place.wheel), "sector": str(place.sector), "station": str(place.station)}
    return [
        {
            **where,
            "layer": str(layer.number),
            "run": str(run),
            "lumi": "-1",
            content: histogram.row(layer.number).tolist(),
        }
        for layer in place.layers
    ]


def read_text(text):
    return list(read(io.BytesIO(text.encode())))


def test_what_is_written_is_an_array_of_layers_with_texts_and_the_cells_that_exist():
    found = json.loads(b"".join(written((RUN, HISTOGRAMS[place]) for place in PLACES)))
    assert found == [layer for place in PLACES for layer in layers_of(place)]
    assert json.loads(b"".join(written([]))) == []


@pytest.mark.parametrize("content", ["content", "contect"])
@pytest.mark.parametrize("indent", [None, 3])
def test_what_was_written_comes_back_in_both_spellings(content, indent):
    text = json.dumps([layer for place in PLACES for layer in layers_of(place, content=content)], indent=indent)
    assert len(text) > PIECE / 4
    found = read_text(text)
    assert [(run, histogram.chamber) for _, (run, histogram) in found] == [(RUN, place) for place in PLACES]
    for _, (_, histogram) in found:
        known = HISTOGRAMS[histogram.chamber]
        for layer in range(1, 13):
            assert histogram.row(layer).tolist() == known.row(layer).tolist()
    assert [number for number, _ in found][:2] == [1, 1 + len(PLACES[0].layers)]


def changed(**fields):
    layers = layers_of(PLACES[0])
    layers[2] |= fields
    return json.dumps(layers)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (changed(lumi="12"), "lumi is '12'"),
        (changed(layer="2"), "layer is 2, but must be one of those of"),
        (changed(wheel="9"), "wheel is 9"),
        (changed(run="no"), "run is 'no'"),
        (changed(content=[1, 2]), "content is '2 counts'"),
        (changed(content=[-1]), "content is [-1]"),
        (changed(content=None), "content is None"),
        (json.dumps(layers_of(PLACES[0])[:-1]), "whose object does not follow"),
        ("[1]", "the object is 1"),
        ("[{", "the file is '{'"),
        ("[" + "x" * 2_000_000, "the file is"),
    ],
)
def test_what_cannot_be_used_is_named(text, sentence):
    wrong = [str(row) for _, row in read_text(text) if isinstance(row, Exception)]
    assert any(sentence in one for one in wrong), wrong


def test_an_import_makes_the_run_whose_histograms_wait_to_be_scored(empty, imported, saved, tmp_path, driftwatch):
    fill(driftwatch, RUN)
    done = imported(empty, saved(driftwatch, ["training-2018"]))
    assert done.counts == {"runs": {"new": 1}, "histograms": {"new": len(PLACES) - 1}}
    run = empty.store.runs.get(RUN)
    assert (run.state, run.done, run.summary["unscored"]) == (RunState.FAILED, 7, 7)
    for item in empty.store.items.of_run(RUN, histograms=True):
        assert item.histogram.counts.tolist() == HISTOGRAMS[item.place].counts.tolist()
    again = imported(empty, saved(driftwatch, ["training-2018"]))
    assert again.total(*Outcome) == again.total(Outcome.SAME) == 7


@pytest.mark.parametrize("places", [PLACES[:3], all_chambers()])
def test_an_imported_run_that_is_scored_says_so(empty, tmp_path, places):
    (tmp_path / "a.json").write_bytes(b"".join(written((RUN, HISTOGRAMS[place]) for place in places)))
    checked = empty.importing.check(tmp_path / "a.json", "a.json", by="root")
    empty.importing.write(checked.id, by="root")
    assert empty.store.runs.get(RUN).why == NOT_SCORED
    empty.start()
    asked = empty.reevaluate([RUN], by="root")
    wait_until(lambda: not empty.store.reevaluations.get(asked.id).open)
    run = empty.store.runs.get(RUN)
    assert (run.model, run.summary["unscored"], run.done) == (empty.model, 0, len(places))
    if len(places) == run.total:
        assert (run.state, run.why) == (RunState.FINISHED, "")
    else:
        assert (run.state, run.why) == (RunState.FAILED, "Only 3 of 250 chambers were imported.")


def test_a_file_that_is_no_array_is_refused(empty, tmp_path):
    (tmp_path / "x.json").write_text("  {}")
    with pytest.raises(InvalidInput):
        empty.importing.check(tmp_path / "x.json", "x.json", by="root")
