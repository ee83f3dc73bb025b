"""The summary of a shift: what is counted, in which words."""

from datetime import UTC, datetime, timedelta

from app.domain.labels import EventKind, LabelEvent, SkipReason
from app.domain.shift_summary import MOST_LINES, Dispute, Shift, markdown
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.names import chamber_name

BEGIN = datetime(2026, 11, 22, 7, tzinfo=UTC)
CHAMBERS = [Chamber(wheel=wheel, station=1, sector=sector) for wheel in range(-2, 3) for sector in range(1, 13)]


def event(number, place, kind=EventKind.LABEL, by="ann", run=302634, **more):
    at = BEGIN + timedelta(minutes=number)
    return LabelEvent(str(number), str(number), run, place, number + 1, kind, by, at, **more)


def written(events=(), disputes=(), hidden=0, more=False, hours=8):
    shift = Shift(
        BEGIN, BEGIN + timedelta(hours=hours), events, hidden, more, disputes, 7, 0.4, "row-cnn-1", "chamber", "layer"
    )
    return markdown(shift, chamber_name).splitlines()


def test_an_empty_shift_is_said_in_a_few_lines():
    assert written() == [
        "## Labels, 2026-11-22 07:00–15:00 UTC",
        "",
        "- runs: none",
        "- labelled: 0 chambers",
        "- bad: 0 chambers",
        "- skipped: 0 chambers",
        "- open disagreements: 0",
        "- left: 7 chambers with a certainty below 0.4, by row-cnn-1",
    ]


def test_a_chamber_counts_once_by_what_was_said_last():
    one, other, third = CHAMBERS[:3]
    lines = written(
        [
            event(0, one, bad=(1,)),
            event(1, other, EventKind.SKIP, reason=SkipReason.UNCLEAR),
            event(2, other, bad=()),
            event(3, one, EventKind.RESOLVE, "eva", bad=(5, 6, 7), comment="no high\nvoltage"),
            event(4, third, EventKind.SKIP, "berta", reason=SkipReason.DETECTOR_OFF),
            event(5, third, EventKind.SKIP, "carlo", run=302635),
        ]
    )
    assert "- runs: 302634, 302635" in lines
    assert "- labelled: 2 chambers (ann 1, eva 1)" in lines
    assert "- bad: 1 chamber" in lines
    assert "- skipped: 2 chambers" in lines
    assert "- run 302634, W−2 S1 MB1: layers 5–7 (eva: “no high voltage”)" in lines
    assert lines[lines.index("### Skipped") + 2 :] == [
        "- run 302634, W−2 S3 MB1: detector off (berta)",
        "- run 302635, W−2 S3 MB1: no reason (carlo)",
    ]


def test_disagreements_have_both_answers():
    lines = written(disputes=[Dispute(302634, CHAMBERS[0], (("ann", {3: "bad"}), ("berta", {})))])
    assert lines[-1] == "- run 302634, W−2 S1 MB1: ann: layer 3; berta: good"
    assert "- open disagreements: 1" in lines


def test_what_is_left_out_is_said():
    lines = written([event(n, place, bad=(1,)) for n, place in enumerate(CHAMBERS)], hidden=2, more=True, hours=24)
    assert lines[0] == "## Labels, 2026-11-22 07:00 – 2026-11-23 07:00 UTC"
    assert "- not shown, since a second opinion is wanted: 2 chambers" in lines
    assert "- only the first 62 entries are counted: choose a shorter time" in lines
    assert lines[-1] == f"- and {len(CHAMBERS) - MOST_LINES} more"
    assert sum(line.startswith("- run ") for line in lines) == MOST_LINES
