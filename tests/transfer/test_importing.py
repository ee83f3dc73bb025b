"""What an import would do with each row, and that it does all of it or nothing."""

import hashlib
import json
import random
import tracemalloc
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from filled_database import HISTOGRAMS, PLACES, RUN, fill, whole
from pymongo import MongoClient

from app.domain.origin import DEMONSTRATION
from app.errors import Conflict, InvalidInput
from app.store.imports import WRONG, ImportState, Outcome
from app.transfer.formats import FORMATS
from app.transfer.importing import AT_ONCE
from app.transfer.manifest import About


def lines_of(path):
    return path.read_text().splitlines()


def rewritten(path, change):
    """The file with its rows changed, and an end that fits them: `change(number, row)` gives the row or None."""
    lines = path.read_bytes().splitlines(keepends=True)
    rows = [change(number, json.loads(line)) for number, line in enumerate(lines[1:-1], start=2)]
    kept = [json.dumps(row).encode() + b"\n" if not isinstance(row, bytes) else row for row in rows if row is not None]
    end = {"end": {"rows": len(kept), "sha256": hashlib.sha256(b"".join(kept)).hexdigest()}}
    path.write_bytes(b"".join([lines[0], *kept, json.dumps(end).encode()]))
    return path


def rows_of(driftwatch, checked, *outcomes):
    rows = list(driftwatch.store.imports.rows(checked.id))
    return [row for row in rows if row.outcome in outcomes] if outcomes else rows


def check(driftwatch, path):
    return driftwatch.importing.check(path, path.name, by="root")


def everything(driftwatch):
    """All of a database but what an import keeps aside."""
    with MongoClient(driftwatch.settings.mongodb_uri) as client:
        database = client.get_default_database()
        names = [name for name in database.list_collection_names() if "import" not in name]
        return {name: documents for name in names if (documents := list(database[name].find()))}


def test_a_dry_run_says_line_by_line_what_would_be_done_and_changes_nothing(filled, empty, saved):
    before = everything(empty)
    checked = check(empty, saved(filled, ["runs"]))
    assert everything(empty) == before
    assert [(row.line, row.kind, row.outcome, row.title) for row in rows_of(empty, checked)] == [
        (2, "runs", Outcome.NEW, f"run {RUN}"),
        (3, "runs", Outcome.NEW, f"run {RUN + 1}"),
    ]
    empty.importing.discard(checked.id)
    assert everything(empty) == before


def test_what_is_there_already_is_the_same_and_nothing_changes(filled, saved, imported):
    path, before = saved(filled, ["all"], "csv"), whole(filled)
    done = imported(filled, path)
    assert done.total(*Outcome) == done.total(Outcome.SAME)
    assert whole(filled) == before


def test_what_stands_in_the_place_of_something_else_is_a_conflict_and_stays(filled, saved, imported):
    before = whole(filled)
    path = rewritten(saved(filled, ["labels"]), lambda n, row: {**row, "comment": "other"} if n == 3 else row)
    checked = check(filled, path)
    (conflict,) = rows_of(filled, checked, *WRONG)
    assert (conflict.outcome, conflict.line) == (Outcome.CONFLICT, 3)
    assert "differs in comment" in conflict.why
    with pytest.raises(Conflict, match="1 of the rows"):
        filled.importing.write(checked.id, by="root")
    assert imported(filled, path, keep_going=True).total(Outcome.CONFLICT) == 1
    assert whole(filled) == before


