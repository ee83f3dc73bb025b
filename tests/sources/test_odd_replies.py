"""The client against whatever a server may send: a short round here, many more cases in `make soak`."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_replies import LIMIT, READ_SECONDS, OddReply, RawServer, chamber_of, counts, good_reply, odd_replies

from app.errors import SourceDown, UnusableHistogram
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.sources.jsonfairy import Jsonfairy
from config import Settings

pytestmark = pytest.mark.slow

RUN = 302635
CHAMBERS = all_chambers()[:5]
ODD = CHAMBERS[1]
SETTINGS = Settings(
    dqm_retries=1,
    dqm_backoff=0,
    dqm_parallel=3,
    dqm_read_timeout=READ_SECONDS,
    dqm_retry_after_max=0.01,
    dqm_max_reply_bytes=LIMIT,
)
SHORT = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(SHORT, max_examples=400)
ROUNDS = pytest.mark.parametrize("nth", range(5))  # each draws its own cases
PLANS = st.lists(st.none() | odd_replies(), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.stop()


def one_reply_costs_one_reply(server: RawServer, reply: OddReply) -> None:
    server.reply_to = lambda path: reply if chamber_of(path) == ODD else good_reply(chamber_of(path))
    found = list(Jsonfairy(SETTINGS, server.url).fetch(RUN, CHAMBERS, threading.Event()))
    assert sorted(map(str, dict(found))) == sorted(map(str, CHAMBERS))
    assert len(found) == len(CHAMBERS)
    for chamber, outcome in found:
        if isinstance(outcome, UnusableHistogram):
            assert chamber == ODD
            can_be_kept_and_shown(outcome)
        elif chamber != ODD:
            assert outcome.counts.tolist() == counts(chamber)


def a_run_ends_in_one_of_two_ways(server: RawServer, plan: list[OddReply | None]) -> None:
    chambers = all_chambers()[: len(plan)]
    planned = dict(zip(chambers, plan, strict=True))
    server.reply_to = lambda path: planned[chamber_of(path)] or good_reply(chamber_of(path))
    names = []
    try:
        for chamber, outcome in Jsonfairy(SETTINGS, server.url).fetch(RUN, chambers, threading.Event()):
            names.append(chamber)
            if isinstance(outcome, UnusableHistogram):
                can_be_kept_and_shown(outcome)
    except SourceDown as error:
        can_be_kept_and_shown(error)
        chambers = names
    assert sorted(map(str, names)) == sorted(map(str, chambers))
    assert len(names) == len(set(names))


def a_list_of_runs_is_one_or_a_sentence(server: RawServer, reply: OddReply) -> None:
    server.reply_to = lambda path: reply
    try:
        assert all(0 < run < 1_000_000 for run in Jsonfairy(SETTINGS, server.url).runs())
    except SourceDown as error:
        can_be_kept_and_shown(error)


def can_be_kept_and_shown(error: Exception) -> None:
    assert str(error).isprintable()  # nothing that steers a terminal, nor a lone surrogate, which MongoDB refuses
    assert len(str(error)) < 600


@SHORT
@given(odd_replies())
def test_whatever_one_reply_holds_costs_no_other_chamber(server, reply):
    one_reply_costs_one_reply(server, reply)


@SHORT
@given(PLANS)
def test_whatever_the_replies_hold_a_run_has_each_chamber_once_or_the_server_is_down(server, plan):
    a_run_ends_in_one_of_two_ways(server, plan)


@SHORT
@given(odd_replies())
def test_whatever_comes_in_place_of_a_list_of_runs_is_one_or_one_sentence(server, reply):
    a_list_of_runs_is_one_or_a_sentence(server, reply)


@pytest.mark.soak
@ROUNDS
@LONG
@given(odd_replies())
def test_many_odd_replies_cost_no_other_chamber(server, nth, reply):
    one_reply_costs_one_reply(server, reply)


@pytest.mark.soak
@ROUNDS
@LONG
@given(PLANS)
def test_many_odd_runs_have_each_chamber_once_or_the_server_is_down(server, nth, plan):
    a_run_ends_in_one_of_two_ways(server, plan)


@pytest.mark.soak
@ROUNDS
@LONG
@given(odd_replies())
def test_many_odd_lists_of_runs_are_one_or_one_sentence(server, nth, reply):
    a_list_of_runs_is_one_or_a_sentence(server, reply)
