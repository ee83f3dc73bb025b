import contextlib
import json
import threading

import numpy as np
import pytest
import uproot
from drawn import cases
from hypothesis import given
from hypothesis import strategies as st
from uproot.writing.identify import to_TAxis, to_TH2x

from app.errors import InvalidInput, Reason, SourceDown, UnusableHistogram
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.sources import dqm, root_reader, rootfile
from app.subsystems.dt.sources.rootfile import RootFile

RUN = 302635
ONE = Chamber(wheel=-1, station=1, sector=2)


def counts(chamber: Chamber) -> np.ndarray:
    """(12, columns): counts that no other layer or cell of the chamber has; −1 where there is no cell."""
    rows, columns = np.indices(chamber.read_out.shape)
    return np.where(chamber.read_out, 1000 * (rows + 1) + columns, -1)


def th2(rows: np.ndarray, dtype: str = ">f4"):
    """A TH2 of rows [y][x], with an under- and an overflow around it that must not be read."""
    layers, columns = rows.shape
    with_flow = np.full((layers + 2, columns + 2), 77.0)
    with_flow[1:-1, 1:-1] = rows
    x, y = to_TAxis("x", "", columns, 1, columns + 1), to_TAxis("y", "", layers, 0, layers)
    return to_TH2x(None, "occupancy", with_flow.ravel().astype(dtype), *[0.0] * 8, np.array([]), x, y)


def place(chamber: Chamber, run: int = RUN) -> str:
    folder = f"01-Digi/Wheel{chamber.wheel}/Sector{chamber.sector}/Station{chamber.station}"
    return f"DQMData/Run {run}/DT/Run summary/{folder}/{dqm.histogram_name(chamber)}"


def write(path, histograms: dict) -> RootFile:
    with uproot.recreate(path) as file:
        for name, histogram in histograms.items():
            file[name] = histogram
    return RootFile(path)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory) -> RootFile:
    path = tmp_path_factory.mktemp("root") / "DQM_V0001_DT_R000302635.root"
    return write(path, {place(chamber): th2(counts(chamber)) for chamber in all_chambers()})


def fetched(source: RootFile, chambers, run: int = RUN, stop: threading.Event | None = None) -> dict:
    arrived = list(source.fetch(run, chambers, stop or threading.Event()))
    assert len(dict(arrived)) == len(arrived), "a chamber came twice"
    return dict(arrived)


def test_all_250_chambers_are_read_with_each_count_in_its_layer_and_cell(whole_run):
    found = fetched(whole_run, all_chambers())
    assert set(found) == set(all_chambers())
    for chamber, occupancy in found.items():
        np.testing.assert_array_equal(occupancy.counts, counts(chamber))


def test_the_source_is_named_after_the_file_and_knows_its_runs(whole_run):
    assert whole_run.name == "DQM_V0001_DT_R000302635.root"
    assert whole_run.runs == [RUN]


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">i2"])
def test_every_kind_of_2d_histogram_is_read(tmp_path, dtype):
    found = fetched(write(tmp_path / "dqm.root", {place(ONE): th2(counts(ONE), dtype)}), [ONE])
    np.testing.assert_array_equal(found[ONE].counts, counts(ONE))


def test_the_real_servers_counts_survive_a_root_file(tmp_path, shared_data):

    real = json.loads((shared_data / "dt" / "jsonfairy_reply_317111_W-1_St1_Sec2.json").read_text())
    from_server = dqm.occupancy_of(real, ONE)
    found = fetched(write(tmp_path / "dqm.root", {place(ONE): th2(from_server.counts)}), [ONE])
    np.testing.assert_array_equal(found[ONE].counts, from_server.counts)


def test_what_the_file_has_not_is_absent(tmp_path):
    other = Chamber(wheel=2, station=4, sector=14)
    found = fetched(write(tmp_path / "dqm.root", {place(ONE): th2(counts(ONE))}), [other, ONE])
    assert found[other].reason == Reason.ABSENT
    assert isinstance(found[ONE], Occupancy)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-2, Reason.NEGATIVE),
        (0.5, Reason.NOT_WHOLE),
        (np.nan, Reason.NOT_FINITE),
        (np.inf, Reason.NOT_FINITE),
        (1e12, Reason.TOO_LARGE),
    ],
)
def test_a_count_that_cannot_be_is_a_reason(tmp_path, value, reason):
    rows = counts(ONE).astype(float)
    rows[3, 20] = value
    found = fetched(write(tmp_path / "dqm.root", {place(ONE): th2(rows)}), [ONE])
    assert found[ONE].reason == reason
    assert "layer 4, cell 21" in found[ONE].detail


def test_a_histogram_of_another_shape_or_kind_is_a_reason(tmp_path):
    other = Chamber(wheel=0, station=2, sector=1)
    histograms = {place(ONE): th2(counts(ONE).T), place(other): np.histogram(np.arange(9.0))}
    found = fetched(write(tmp_path / "dqm.root", histograms), [ONE, other])
    assert found[ONE].reason == Reason.WRONG_SHAPE
    assert found[other].reason == Reason.WRONG_SHAPE
    assert "is a TH1" in found[other].detail


