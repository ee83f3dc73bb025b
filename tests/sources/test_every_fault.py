"""The client against every fault of the demonstration server: what a whole run makes of it."""

import threading

import pytest

from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer, Fault, FaultKind
from app.subsystems.dt.sources.jsonfairy import Jsonfairy
from config import Settings

pytestmark = pytest.mark.slow

RUN = 302_640
FAULTY = all_chambers()[7]
LASTING = {
    FaultKind.ABSENT: Reason.ABSENT,
    FaultKind.NOT_JSON: Reason.NOT_JSON,
    FaultKind.EMPTY: Reason.NOT_JSON,
    FaultKind.ERROR: Reason.SERVER_ERROR,
    FaultKind.BUSY: Reason.SERVER_ERROR,
    FaultKind.BUSY_UNTIL: Reason.SERVER_ERROR,
    FaultKind.FORBIDDEN: Reason.REFUSED,
    FaultKind.SIGN_IN: Reason.REFUSED,
    FaultKind.SIGN_IN_REDIRECT: Reason.REFUSED,
    FaultKind.STALL: Reason.NO_ANSWER,
    FaultKind.DRIP: Reason.NO_ANSWER,
    FaultKind.CUT: Reason.NO_ANSWER,
    FaultKind.DROP: Reason.NO_ANSWER,
    FaultKind.NAN: Reason.NOT_FINITE,
    FaultKind.INF: Reason.NOT_FINITE,
    FaultKind.NAN_TEXT: Reason.NOT_FINITE,
    FaultKind.INF_TEXT: Reason.NOT_FINITE,
    FaultKind.NEGATIVE: Reason.NEGATIVE,
    FaultKind.FRACTION: Reason.NOT_WHOLE,
    FaultKind.HUGE_COUNT: Reason.TOO_LARGE,
    FaultKind.MISSING_ROW: Reason.WRONG_SHAPE,
    FaultKind.MISSING_COLUMN: Reason.WRONG_SHAPE,
    FaultKind.OVERSIZE: Reason.TOO_LARGE,
    FaultKind.OVERSIZE_UNANNOUNCED: Reason.TOO_LARGE,
}
HEALING = (Reason.SERVER_ERROR, Reason.NO_ANSWER, Reason.NOT_JSON)
TIMED_OUT = (FaultKind.STALL, FaultKind.DRIP)


def fetched(fault):
    # No other chamber may time out, or it is requested twice: the machine may stand still for seconds.
    settings = Settings(dqm_retries=1, dqm_backoff=0, dqm_read_timeout=5 if fault.kind in TIMED_OUT else 60)
    with DemoServer(DemoOptions(faults=(fault,), retry_after=0.1)) as server:
        client = Jsonfairy(settings, server.url)
        results = dict(client.fetch(RUN, all_chambers()[:40], threading.Event()))
        client.close()
    return results, server.requests


def test_every_fault_is_expected():
    assert set(LASTING) == set(FaultKind)


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_of_one_chamber_is_a_reason_on_that_chamber_and_on_no_other(kind):
    results, requests = fetched(Fault(kind, frozenset({FAULTY})))
    assert len(results) == 40
    unusable = {chamber: r.reason for chamber, r in results.items() if isinstance(r, UnusableHistogram)}
    assert unusable == {FAULTY: LASTING[kind]}
    assert requests == (41 if LASTING[kind] in HEALING else 40)


@pytest.mark.parametrize("kind", [kind for kind, reason in LASTING.items() if reason in HEALING])
def test_what_can_heal_is_tried_again(kind):
    results, _ = fetched(Fault(kind, frozenset({FAULTY}), heals_after=1))
    assert not [r for r in results.values() if isinstance(r, UnusableHistogram)]