WRONG_ROWS = [
    ("labels", {"bad": [13]}, "bad is 13, but must be layers of this chamber"),
    ("labels", {"kind": "shout"}, "kind is 'shout', but must be one of label, skip"),
    ("labels", {"wheel": 3}, "wheel is 3, but must be a whole number from -2 to 2"),
    ("labels", {"at": "yesterday"}, "at is 'yesterday', but must be a time"),
    ("labels", {"at": "2026-11-22T08:00:00"}, "but must be a time with its zone"),
    ("labels", {"id": "../x"}, "id is '../x', but must be 24 hexadecimal digits"),
    ("labels", {"by": ""}, "by is '', but must be a name"),
    ("labels", {"seconds": "NaN"}, "seconds is 'NaN', but must be a finite number"),
    ("labels", {"comment": None}, "comment is None, but must be a text"),
    ("labels", {"comment": "\ud800"}, "but must be a text"),
    ("labels", {"more": 1}, "more is 1, but must be left out"),
    ("labels", {"chosen": {"rank": 2**70}}, "of what the database can keep"),
    ("labels", {"undoes": "0" * 24}, "undoes is"),
    ("labels", {"run": 0}, "run is 0, but must be a whole number from 1"),
    ("labels", {"run": True}, "run is True, but must be a whole number"),
    ("labels", {"verdicts": ["fine"]}, "verdicts is ['fine'], but must be a list of 12"),
    ("runs", {"state": "deleting"}, "state is 'deleting', but must be one of"),
    ("runs", {"summary": {"judged": "many"}}, "summary is {'judged': 'many'}"),
    ("problems", {"cells": [9, 3]}, "cells is [9, 3], but must be a first and a last cell"),
    ("problems", {"until": 1}, "until is 1, but must be a run from"),
    ("models", {"sha256": "0" * 64}, "sha256 is '0000"),
    ("models", {"card": {}}, "card.name is"),
    ("models", {"name": "@active"}, "name is '@active'"),
    ("histograms", {"hits": 5}, "hits is 5, but must be"),
    ("histograms", {"occupancy": [[0]]}, "wrong shape: 1 row"),
    ("histograms", {"draw": 7}, "draw is 7"),
    ("scores", {"score_3": 7.0}, "score_3 is 7.0, but must be a number from 0 to 1"),
    ("scores", {"certainty": 0.25}, "which follows from the scores"),
    ("scores", {"findings": [{"layer": 1}]}, "findings is"),
]


@pytest.mark.parametrize(("kind", "change", "sentence"), WRONG_ROWS)
def test_a_bad_line_names_its_number_field_and_value_and_nothing_is_imported(
    readable, empty, saved, kind, change, sentence
):
    path = rewritten(saved(readable, [kind]), lambda n, row: {**row, **change} if n == 2 else row)
    before = everything(empty)
    checked = check(empty, path)
    bad = [row for row in rows_of(empty, checked, Outcome.BAD) if row.line == 2]
    assert len(bad) == 1
    assert sentence in bad[0].why
    with pytest.raises(Conflict):
        empty.importing.write(checked.id, by="root")
    assert everything(empty) == before


@pytest.fixture(scope="module")
def readable(_made_apps):
    """A filled Driftwatch that no test changes."""
    driftwatch = _made_apps().extensions["driftwatch"]
    fill(driftwatch)
    return driftwatch


def test_the_good_lines_can_be_imported_though_others_are_bad(readable, empty, saved, imported):
    path = rewritten(saved(readable, ["labels"]), lambda n, row: b"nonsense\n" if n == 3 else row)
    count = len(lines_of(path)) - 2
    done = imported(empty, path, keep_going=True)
    assert done.counts["labels"] == {"new": count - 1, "bad": 1}
    assert len(whole(empty)["labels"]) == count - 1


def test_a_file_that_was_cut_short_or_changed_is_refused(readable, empty, saved, imported):
    path = saved(readable, ["labels"])
    lines = path.read_text().splitlines(keepends=True)
    for kept in (lines[:-1], [*lines[:3], *lines[4:]]):
        path.write_text("".join(kept))
        (bad,) = rows_of(empty, check(empty, path), Outcome.BAD)
        assert "lines are missing, or were changed" in bad.why


def test_a_zip_whose_file_was_changed_is_refused(readable, empty, saved, tmp_path):
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(saved(readable, ["labels"], "csv")) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b",ann,", b",eve,"))
    bad = rows_of(empty, check(empty, other), Outcome.BAD)
    assert ["sha256" in row.why for row in bad] == [True]


def test_a_zip_with_other_columns_is_refused_with_the_name_of_the_column(readable, empty, saved, tmp_path):
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(saved(readable, ["labels"], "csv")) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"comment", b"remark", 1))
    checked = check(empty, other)
    assert checked.total(*Outcome) == checked.total(Outcome.BAD)
    assert "column is 'remark', but must be one of id, key" in rows_of(empty, checked)[0].why


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04no zip", b"PAR1 no parquet", b"{}", b'{"manifest": 1}', b"run,wheel\n1,2\n", b"\x00\xff"],
)
def test_what_is_no_export_is_refused_with_a_sentence(empty, tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="must be"):
        check(empty, path)


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(("kinds", "form"), [(["runs"], "jsonl"), (["training-2018"], "jsonl")])
def test_a_file_with_a_byte_order_mark_is_read(readable, empty, saved, kinds, form):
    path = saved(readable, kinds, form)
    plain = check(empty, path)
    path.write_bytes(BOM + path.read_bytes())
    assert check(empty, path).counts == plain.counts
    assert plain.total(*WRONG) == 0


