"""What a small file can become when it is imported: bounded in memory, rows, bad rows and time, and put away after."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import cases
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from app.accounts import Role
from app.errors import DriftwatchError, FileTooLarge, GivenUp, InvalidInput
from app.store.imports import BYTES_AT_ONCE, CheckedRow, Outcome
from app.subsystems.dt import DT, the_2018_format
from app.transfer import reading
from app.transfer.bounds import BY_COMMAND, ON_PAGE, Bounds, Watch
from app.transfer.columns import Column, Type
from app.transfer.formats import FORMATS, LONGEST_ROW, PARQUET_LIMITS
from app.transfer.importing import _batches
from app.transfer.kinds import all_kinds
from app.transfer.kinds.kind import DataKind
from app.transfer.manifest import About, described
from config import ROOT

KINDS = all_kinds(DT)
TEXT = [Column("text", Type.TEXT, "")]

# Reads a Parquet file of one column, row by row, and says how many rows there were, what was wrong, and the most memory
# that this process and those that it started took, in bytes.
_READS = """
import json, re, resource, sys
from app.transfer.columns import Column, Type
from app.transfer.formats import FORMATS, LONGEST_ROW, PARQUET_LIMITS
rows, wrong = 0, ""
with open(sys.argv[1], "rb") as file:
    for _, row in FORMATS["parquet"].read(file, [Column("text", Type.TEXT, "")]):
        rows, wrong = (rows, str(row)) if isinstance(row, Exception) else (rows + 1, wrong)
