"""What people said becomes something to learn from: nothing is counted twice, and nothing is left out unsaid."""

import gc
import pickle
import subprocess
import sys
import uuid

import labelled_chambers
import numpy as np
import pytest
from labelled_chambers import RUNS, bad_layers, say, simulated

from app.errors import InvalidInput, TooFewLabels
from app.ml.split import BLOCK, Split, is_test_run, part_of
from app.subsystems.dt import DT
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.labelled_items import (
    Choice,
    counts_of,
    labelled_items,
    labels_of,
    outlook,
    require_enough,
)
from config import ROOT

RUN = RUNS[0]
EVERYTHING = Choice()


@pytest.fixture
def run(driftwatch):
    """The places of a run for training, loaded; nobody labelled any."""
    labelled_chambers.load(driftwatch, RUN)
    return list(simulated()[RUN])


def only(driftwatch, choice=EVERYTHING):
    (item,) = labelled_items(driftwatch.store, choice).items
    return item


def test_a_label_says_of_every_layer_whether_it_is_bad(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0], [2, 3])
    item = only(driftwatch)
    layers = {layer.number for layer in run[0].layers}
    assert item.bad == {layer: float(layer in (2, 3)) for layer in layers}
    assert np.array_equal(item.targets, [item.bad.get(n, np.nan) for n in range(1, 13)], equal_nan=True)
    assert (item.run, item.place, item.part, item.people) == (RUN, run[0], Split.TRAINING, ("ann",))
    assert np.array_equal(item.occupancy.counts, simulated()[RUN][run[0]].occupancy.counts)
    assert item.open.any()


def test_the_last_word_counts_and_what_was_withdrawn_does_not(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0], [1])
    say(driftwatch, "ann", RUN, run[0], [2])
    assert only(driftwatch).bad[2] == 1
    label = say(driftwatch, "ann", RUN, run[1], [1])
    driftwatch.labelling.undo("ann", label, str(uuid.uuid4()))
    found = labelled_items(driftwatch.store, Choice())
    assert len(found.items) == 1
    assert found.composition.left_out == {"withdrawn": 1}


def test_what_was_only_skipped_is_left_out_and_counted(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0], (), reason="unclear")
    say(driftwatch, "ann", RUN, run[1], ())
    say(driftwatch, "bob", RUN, run[2], (), reason="")
    say(driftwatch, "ann", RUN, run[2], [1])
    found = labelled_items(driftwatch.store, Choice())
    assert [item.place for item in found.items] == sorted((run[1], run[2]), key=all_chambers().index)
    assert found.composition.left_out == {"skipped": 1}


def test_of_a_disputed_chamber_a_layer_is_bad_as_far_as_people_say_so_until_an_expert_decides(make_app):
    driftwatch = make_app(second_opinions=1).extensions["driftwatch"]
    labelled_chambers.load(driftwatch, RUN)
    place = next(iter(simulated()[RUN]))
    say(driftwatch, "ann", RUN, place, [1, 2])
    say(driftwatch, "bob", RUN, place, [2, 3])
    item = only(driftwatch)
    assert (item.state, item.people) == ("disputed", ("ann", "bob"))
    assert {layer: p for layer, p in item.bad.items() if p} == {1: 0.5, 2: 1, 3: 0.5}
    counts = counts_of([item])[Split.TRAINING]
    assert counts.soft == sum(item.open[[0, 2]])
    assert labelled_items(driftwatch.store, Choice(resolved_only=True)).items == ()
    driftwatch.labelling.resolve("eva", RUN, place, [2], str(uuid.uuid4()))
    item = only(driftwatch, Choice(resolved_only=True))
    assert {layer: p for layer, p in item.bad.items() if p} == {2: 1}
    assert (item.state, item.people) == ("resolved", ("eva",))


def test_only_the_runs_that_were_chosen_go_in(driftwatch):
    for run in RUNS[:3]:
        labelled_chambers.load(driftwatch, run)
        say(driftwatch, "ann", run, next(iter(simulated()[run])))
    assert {one.run for one in labels_of(driftwatch.store, Choice())[0]} == set(RUNS[:3])
    chosen = Choice.of(f"{RUNS[1]}-{RUNS[4]}")
    assert {one.run for one in labels_of(driftwatch.store, chosen)[0]} == {RUNS[1], RUNS[2]}
    assert labelled_items(driftwatch.store, chosen).composition.runs == f"{RUNS[1]}-{RUNS[4]}"


@pytest.mark.parametrize("runs", ["x", "7-3", "1-2-3", "0", "302634, 302640", "-", "302634-"])
def test_what_is_no_range_of_runs_is_refused(runs):
    with pytest.raises(InvalidInput) as error:
        Choice.of(runs)
    assert (error.value.field, error.value.value) == ("runs", repr(runs))