def test_a_file_in_utf_16_is_refused_with_what_is_accepted(empty, readable, saved):
    path = saved(readable, ["runs"])
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(InvalidInput, match="in UTF-16', but must be in UTF-8"):
        check(empty, path)


def zipped_again(path, names, bom=b""):
    """An export that was unpacked, and packed again: `names(name)` are those that a file has in the new zip."""
    other = path.with_name("again.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            for number, one in enumerate(names(name)):
                new.writestr(one, (bom if name == "manifest.json" else b"") + old.read(name) if not number else b"\0\5")
    return other


@pytest.mark.parametrize(
    "names",
    [
        lambda name: [f"export/{name}"],
        lambda name: [f"export/{name}", f"__MACOSX/export/._{name}", f"export/{name}/.DS_Store"],
        lambda name: [name, f"__MACOSX/{name}"],
        lambda name: [f"my\\export\\{name}"],
    ],
    ids=["folder", "mac", "mac without a folder", "windows"],
)
def test_an_export_that_was_zipped_again_is_read(readable, empty, saved, imported, names):
    path = saved(readable, ["all"], "csv")
    assert imported(empty, zipped_again(path, names, BOM)).total(*WRONG) == 0
    assert whole(empty) == whole(readable)


def test_a_zip_with_two_exports_in_it_is_refused(readable, empty, saved):
    path = zipped_again(saved(readable, ["runs"], "csv"), lambda name: [f"a/{name}", f"b/{name}"])
    with pytest.raises(InvalidInput, match=r"a zip with one manifest\.json"):
        check(empty, path)


@pytest.mark.parametrize("name", ["labels-bom.jsonl", "labels-folder.zip"])
def test_the_files_that_were_refused_though_they_are_exports_are_read(empty, shared_data, name):
    checked = check(empty, shared_data.parent / "cases" / name)
    assert checked.counts == {"labels": {"new": 1}}


def test_a_manifest_of_a_later_schema_or_version_is_refused(readable, empty, saved):
    for field in ("schema", "version"):
        path = saved(readable, ["runs"])
        first, *rest = path.read_text().splitlines(keepends=True)
        manifest = json.loads(first)
        manifest["manifest"][field] += 1
        path.write_text("".join([json.dumps(manifest) + "\n", *rest]))
        with pytest.raises(InvalidInput, match=f"{field}.* is 2, but must be 1"):
            check(empty, path)


def test_a_row_that_stands_twice_in_a_file_is_bad_the_second_time(readable, empty, saved):
    path = saved(readable, ["runs"])
    first, row, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + row + row + b"{}\n")
    rewritten(path, lambda n, row: row)
    bad = rows_of(empty, check(empty, path), Outcome.BAD)
    assert [(row.line, row.why) for row in bad] == [(3, f"run {RUN}: an earlier row of the file stands in its place.")]


def test_rows_are_found_again_in_any_order_and_beyond_what_is_looked_up_in_one_go(empty, make_app, saved, imported):
    other = make_app().extensions["driftwatch"]
    other.store.runs.request(RUN, "ann", len(HISTOGRAMS))
    other.store.items.store(RUN, list(HISTOGRAMS.items()), "a source")
    path = saved(other, ["runs", "histograms"])
    assert imported(empty, path).counts["histograms"] == {"new": len(HISTOGRAMS)}
    path = saved(other, ["histograms"])
    rows = [json.loads(line) for line in lines_of(path)[1:-1]]
    random.Random(1).shuffle(rows)
    assert len(rows) > AT_ONCE + 2
    new = {**rows[0], "run": RUN + 1, "id": "0" * 24}
    rows[AT_ONCE - 1]["source"] = "another"  # which makes no other histogram of it
    for row in rows[AT_ONCE : AT_ONCE + 2]:
        row |= {"occupancy": None, "hits": None, "missing": "absent"}
    rows[AT_ONCE + 1]["run"] = RUN + 1  # its id is that of a chamber which is there
    rows += [new, {**new, "id": "1" * 24}]
    empty.store.runs.request(RUN + 1, "ann", len(HISTOGRAMS))
    path.write_text("\n".join([lines_of(path)[0], *map(json.dumps, rows), "{}"]))
    checked = check(empty, rewritten(path, lambda n, row: row))
    assert checked.counts["histograms"] == {"same": len(HISTOGRAMS) - 2, "conflict": 2, "new": 1, "bad": 1}
    wrong = [(row.line - 2, row.outcome) for row in rows_of(empty, checked, *WRONG)]
    conflicts = [(AT_ONCE, Outcome.CONFLICT), (AT_ONCE + 1, Outcome.CONFLICT)]
    assert wrong == [*conflicts, (len(rows) - 1, Outcome.BAD)]


