import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.sources.dqm import histogram_path, occupancy_of, parse_histogram_path

CHAMBER = Chamber(wheel=-1, station=1, sector=2)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["hist", "bins", "content", "x"]), inner)
    ),
    max_leaves=12,
)


def test_the_path_of_a_histogram_is_the_servers():
    assert histogram_path(302635, CHAMBER) == (
        "archive/302635/Global/Online/ALL/DT/01-Digi/Wheel-1/Sector2/Station1/OccupancyAllHits_perCh_W-1_St1_Sec2"
    )


def test_each_chamber_has_a_path_of_its_own_that_leads_back():
    paths = {histogram_path(1, chamber): chamber for chamber in all_chambers()}
    assert len(paths) == 250
    for path, chamber in paths.items():
        assert parse_histogram_path(path) == (1, chamber)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "archive/1",
        histogram_path(1, CHAMBER).replace("Sector2", "Sector3"),
        histogram_path(1, CHAMBER).replace("Sector2", "Sector02"),
        histogram_path(1, CHAMBER).replace("archive/1", "archive/x"),
        histogram_path(1, CHAMBER).replace("Station1", "Station5").replace("St1", "St5"),
        histogram_path(1, CHAMBER) + "/more",
    ],
)
def test_another_path_is_nobodys(path):
    assert parse_histogram_path(path) is None


def test_a_real_reply_is_read(shared_data):
    reply = json.loads((shared_data / "dt/jsonfairy_reply_317111_W-1_St1_Sec2.json").read_text())
    occupancy = occupancy_of(reply, CHAMBER)
    assert occupancy.counts.tolist() == reply["hist"]["bins"]["content"]
    assert occupancy.counts[2, 2] == 48
    assert (occupancy.cells == CHAMBER.read_out).all()


def test_unsupported_type_means_absent():
    with pytest.raises(UnusableHistogram) as error:
        occupancy_of({"hist": "unsupported type"}, CHAMBER)
    assert error.value.reason is Reason.ABSENT


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        (None, "the reply is NoneType"),
        ([], "the reply is list"),
        ("error", "the reply is 'error'"),
        ({}, "no 'hist'"),
        ({"hist": None}, "hist is NoneType"),
        ({"hist": "something else"}, "hist is 'something else'"),
        ({"hist": {"type": "TH1"}}, "hist has no 'bins'"),
        ({"hist": {"bins": [1]}}, "hist.bins is list"),
        ({"hist": {"bins": {"content": None}}}, "NoneType in place of rows"),
        ({"hist": {"bins": {"content": [1, 2, 3]}}}, "3 rows"),
        ({"hist": {"bins": {"content": [[0] * 58] * 12}}}, "58 bins"),
    ],
)
def test_what_is_no_histogram_has_the_wrong_shape(reply, seen):
    with pytest.raises(UnusableHistogram, match=seen) as error:
        occupancy_of(reply, CHAMBER)
    assert error.value.reason is Reason.WRONG_SHAPE


@given(ANYTHING)
def test_no_reply_does_worse_than_being_unusable(reply):
    with pytest.raises(UnusableHistogram):
        occupancy_of(reply, CHAMBER)