own = int(re.search("VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())[1])  # ru_maxrss has the starter's too
print(json.dumps([rows, wrong, 1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)]))
"""


def zipped(kind, content, name=None, **more):
    """A zip with a manifest and one file of a kind."""
    name = name or f"{kind.name}.csv"
    sha256 = hashlib.sha256(content).hexdigest()
    manifest = {**About("ann").manifest(), "files": [{"name": name, "sha256": sha256, **described(kind)}]}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **{"compression": zipfile.ZIP_DEFLATED, **more}) as archive:
        archive.writestr(name, content)
        archive.writestr("manifest.json", json.dumps(manifest))
    return file.getvalue()


def header(kind):
    return ",".join(column.name for column in kind.columns).encode() + b"\r\n"


def kept_aside(driftwatch):
    """How many imports and rows of imports there are."""
    with MongoClient(driftwatch.settings.mongodb_uri) as client:
        database = client.get_default_database()
        return database["imports"].count_documents({}), database["import_rows"].count_documents({})


def check(driftwatch, content, **bounds):
    return driftwatch.importing.check_file(io.BytesIO(content), "a file", "root", replace(BY_COMMAND, **bounds))


def repeated(path, rows, size, columns=("text",), **metadata):
    """A Parquet file whose values all are the same text: a dictionary of one word."""
    indices = pa.array([0] * rows, pa.int32())
    table = pa.table({name: pa.DictionaryArray.from_arrays(indices, pa.array(["x" * size])) for name in columns})
    with pq.ParquetWriter(path, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return path


# --- memory ---


@pytest.mark.parametrize(("rows", "size", "read"), [(500, 5_000_000, 0), (3_000, 100_000, 3_000), (1, 40_000_000, 0)])
def test_a_small_parquet_file_takes_little_memory_whatever_it_becomes(tmp_path, rows, size, read):
    path = repeated(tmp_path / "small.parquet", rows, size)
    assert path.stat().st_size < 100_000
    ran = subprocess.run([sys.executable, "-c", _READS, path], cwd=ROOT, capture_output=True, check=True)
    found, wrong, peak = json.loads(ran.stdout)
    assert (found, "bytes" in wrong) == (read, read == 0)
    assert peak < 1_000_000_000


def test_a_parquet_file_that_takes_too_much_memory_is_refused_with_the_bound(empty, tmp_path):
    kind = KINDS["runs"]
    manifest, names = json.dumps(About("ann").manifest_of(kind)), [column.name for column in kind.columns]
    path = repeated(tmp_path / "small.parquet", 500, 5_000_000, names, driftwatch=manifest)
    checked = empty.importing.check(path, path.name, "root")
    (bad,) = empty.store.imports.rows(checked.id)
    assert bad.outcome is Outcome.BAD
    assert "more than 1,000,000,000 bytes of memory" in bad.why


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array([[None] * 3], pa.list_(pa.null())),
        pa.array([[True]], pa.list_(pa.bool_())),
        pa.array([{"a": 1}]),
    ],
)
def test_a_parquet_column_that_could_repeat_values_for_free_is_refused(tmp_path, column):
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with (tmp_path / "a.parquet").open("rb") as file, pytest.raises(InvalidInput, match="which no export has"):
        list(FORMATS["parquet"].read(file, TEXT))


def test_large_rows_are_held_in_small_batches():
    row = BYTES_AT_ONCE // 3
    batches = list(_batches([row] * 9 + [1] * 300, size=lambda one: one))
    assert max(map(sum, batches)) <= BYTES_AT_ONCE + row
    assert [len(batch) for batch in batches] == [4, 4, 200, 101]


def test_what_was_kept_aside_is_read_back_in_small_batches(empty):
    imports = empty.store.imports
    import_id = imports.begin("file", "ann")
    rows = [
        CheckedRow("models", "f", i, Outcome.NEW, keys=(str(i),), document={"file": bytes(4_000_000)}, size=4_000_000)
        for i in range(7)
    ]
    imports.keep(import_id, rows)
    assert [len(batch) for batch in imports.new(import_id, "models", 200)] == [3, 3, 1]


@pytest.mark.parametrize(
    "row",
    [
        b"x" * 300_000,
        b'"' + b"x" * 300_000 + b'"',
        b'"\n' + b'","\n' * 100_000 + b'"',  # one row of many lines, each of which is short
        b"," * 300_000,
    ],
)
def test_a_row_of_csv_has_its_bound_however_many_lines_it_has(row):
    content = b"text\r\n" + row + b"\r\ngood\r\n"
    read = list(FORMATS["csv"].read(io.BytesIO(content), TEXT, longest=200_000))
    assert "but must be at most 200,000 bytes" in str(read[0][1])
    if row.count(b"\n") == 0:  # else what follows stands in the midst of a cell
        assert read[-1][1] == {"text": "good"}


def test_a_line_that_is_longer_than_the_rows_of_its_kind_is_bad_and_the_others_are_read(empty, saved, filled):
    path = saved(filled, ["runs"])
    first, *rows, end = path.read_bytes().splitlines(keepends=True)
    long = rows[0].replace(b'"why":"', b'"why":"' + b"x" * KINDS["runs"].longest)
    path.write_bytes(b"".join([first, long, *rows, end]))
    checked = empty.importing.check(path, path.name, "root")
    bad = [row.why for row in empty.store.imports.rows(checked.id, Outcome.BAD)]
    assert bad[0] == "the line is '…', but must be at most 200,000 bytes."
    assert checked.counts["runs"]["new"] == len(rows)


def test_layers_of_one_chamber_without_end_are_one_bad_chamber():
    layer = {"wheel": "0", "sector": "1", "station": "1", "layer": "1", "run": "302635", "lumi": "-1", "content": [1]}
    content = b"[" + b",".join([json.dumps(layer).encode()] * 5_000) + b"]"
    ((number, wrong),) = the_2018_format.read(io.BytesIO(content))
    assert number == 1
    assert isinstance(wrong, DriftwatchError)


# --- rows, bad rows, bytes, time ---


def test_a_small_zip_with_millions_of_bad_lines_is_refused_and_leaves_no_row_behind(app, sign_in, driftwatch):
    client = app.test_client()
    sign_in(client, Role.ADMIN, "root")
    content = zipped(KINDS["labels"], header(KINDS["labels"]) + b"x\n" * 3_000_000)
    assert len(content) < 20_000
    answer = client.post("/data/import", data={"file": (io.BytesIO(content), "small.zip")})
    assert answer.status_code == 400
    assert "more than 10,000 rows that cannot be used. Larger files are imported by flask import." in answer.text
    assert kept_aside(driftwatch) == (0, 0)
    answer = client.post("/api/v1/import", data=content)
    assert (answer.status_code, answer.json["code"]) == (413, "file-too-large")
    assert kept_aside(driftwatch) == (0, 0)


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        ({"rows": 4}, "more than 4 rows"),
        ({"unpacked": 3_000}, "more than 3,000 bytes when it is unpacked"),
        ({"file": 1_000}, "bytes, more than 1,000"),
        ({"seconds": -1}, "seconds to check"),
    ],
)
def test_each_bound_of_an_import_ends_it_and_is_named(empty, filled, saved, bounds, sentence):
    for kinds, form in ((["labels"], "jsonl"), (["labels", "histograms"], "csv"), (["labels"], "parquet")):
        with pytest.raises(FileTooLarge, match=re.escape(sentence)):
            check(empty, saved(filled, kinds, form).read_bytes(), **bounds)
        assert kept_aside(empty) == (0, 0)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_blank_lines_without_end_are_bounded_too(form):
    seen = Watch(Bounds(1, 1_000, 1, 1, 60, "")).read
    content = io.BytesIO(b"text\r\n" + b"\n" * 5_000)
    with pytest.raises(FileTooLarge, match=r"more than 1,000 bytes"):
        list(FORMATS[form].read(content, TEXT, seen=seen))


def test_a_manifest_that_names_a_file_twice_is_refused(empty):
    kind = KINDS["labels"]
    file = io.BytesIO(zipped(kind, header(kind)))
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        rows = archive.read("labels.csv")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("labels.csv", rows)
        archive.writestr("manifest.json", json.dumps(manifest | {"files": manifest["files"] * 2}))
    with pytest.raises(InvalidInput, match="named once"):
        check(empty, file.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_is_packed_in_an_unusual_way_is_refused(empty, method):
    kind = KINDS["labels"]
    with pytest.raises(InvalidInput, match="deflate"):
        check(empty, zipped(kind, header(kind), compression=method))


def test_a_zip_with_too_long_a_list_of_files_is_refused_before_it_is_held(empty):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number:09}", b"")
    with pytest.raises(FileTooLarge, match="list of its files"):
        check(empty, file.getvalue())


def test_the_bounds_stand_in_the_documents():
    text = (ROOT / "docs" / "analysis.md").read_text()
    megabytes, minutes = ON_PAGE.file // 1_000_000, ON_PAGE.seconds // 60
    gigabytes = [bounds.unpacked // 1_000_000_000 for bounds in (ON_PAGE, BY_COMMAND)]
    for row in (
        f"| file size | {megabytes} MB | {BY_COMMAND.file // 1_000_000_000} GB |",
        f"| unpacked size | {gigabytes[0]} GB | {gigabytes[1]} GB |",
        f"| rows | {ON_PAGE.rows:,} | {BY_COMMAND.rows:,} |",
        f"| unusable rows | {ON_PAGE.bad:,} | {BY_COMMAND.bad:,} |",
        f"| time to check | {minutes} minutes | a day |",
        f"| one row | {DataKind.longest // 1_000} kB; of `models` {LONGEST_ROW // 1_000_000} MB |",
        f"in a separate process | {PARQUET_LIMITS.memory // 1_000_000_000} GB |",
    ):
        assert row in text


# --- whatever is in it ---


@pytest.fixture(scope="module")
def small_files():
    kind = KINDS["runs"]
    rows = [{c.name: None for c in kind.columns} | {"number": 1, "state": "finished", "why": "=µ"}]
    files = {
        form: b"".join(FORMATS[form].write(kind.columns, rows, About("ann").manifest_of(kind))) for form in FORMATS
    }
    return {"csv": zipped(kind, files["csv"]), "jsonl": files["jsonl"], "parquet": files["parquet"]}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@cases(50, many=1_000)
@given(data=st.data())
def test_whatever_is_damaged_the_outcome_is_rows_or_a_sentence(small_files, form, data):
    _read_damaged(small_files[form], data)


@cases(5, many=50)
@given(data=st.data())
def test_whatever_is_damaged_in_parquet_the_outcome_is_rows_or_a_sentence(small_files, data):
    _read_damaged(small_files["parquet"], data)


def test_a_text_of_a_parquet_that_is_no_utf8_is_an_error_of_its_row_alone(small_files):
    kind = KINDS["runs"]
    rows = [
        {c.name: None for c in kind.columns} | {"number": n, "state": "finished", "why": why}
        for n, why in ((1, "fine"), (2, "odd one"), (3, "right"))
    ]
    content = b"".join(FORMATS["parquet"].write(kind.columns, rows, About("ann").manifest_of(kind)))
    assert content.count(b"odd one") == 1  # not among the statistics, which have the first and the last
    file = io.BytesIO(content.replace(b"odd one", b"o\x80d one"))
    (part,) = reading.parts(file, "file", KINDS, DT.own_format, BY_COMMAND, Watch(BY_COMMAND))
    assert ["utf-8" in str(row) for _, row in part.rows] == [False, True, False]


def _read_damaged(content, data):
    damaged = bytearray(content)
    at = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        del damaged[at:]
    else:
        damaged[at] = data.draw(st.integers(0, 255))
    with suppress(DriftwatchError):
        for part in reading.parts(
            io.BytesIO(bytes(damaged)), "file", KINDS, DT.own_format, BY_COMMAND, Watch(BY_COMMAND)
        ):
            assert all(isinstance(row, dict | DriftwatchError | tuple) for _, row in part.rows)


def test_a_pipe_is_refused_with_a_sentence(empty):
    reading_end, writing_end = os.pipe()
    os.close(writing_end)
    with os.fdopen(reading_end, "rb") as pipe, pytest.raises(InvalidInput, match="a file on disk"):
        empty.importing.check_file(pipe, "a pipe", "root", BY_COMMAND)


# --- nothing stays behind ---


def test_an_import_that_nobody_waits_for_any_more_is_put_away(empty, filled, saved):
    content = saved(filled, ["runs"]).read_bytes()
    for bounds in (BY_COMMAND, replace(BY_COMMAND, rows=1)):
        with pytest.raises((GivenUp, FileTooLarge)):
            empty.importing.check_file(io.BytesIO(content), "a", "root", bounds, is_wanted=lambda: False)
        assert kept_aside(empty) == (0, 0)


def test_what_a_process_that_was_ended_had_half_checked_is_put_away_once_its_lease_is_over(empty):
    imports = empty.store.imports
    import_id = imports.begin("lost.zip", "ann")
    imports.keep(import_id, [CheckedRow("runs", "f", 1, Outcome.BAD, why="x")])
    empty.importing.reconcile()
    assert kept_aside(empty) == (1, 1)  # somebody may be at work on it
    with MongoClient(empty.settings.mongodb_uri) as client:
        past = {"$set": {"leased_until": datetime.now(UTC) - timedelta(seconds=1)}}
        client.get_default_database()["imports"].update_many({}, past)
    empty.importing.reconcile()
    assert kept_aside(empty) == (0, 0)
    assert not imports.renew(import_id)  # so that who was only slow gives up


def test_rows_whose_import_is_gone_or_done_are_put_away(empty):
    imports = empty.store.imports
    import_id = imports.begin("a.zip", "ann")
    imports.keep(import_id, [CheckedRow("runs", "f", 1, Outcome.BAD, why="x")])
    with MongoClient(empty.settings.mongodb_uri) as client:  # as if the process had been ended between the two
        client.get_default_database()["imports"].delete_many({})
    empty.importing.reconcile()
    assert kept_aside(empty) == (0, 0)