def test_histograms_need_their_run_and_scores_their_histograms(readable, empty, saved, imported):
    checked = check(empty, saved(readable, ["histograms"]))
    assert checked.counts == {"histograms": {"bad": len(PLACES)}}
    assert "neither loaded nor in the file" in rows_of(empty, checked)[0].why
    assert check(empty, saved(readable, ["scores"])).total(Outcome.NEW) == 0
    imported(empty, saved(readable, ["runs", "histograms"]))
    checked = check(empty, saved(readable, ["scores"]))
    assert checked.total(Outcome.NEW) == checked.total(*Outcome) == 7 - 1


def test_parts_imported_one_after_another_come_to_the_same_as_all_at_once(readable, empty, saved, imported):
    for kind in ("models", "labels", "runs", "problems"):
        imported(empty, saved(readable, [kind]))
    imported(empty, saved(readable, ["histograms"], "parquet"))
    imported(empty, saved(readable, ["scores"], "csv"))
    imported(empty, saved(readable, ["past_scores"], "csv"))
    assert whole(empty) == whole(readable)


def test_an_import_whose_process_was_ended_is_finished_by_the_next(readable, empty, saved):
    checked = check(empty, saved(readable, ["all"]))
    imports, added = empty.store.imports, 0
    imports.begin_writing(checked.id, keep_going=False)
    for kind in ("runs", "histograms", "labels"):  # and here it was ended, in the midst of the labels
        for batch in imports.new(checked.id, kind, 3):
            empty.store.transfer.add(kind, [document for _, document in batch])
            added += len(batch)
            if kind == "labels":
                break
    assert 0 < added < checked.total(Outcome.NEW)
    with pytest.raises(Conflict, match="Another import is being written"):
        empty.importing.write(check(empty, saved(readable, ["problems"])).id, by="root")
    with MongoClient(empty.settings.mongodb_uri) as client:  # its lease runs out
        client.get_default_database()["imports"].update_one({"state": "writing"}, {"$set": {"leased_until": None}})
        assert imports.take_lost() is None  # a lease that is not a time is nobody's
        past = next(iter(client.get_default_database()["runs"].find()))["requested_at"]
        client.get_default_database()["imports"].update_one({"state": "writing"}, {"$set": {"leased_until": past}})
    empty.reconcile()
    assert whole(empty) == whole(readable)
    assert imports.get(checked.id).state is ImportState.DONE


def test_what_came_between_the_check_and_the_writing_is_seen(readable, empty, saved, imported):
    path = saved(readable, ["runs"])
    checked = check(empty, path)
    empty.store.runs.request(RUN, "somebody", 250)
    with pytest.raises(Conflict, match="Nothing was imported"):
        empty.importing.write(checked.id, by="root")
    assert empty.store.runs.get(RUN).requested_by == "somebody"


def test_an_import_is_written_once_and_recorded(readable, empty, saved):
    checked = check(empty, saved(readable, ["runs"]))
    empty.importing.write(checked.id, by="root")
    with pytest.raises(Conflict, match="it is written once"):
        empty.importing.write(checked.id, by="root")
    (event,) = [e for e in everything(empty)["events"] if e["what"] == "import"]
    assert (event["by"], event["rows"]["new"]) == ("root", 1)