def test_a_run_that_the_file_has_not_is_an_error_that_names_those_it_has(tmp_path):
    source = write(tmp_path / "dqm.root", {place(ONE, run): th2(counts(ONE)) for run in (302635, 302634)})
    assert source.runs == [302634, 302635]
    with pytest.raises(InvalidInput, match=r"run is 5, but must be a run that dqm\.root holds: 302634, 302635\."):
        fetched(source, [ONE], run=5)


def test_a_root_file_that_is_no_dqm_file_holds_no_run(tmp_path):
    source = write(tmp_path / "other.root", {"histogram": np.histogram(np.arange(9.0))})
    assert source.runs == []
    with pytest.raises(InvalidInput, match=r"a run that other\.root holds: none"):
        fetched(source, [ONE])


@pytest.mark.parametrize("content", [b"", b"ro", b"not a ROOT file", b"PK\x03\x04"])
def test_a_file_that_is_no_root_file_is_named(tmp_path, content):
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"file\.txt.*but must be a ROOT file"):
        fetched(RootFile(path), [ONE])


def test_a_file_that_is_not_there_or_a_folder_is_named(tmp_path):
    for path in (tmp_path / "none.root", tmp_path):
        with pytest.raises(InvalidInput, match="must be the path of a ROOT file"):
            fetched(RootFile(path), [ONE])


def test_a_file_that_is_cut_short_is_named(tmp_path):
    source = write(tmp_path / "dqm.root", {place(ONE): th2(counts(ONE))})
    path = tmp_path / "cut.root"
    path.write_bytes((tmp_path / source.name).read_bytes()[:200])
    with pytest.raises(SourceDown, match=r"^cut\.root is damaged or incomplete"):
        fetched(RootFile(path), [ONE])


@pytest.fixture(scope="session")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("root") / "small.root"
    write(path, {place(ONE): th2(counts(ONE))})
    return path


@cases(50, many=1_000)
@given(data=st.data())
def test_whatever_is_damaged_the_outcome_is_the_counts_a_reason_or_a_clear_error(small_file, data):
    content = bytearray(small_file.read_bytes())
    at = data.draw(st.integers(4, len(content) - 1))
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] = data.draw(st.integers(0, 255))
    damaged = small_file.with_name("damaged.root")
    damaged.write_bytes(content)
    whole, *histograms = root_reader.answers(str(damaged), [place(ONE)])  # here: a process for each takes long
    assert whole.keys() in ({"runs", "holds"}, {"damaged"})
    for answer in histograms:
        with contextlib.suppress(UnusableHistogram):
            assert "damaged" in answer or isinstance(rootfile.occupancy(ONE, answer), Occupancy)


@cases(4, many=50)
@given(at=st.integers(4, 3_000), byte=st.integers(0, 255))
def test_whatever_is_damaged_a_source_gives_the_counts_a_reason_or_a_clear_error(small_file, at, byte):
    content = bytearray(small_file.read_bytes())
    content[at % len(content)] = byte
    damaged = small_file.with_name("damaged.root")
    damaged.write_bytes(content)
    with contextlib.suppress(InvalidInput, SourceDown):
        assert isinstance(fetched(RootFile(damaged), [ONE])[ONE], (Occupancy, UnusableHistogram))


def test_a_histogram_that_becomes_huge_is_a_reason_and_the_others_are_read(tmp_path, monkeypatch):
    other = Chamber(wheel=0, station=2, sector=1)
    huge = th2(np.zeros((6_000, 6_000), np.float32))
    source = write(tmp_path / "dqm.root", {place(ONE): huge, place(other): th2(counts(other))})
    assert (tmp_path / "dqm.root").stat().st_size < 1_000_000
    found = fetched(source, [ONE, other])
    assert "36,000,000 bins" in found[ONE].detail
    monkeypatch.setattr(rootfile, "MEMORY", 450_000_000)
    found = fetched(source, [ONE, other])
    assert found[ONE].reason == Reason.SERVER_ERROR
    assert isinstance(found[other], Occupancy)


def test_what_reads_a_root_file_is_ended_with_it_and_says_when_it_takes_too_long(whole_run, monkeypatch):
    monkeypatch.setattr(rootfile, "CPU_SECONDS", 0)
    with pytest.raises(SourceDown, match="to read it takes more than"):
        fetched(whole_run, [ONE])


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({}, r"this one holds nothing\.$"),
        ({"histogram": np.histogram(np.arange(9.0))}, r"this one holds histogram \(TH1D\)\.$"),
        ({"DQMData/Run 302635/CSC/h": np.histogram(np.arange(9.0))}, r"this one holds DQMData/Run 302635/CSC\.$"),
        ({"Indices": {"Run": np.arange(3)}}, r"this one holds Indices \(.*\), as DQMIO does before it is harvested\.$"),
    ],
)
def test_a_file_without_runs_is_refused_with_what_is_in_it_and_what_is_expected(tmp_path, content, held):
    source = write(tmp_path / "other.root", content)
    with pytest.raises(InvalidInput, match=rf"other\.root.*must be a DQM file with DQMData/Run <number>/DT.*{held}"):
        source.require_runs()


def test_stop_ends_reading_between_two_chambers(whole_run):
    stop = threading.Event()
    fetch = whole_run.fetch(RUN, all_chambers(), stop)
    next(fetch)
    stop.set()
    assert list(fetch) == []


def test_a_chamber_that_is_asked_for_twice_comes_once(whole_run):
    assert list(fetched(whole_run, [ONE, ONE])) == [ONE]