def test_a_chamber_that_was_labelled_first_in_a_run_of_the_other_side_is_in_no_part_and_counted(driftwatch):
    """Whichever runs are chosen, and also where the first label was withdrawn: nothing moves by that."""
    labelled_chambers.load(driftwatch, RUN)
    labelled_chambers.load(driftwatch, RUNS[4])
    place, other = (next(iter(simulated()[run])) for run in (RUN, RUNS[4]))
    occupancy = simulated()[RUN][place].occupancy
    driftwatch.store.items.store(RUNS[4], [(place, occupancy)], "tests")
    label = say(driftwatch, "ann", RUN, place, [])
    say(driftwatch, "bob", RUNS[4], place, [])
    say(driftwatch, "ann", RUNS[4], other, [])
    assert part_of(DT, RUNS[4], place, RUN) is None
    for choice in (EVERYTHING, Choice(RUNS[4], RUNS[4])):
        found = labelled_items(driftwatch.store, choice)
        assert [item.place for item in found.of(Split.TEST)] == [other]
        assert found.composition.left_out == {"run and chamber in different parts": 1}
    assert found.composition.labelled == 2
    driftwatch.labelling.undo("ann", label, str(uuid.uuid4()))
    assert labelled_items(driftwatch.store, EVERYTHING).composition.left_out["run and chamber in different parts"] == 1


def test_labels_of_a_run_that_was_deleted_are_counted_as_without_histogram(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0])
    driftwatch.store.items.remove_run(RUN)
    found = labelled_items(driftwatch.store, Choice())
    assert (found.items, found.composition.left_out) == ((), {"no histogram": 1})


def test_items_stand_for_those_that_are_like_them(driftwatch, run):
    """Sixteen chambers, of which three are uncertain; all of these are labelled, and two of the others."""
    rank = {item.place: item.judgement.certainty for item in driftwatch.store.items.of_run(RUN)}
    places = sorted(run, key=rank.__getitem__)
    strata = {place: stratum_of(driftwatch, place) for place in places}
    for place in places[:6]:
        say(driftwatch, "ann", RUN, place)
    items = labelled_items(driftwatch.store, Choice()).items
    covered = {strata[item.place] for item in items}
    population = [place for place in places if strata[place] in covered]
    for item in items:
        alike = [place for place in population if strata[place] == strata[item.place]]
        labelled = [other for other in items if strata[other.place] == strata[item.place]]
        expected = len(alike) / len(labelled) * len(items) / len(population)
        assert item.weight == pytest.approx(expected)
    assert sum(item.weight for item in items) == pytest.approx(len(items))


def stratum_of(driftwatch, place):
    judgement = driftwatch.store.items.look(RUN, place).judgement
    return int(judgement.certainty * 10 + 1e-9), judgement.bad > 0


def test_the_random_control_is_told_from_what_was_chosen(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0], chosen={"strategy": "certain", "control": True})
    say(driftwatch, "ann", RUN, run[1], chosen={"strategy": "certain", "control": False})
    say(driftwatch, "ann", RUN, run[2], chosen={"strategy": "random", "control": False})
    say(driftwatch, "ann", RUN, run[3])
    found = labelled_items(driftwatch.store, Choice())
    drawn = {item.place: item.drawn for item in found.items}
    assert [drawn[place] for place in run[:4]] == [True, False, True, False]
    assert found.composition.strategies == {"certain": 2, "direct": 1, "random": 1}
    assert found.composition.drawn == 2


def test_the_same_labels_give_the_same_set_and_one_more_gives_another(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0])
    before = labelled_items(driftwatch.store, Choice()).composition
    assert labelled_items(driftwatch.store, Choice()).composition == before
    say(driftwatch, "ann", RUN, run[0], [12])
    assert labelled_items(driftwatch.store, Choice()).composition.digest != before.digest


def test_what_is_missing_is_named_with_the_runs_where_labels_count(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0], [])
    with pytest.raises(TooFewLabels) as error:
        require_enough(counts_of(labels_of(driftwatch.store, Choice())[0]), driftwatch.store)
    text = str(error.value)
    assert "training has 1 of at least 20 chambers, 0 of at least 3 bad layers (labels of the run" in text
    assert "validation has 0 of at least 5 chambers, 0 of at least 3 bad layers, 0 of at least 3 good layers (" in text
    following = next(run for run in range(RUN + 1, RUN + 2 * BLOCK) if is_test_run(run))
    assert f"no run that is loaded counts there; {following} would" in text