def test_labels_of_a_run_that_was_deleted_come_back_with_the_run(readable, empty, saved, imported):
    imported(empty, saved(readable, ["labels"]))
    imported(empty, saved(readable, ["runs", "histograms"]))
    item = empty.store.items.look(RUN, PLACES[0])
    assert item.evaluation == readable.store.items.look(RUN, PLACES[0]).evaluation
    assert item.labelled


def test_memory_does_not_grow_with_the_file(empty, tmp_path):
    kind = empty.exporting.kinds["runs"]
    row = {"state": "finished", "total": 250, "done": 250, "missing": 0, "rate": 1.0, "why": "", "source": "s"}
    row |= {"source_kind": "root", "simulated": False, "unsettled": False}
    row |= {"requested_by": "ann", "requested_at": datetime(2026, 1, 1, tzinfo=UTC), "model": "m", "reasons": {}}
    row |= {"started_at": None, "finished_at": None, "summary": {"judged": 250, "more": {"a": 1}}}
    peaks = []
    for count in (500, 2_000):
        path = tmp_path / f"{count}.jsonl"
        rows = ({**row, "number": 1_000 * count + i} for i in range(count))
        path.write_bytes(b"".join(FORMATS["jsonl"].write(kind.columns, rows, About("ann").manifest_of(kind))))
        tracemalloc.start()
        checked = check(empty, path)
        assert empty.importing.write(checked.id, by="root").total(Outcome.NEW) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_threshold_of_a_model_that_is_neither_there_nor_in_the_file_is_bad(filled, empty, saved, imported):
    (threshold,) = filled.store.thresholds.of("chamber-scan-1")
    filled.store.thresholds.add(replace(threshold, model="cnn-9"))
    checked = check(empty, saved(filled, ["models", "thresholds"]))
    assert checked.counts["thresholds"] == {"new": 1, "bad": 1}
    (row,) = rows_of(empty, checked, Outcome.BAD)
    assert row.why == "cnn-9, shifter 0.6: there is no model cnn-9, nor in the file."
    alone = check(empty, saved(filled, ["thresholds"]))
    assert alone.counts["thresholds"] == {"bad": 2}
    imported(empty, saved(filled, ["models"]))
    assert check(empty, saved(filled, ["thresholds"])).counts["thresholds"] == {"new": 1, "bad": 1}


@pytest.mark.parametrize("kind", ["histograms", "scores"])
def test_what_is_of_real_chambers_is_not_imported_into_a_simulated_run(filled, empty, saved, kind):
    empty.store.runs.request(RUN, "ann", len(HISTOGRAMS), DEMONSTRATION)
    if kind == "scores":
        empty.store.items.store(RUN, [(place, HISTOGRAMS[place]) for place in PLACES], "demonstration", simulated=True)
    checked = check(empty, saved(filled, [kind], runs=(RUN, RUN)))
    rows = rows_of(empty, checked)
    assert {row.outcome for row in rows} == {Outcome.CONFLICT}
    assert all("one of the two is simulated" in row.why for row in rows)


def test_labels_of_an_export_of_the_time_before_are_of_simulated_chambers_where_their_run_is(filled, empty, saved):
    empty.store.runs.request(RUN, "ann", len(HISTOGRAMS), DEMONSTRATION)
    empty.store.items.store(RUN, [(place, HISTOGRAMS[place]) for place in PLACES], "demonstration", simulated=True)
    path = saved(filled, ["labels"], runs=(RUN, RUN))
    checked = check(empty, rewritten(path, lambda number, row: row | {"simulated": None}))
    empty.importing.write(checked.id, by="root")
    assert empty.store.labels.simulated_runs() == [RUN]
    assert empty.store.items.look(RUN, PLACES[0]).labelled


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_export_of_the_version_before_which_has_no_such_columns_is_read(
    filled, empty, saved, imported, monkeypatch, form
):
    later = {"simulated", "source_kind", "unsettled"}
    with monkeypatch.context() as before:
        for kind in filled.exporting.kinds.values():
            before.setattr(kind, "columns", tuple(column for column in kind.columns if column.name not in later))
        path = saved(filled, ["all"], form)
    written = imported(empty, path)
    assert written.total(*WRONG) == 0
    for name in ("labels", "histograms", "runs"):
        assert written.counts[name]["new"] > 0
    assert {run.number: run.source for run in empty.store.runs.find()} == {
        run.number: run.source for run in filled.store.runs.find()
    }
