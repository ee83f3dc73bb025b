"""Real chambers all the way: from a server in the DQM's format to the pixels, for run 302635 and the real reply."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from waiting import wait_until

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.sources.demo_reply import ABSENT, histogram_json
from app.subsystems.dt.sources.dqm import histogram_path

RUN, ALMOST_EMPTY_RUN = 302635, 317111
ALMOST_EMPTY = Chamber(wheel=-1, station=1, sector=2)
ROWS = """() => [...document.querySelectorAll("tr[data-row]")].map((tr) => ({
  layer: +tr.dataset.row,
  top: tr.getBoundingClientRect().top,
  counts: [...tr.querySelectorAll("rect[data-cell]")].map((rect) => +rect.dataset.count),
  fills: [...tr.querySelectorAll("rect[data-cell]")].map((rect) => rect.getAttribute("fill")),
  score: tr.querySelector("td.score").textContent.trim(),
}))"""


@pytest.fixture(scope="module")
def real(shared_data):
    """Chamber → its counts, of run 302635."""
    chambers = json.loads((shared_data / "dt" / "chambers.json").read_text())["chambers"]
    return {
        Chamber(wheel=c["wheel"], station=c["station"], sector=c["sector"]): c["matrix"]
        for c in chambers
        if c["run"] == RUN
    }


@pytest.fixture(scope="module")
def real_app(_made_apps, real, shared_data):
    """An application that fetched both runs from a local server; what is not real is absent there."""
    reply = (shared_data / "dt" / "jsonfairy_reply_317111_W-1_St1_Sec2.json").read_bytes()  # as it came
    bodies = {histogram_path(RUN, chamber): histogram_json(chamber, rows).encode() for chamber, rows in real.items()}
    bodies[histogram_path(ALMOST_EMPTY_RUN, ALMOST_EMPTY)] = reply

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = bodies.get(self.path.removeprefix("/dqm/online/jsonfairy/"), ABSENT.encode())
            self.send_response(200)
            self.send_header("Content-Type", "text/html;charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        app = _made_apps(dqm_url=f"http://127.0.0.1:{server.server_port}/dqm/online")
        driftwatch = app.extensions["driftwatch"]
        driftwatch.start()
        for run in (RUN, ALMOST_EMPTY_RUN):
            driftwatch.ask_for_run(run, by="tests")
        wait_until(lambda: not driftwatch.store.runs.busy())
        server.shutdown()
        thread.join()
    return app


def test_every_real_chamber_is_on_screen_as_it_was_served(page, real_app, serve, real):
    base = serve(real_app)
    for chamber, rows in list(real.items())[::4]:
        page.goto(f"{base}/eval/{RUN}/{chamber.wheel}/{chamber.sector}/{chamber.station}/")
        shown = page.evaluate(ROWS)
        assert [row["layer"] for row in sorted(shown, key=lambda row: row["top"])] == list(range(12, 0, -1))
        stored = page.request.get(
            f"{base}/api/v1/runs/{RUN}/chambers/{chamber.wheel}/{chamber.sector}/{chamber.station}"
        ).json()
        assert stored["occupancy"] == rows
        for row in shown:
            served = rows[row["layer"] - 1]
            if any(count >= 0 for count in served):
                assert row["counts"] == served
            score = stored["scores"][row["layer"] - 1]
            assert row["score"] == ("–" if score is None else f"{score:.3f}")


def test_the_runs_page_says_how_many_chambers_are_there_and_why_the_others_are_not(page, real_app, serve, real):
    page.goto(f"{serve(real_app)}/fetch/")
    row = page.locator("tr", has_text=str(RUN))
    missing = 250 - len(real)
    assert f"finished, {missing} missing" in row.inner_text()
    assert "not on the server" in row.inner_text()


def test_the_real_reply_of_an_almost_empty_chamber_is_shown_and_not_judged(page, real_app, serve):
    page.goto(f"{serve(real_app)}/eval/{ALMOST_EMPTY_RUN}/-1/2/1/")
    third = next(row for row in page.evaluate(ROWS) if row["layer"] == 3)
    assert third["counts"][:4] == [0, 1, 48, 0]
    assert third["score"] == "–"
    assert page.locator("td.verdict", has_text="unjudged").count() == 12


def test_the_real_half_dead_superlayer_is_called_bad_in_its_own_layers(page, real_app, serve, shared_data, make_app):
    # Run 273158: the second half of superlayer 2 is dead, and of no other.
    chambers = json.loads((shared_data / "dt" / "chambers.json").read_text())["chambers"]
    half = next(c for c in chambers if "SL2 half dead" in c["label"])
    line = {key: half[key] for key in ("wheel", "sector", "station")} | {"occupancy": half["matrix"]}
    result = make_app().test_cli_runner().invoke(args=["score", "-"], input=json.dumps(line))
    verdicts = json.loads(result.stdout)["verdicts"]
    assert [layer for layer, verdict in enumerate(verdicts, start=1) if verdict == "bad"] == [5, 6, 7, 8]