def test_enough_labels_of_both_classes_in_every_part_pass(driftwatch):
    labelled_chambers.label_all(driftwatch)
    counts = counts_of(labels_of(driftwatch.store, Choice())[0])
    require_enough(counts, driftwatch.store)
    found = labelled_items(driftwatch.store, Choice())
    require_enough(counts_of(found.items), driftwatch.store)
    assert found.composition.people.keys() == {"ann", "bob"}
    for one in found.items:
        assert {layer for layer, p in one.bad.items() if p} == set(bad_layers(one.run, one.place))
    parts = found.composition.parts
    assert {part: count.items for part, count in parts.items()} == {"training": 48, "validation": 14, "test": 14}
    assert found.composition.layers_left_out == sum((~i.open & np.isfinite(i.targets)).sum() for i in found.items)


def test_before_a_training_it_is_known_what_will_count_and_why_the_rest_does_not(driftwatch):
    """Some chambers are labelled on the other side of the test, some only skipped, and one run was deleted."""
    labelled_chambers.label_all(driftwatch)
    fits, tested, gone = RUNS[0], RUNS[4], RUNS[1]
    for place in list(simulated()[fits])[:5]:
        driftwatch.store.items.store(tested, [(place, simulated()[fits][place].occupancy)], "tests")
        say(driftwatch, "ann", tested, place, [1])
    places = [place for place in all_chambers() if place not in simulated()[fits]][:3]
    driftwatch.store.items.store(fits, [(place, Occupancy(place, place.read_out - 1)) for place in places], "tests")
    for place in places[:2]:
        say(driftwatch, "ann", fits, place, (), reason="unclear")
    driftwatch.store.items.remove_run(gone)
    for run in (fits, *RUNS[2:]):
        model = driftwatch.models.scorer(driftwatch.model)
        places, occupancies = zip(*driftwatch.store.items.to_score(run, "nobody"), strict=True)
        judged = model.judge(occupancies)
        driftwatch.store.items.keep_scores(run, [(p, j, []) for p, j in zip(places, judged, strict=True)], "nobody")
    for choice in (EVERYTHING, Choice(RUNS[2], RUNS[4])):
        found, told = labelled_items(driftwatch.store, choice), outlook(driftwatch.store, choice)
        assert {p: c.model_copy(update={"effective_items": 0.0}) for p, c in counts_of(found.items).items()} == {
            p: c.model_copy(update={"effective_items": 0.0}) for p, c in told.counts.items()
        }
        assert (told.labelled, told.left_out) == (found.composition.labelled, found.composition.left_out)
        assert told.layers_left_out == found.composition.layers_left_out
    assert told.left_out == {"run and chamber in different parts": 5}
    assert outlook(driftwatch.store, EVERYTHING).left_out == {
        "no histogram": 16,
        "run and chamber in different parts": 5,
        "skipped": 2,
    }


ANOTHER_PROCESS = """
import pickle, sys
labelled = pickle.load(sys.stdin.buffer)
pickle.dump([one.occupancy for one in labelled.items], sys.stdout.buffer)
"""


def test_histograms_stay_in_a_file_that_another_process_reads_and_are_not_handed_over_themselves(driftwatch, tmp_path):
    def in_memory():
        gc.collect()
        return sum(isinstance(one, Occupancy) for one in gc.get_objects())

    for run in RUNS[:2]:
        labelled_chambers.load(driftwatch, run)
        for place in simulated()[run]:
            say(driftwatch, "ann", run, place)
    labelled_items(driftwatch.store, EVERYTHING)  # fills caches
    before = in_memory()
    found = labelled_items(driftwatch.store, EVERYTHING, tmp_path / "training" / "histograms")
    assert in_memory() == before
    assert len(found.items) == sum(len(simulated()[run]) for run in RUNS[:2])
    handed_over = pickle.dumps(found)
    command = [sys.executable, "-c", ANOTHER_PROCESS]
    read = subprocess.run(command, cwd=ROOT, input=handed_over, capture_output=True, check=True).stdout
    for one, other in zip(found.items, pickle.loads(read), strict=True):
        stored = simulated()[one.run][one.place].occupancy
        assert one.occupancy.chamber == other.chamber == one.place
        assert one.occupancy.to_bytes() == other.to_bytes() == stored.to_bytes()
        assert stored.to_bytes() not in handed_over


def test_histograms_in_a_file_without_a_name_are_not_handed_over(driftwatch, run):
    say(driftwatch, "ann", RUN, run[0], [1])
    found = labelled_items(driftwatch.store, EVERYTHING)
    with pytest.raises(TypeError, match="without a name"):
        pickle.dumps(found)
