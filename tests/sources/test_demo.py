import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import requests

from app.errors import InvalidInput, Reason, SettingsError, UnusableHistogram
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.simulate import simulate_run
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer, Fault, FaultKind
from app.subsystems.dt.sources.dqm import histogram_path, occupancy_of

pytestmark = pytest.mark.slow

RUN = 302_635
CHAMBER = Chamber(wheel=-1, station=1, sector=2)
OTHER = Chamber(wheel=0, station=4, sector=9)


def get(server, chamber=CHAMBER, run=RUN, **options):
    options.setdefault("timeout", 10)
    return requests.get(f"{server.url}/jsonfairy/{histogram_path(run, chamber)}", **options)


def serving(kind, **fault):
    return DemoServer(DemoOptions(faults=(Fault(kind, **fault),)))


@pytest.fixture(scope="module")
def server():
    with DemoServer() as server:
        yield server


def structure(value):
    """Keys in order and types; of a list, the first element's."""
    if isinstance(value, dict):
        return {key: structure(each) for key, each in value.items()}
    if isinstance(value, list):
        return [structure(value[0])]
    return type(value).__name__


def test_a_whole_run_arrives_as_it_was_simulated(server):
    with requests.Session() as session:
        for chamber, simulated in simulate_run(RUN).items():
            reply = session.get(f"{server.url}/jsonfairy/{histogram_path(RUN, chamber)}", timeout=10)
            assert reply.headers["Content-Type"] == "text/html"
            assert occupancy_of(reply.json(), chamber).to_bytes() == simulated.occupancy.to_bytes()


def test_a_reply_is_written_as_the_real_server_writes_it(shared_data):
    text = (shared_data / "dt/jsonfairy_reply_317111_W-1_St1_Sec2.json").read_text()
    real = json.loads(text)
    with DemoServer(DemoOptions(runs={317_111: {CHAMBER: real["hist"]["bins"]["content"]}})) as server:
        reply = get(server, run=317_111)
    ours = reply.json()
    assert json.dumps(structure(ours)) == json.dumps(structure(real))  # the keys' order, too
    assert f'"entries": {ours["hist"]["stats"]["entries"]:.6f}' in reply.text
    for each in (real, ours):
        del each["hist"]["stats"]["entries"]  # fills, which nobody can know from the content
    assert ours == real


def test_counts_from_a_million_on_have_six_digits():
    rows = [[1_234_567] * OTHER.columns] * 12
    rows[1] = [999_999] * OTHER.columns
    with DemoServer(DemoOptions(runs={1: {OTHER: rows}})) as server:
        reply = get(server, OTHER, run=1)
    assert "1.23457e+06" in reply.text
    assert "999999" in reply.text
    assert reply.json()["hist"]["bins"]["content"][0][0] == 1_234_570


def test_the_number_of_layers_with_seven_empty_cells_in_a_row_is_given():
    gap = [5] * 10 + [0] * 7 + [5] * (OTHER.columns - 17)
    short = [5] * 10 + [0] * 6 + [5] * (OTHER.columns - 16)
    with DemoServer(DemoOptions(runs={1: {OTHER: [gap] * 3 + [short] * 9}})) as server:
        assert get(server, OTHER, run=1).json()["hist"]["bins"]["integral"][0][1] == -3


@pytest.mark.parametrize(
    "path",
    [
        histogram_path(299_999, CHAMBER),
        histogram_path(400_000, CHAMBER),
        histogram_path(RUN, CHAMBER).replace("Sector2", "Sector13"),
        f"archive/{RUN}/Global/Online/ALL/DT/01-Digi/Nothing",
        "archive/abc",
    ],
)
def test_what_the_server_does_not_have_is_unsupported(server, path):
    reply = requests.get(f"{server.url}/jsonfairy/{path}", timeout=10)
    assert (reply.status_code, reply.json()) == (200, {"hist": "unsupported type"})


def test_only_what_was_given_is_served_and_all_else_is_absent():
    rows = [[3] * OTHER.columns] * 12
    with DemoServer(DemoOptions(runs={7: {OTHER: rows}})) as server:
        assert get(server, OTHER, run=7).json()["hist"]["bins"]["content"] == rows
        for chamber, run in ((CHAMBER, 7), (OTHER, 8), (OTHER, RUN)):
            assert get(server, chamber, run=run).json() == {"hist": "unsupported type"}
        listed = requests.get(f"{server.url}/data/json/samples", timeout=10).json()
        assert [item["run"] for group in listed["samples"] for item in group["items"]] == ["7"]


def test_the_run_list_matches_runs_and_datasets():
    with DemoServer(DemoOptions(listed=(302_634, 302_635, 310_000))) as server:

        def listed(**query):
            reply = requests.get(f"{server.url}/data/json/samples", params=query, timeout=10)
            groups = reply.json()["samples"]
            assert {group["type"] for group in groups} == {"online_data"}
            return sorted(item["run"] for group in groups for item in group["items"])

        assert listed() == ["302634", "302635", "310000"]
        assert listed(match="^/Global/Online/ALL$", run="^3026") == ["302634", "302635"]
        assert listed(match="Express") == []
        assert requests.get(f"{server.url}/data/json/samples?run=(", timeout=10).status_code == 500


@pytest.mark.parametrize(
    ("kind", "status", "begins"),
    [
        (FaultKind.ABSENT, 200, '{"hist": "unsupported type"}'),
        (FaultKind.NOT_JSON, 200, '"error":"JSON preparing'),
        (FaultKind.EMPTY, 200, ""),
        (FaultKind.ERROR, 500, "<html>"),
        (FaultKind.FORBIDDEN, 403, "<html>"),
        (FaultKind.SIGN_IN, 200, "<!DOCTYPE html>"),
    ],
)
def test_faults_of_the_whole_reply(kind, status, begins):
    with serving(kind) as server:
        reply = get(server)
    assert reply.status_code == status
    assert reply.text.startswith(begins)
    assert bool(reply.text) == bool(begins)


def test_a_redirect_leads_to_a_page_to_sign_in():
    with serving(FaultKind.SIGN_IN_REDIRECT) as server:
        assert get(server, allow_redirects=False).status_code == 302
        followed = get(server)
    assert followed.status_code == 200
    assert "Sign in" in followed.text
    assert followed.history


def test_a_busy_server_says_for_how_long_in_seconds_or_as_a_date():
    for kind in (FaultKind.BUSY, FaultKind.BUSY_UNTIL):
        with DemoServer(DemoOptions(faults=(Fault(kind),), retry_after=120)) as server:
            reply = get(server)
        assert reply.status_code == 429
        wait = reply.headers["Retry-After"]
        if kind is FaultKind.BUSY:
            assert wait == "120"
        else:
            ahead = parsedate_to_datetime(wait) - parsedate_to_datetime(reply.headers["Date"])
            assert ahead.total_seconds() == pytest.approx(120, abs=2)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.NAN_TEXT, Reason.NOT_FINITE),
        (FaultKind.INF_TEXT, Reason.NOT_FINITE),
        (FaultKind.NEGATIVE, Reason.NEGATIVE),
        (FaultKind.FRACTION, Reason.NOT_WHOLE),
        (FaultKind.HUGE_COUNT, Reason.TOO_LARGE),
        (FaultKind.MISSING_ROW, Reason.WRONG_SHAPE),
        (FaultKind.MISSING_COLUMN, Reason.WRONG_SHAPE),
    ],
)
def test_spoilt_content_cannot_be_used(kind, reason):
    with serving(kind) as server:
        reply = get(server).json()
    with pytest.raises(UnusableHistogram) as error:
        occupancy_of(reply, CHAMBER)
    assert error.value.reason is reason


@pytest.mark.parametrize(("kind", "written"), [(FaultKind.NAN, "nan"), (FaultKind.INF, "inf")])
def test_what_is_not_finite_stands_bare_and_is_not_json(kind, written):
    with serving(kind) as server:
        reply = get(server)
    assert f"[{written}," in reply.text
    with pytest.raises(requests.JSONDecodeError):
        reply.json()


def test_a_stalled_request_runs_into_the_read_timeout():
    with serving(FaultKind.STALL) as server, pytest.raises(requests.ReadTimeout):
        get(server, timeout=(5, 0.2))


def test_a_dripping_reply_keeps_every_read_short_and_never_ends():
    options = DemoOptions(faults=(Fault(FaultKind.DRIP),), drip_seconds=0.02)
    with DemoServer(options) as server, get(server, stream=True) as reply:
        got = [reply.raw.read(1) for _ in range(5)]
        assert b"".join(got) == b'{"his'
        assert int(reply.headers["Content-Length"]) > 1_000


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.DROP])
def test_a_connection_breaks(kind):
    with serving(kind) as server, pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        get(server)


@pytest.mark.parametrize("kind", [FaultKind.OVERSIZE, FaultKind.OVERSIZE_UNANNOUNCED])
def test_an_oversize_reply_is_too_large_and_may_say_so(kind):
    with serving(kind) as server:
        reply = get(server)
    assert len(reply.content) == 4_000_000
    assert ("Content-Length" in reply.headers) == (kind is FaultKind.OVERSIZE)
    assert occupancy_of(reply.json(), CHAMBER).hits > 0


def test_a_fault_heals_after_so_many_tries_and_strikes_only_its_chambers():
    with serving(FaultKind.ERROR, chambers=frozenset({CHAMBER}), heals_after=2) as server:
        assert [get(server).status_code for _ in range(4)] == [500, 500, 200, 200]
        assert get(server, OTHER).status_code == 200


def test_a_share_of_the_chambers_fails_the_same_ones_each_time():
    fault = Fault(FaultKind.NOT_JSON, share=0.2)
    struck = [chamber for chamber in all_chambers() if fault.strikes(RUN, chamber, 0)]
    assert 25 <= len(struck) <= 75
    assert struck == [chamber for chamber in all_chambers() if fault.strikes(RUN, chamber, 5)]
    assert struck != [chamber for chamber in all_chambers() if fault.strikes(RUN + 1, chamber, 0)]
    well = next(chamber for chamber in all_chambers() if chamber not in struck)
    with DemoServer(DemoOptions(faults=(fault,))) as server:
        assert get(server, struck[0]).text.startswith('"error"')
        assert get(server, well).json()["hist"]["type"] == "TH2"


@pytest.mark.parametrize("text", ["", "nothing", "not_json=x", "not_json=1.5", "not_json=nan", "not_json=0.1:-2"])
def test_a_fault_that_cannot_be_read_names_what_can(text):
    with pytest.raises(InvalidInput, match="not_json"):
        Fault.parse(text)


def test_requests_and_the_most_at_once_are_counted():
    with DemoServer(DemoOptions(latency=0.3)) as server, ThreadPoolExecutor(5) as pool:
        assert server.requests == server.most_at_once == 0
        assert {reply.status_code for reply in pool.map(lambda c: get(server, c), all_chambers()[:5])} == {200}
        assert (server.requests, server.most_at_once) == (5, 5)
        get(server)
        assert (server.requests, server.most_at_once) == (6, 5)


def test_latency_is_waited_for_and_a_connection_serves_many_requests():
    with DemoServer(DemoOptions(latency=0.05, jitter=0.01)) as server, requests.Session() as session:
        url = f"{server.url}/jsonfairy/{histogram_path(RUN, CHAMBER)}"
        assert all(session.get(url, timeout=10).elapsed.total_seconds() >= 0.05 for _ in range(3))
        pools = session.get_adapter(url).poolmanager.pools
        assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 (not a mapping)


def test_stopping_ends_stalled_and_idle_connections():
    others = set(threading.enumerate())
    server = serving(FaultKind.STALL, chambers=frozenset({CHAMBER})).start()
    session = requests.Session()
    session.get(f"{server.url}/jsonfairy/{histogram_path(RUN, OTHER)}", timeout=10)
    with ThreadPoolExecutor(4) as pool:
        stalled = [pool.submit(get, server, timeout=60) for _ in range(4)]
        while server.requests < 5:
            time.sleep(0.01)
        server.stop()  # else the timeout of 60 s would have to pass
        assert all(isinstance(each.exception(), requests.ConnectionError) for each in stalled)
    with pytest.raises(requests.ConnectionError):
        session.get(server.url, timeout=10)
    session.close()
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "demo-dqm"]


def test_serving_forever_ends_when_stopped_from_another_thread():
    server = DemoServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert get(server).status_code == 200
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_port_in_use_is_named(server):
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(SettingsError, match=f"port {port}"):
        DemoServer(port=port)
