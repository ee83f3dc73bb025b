"""Every address with every odd value: there is always an answer, and never one that says that something went wrong."""

import faulthandler
import json
import random
from collections import Counter
from urllib.parse import quote

import pytest
from drawn import SOAK
from queue_of_chambers import PLACES, RUN, load_queue

from app.domain.labels import Seen
from app.web.shared.security import LARGEST_REQUEST

PATIENCE = 60  # seconds until an answer is given up; never a measure of speed
TRIES = 50 if SOAK else 6  # of each address and method
DEEP = "[" * 3_000 + "]" * 3_000

# As they stand in an address or in a form, percent-encoded where they are no text at all.
ODD = [
    "", " ", "x", "−1", "-1", "0", "1.5", "1_000", "１２", "0x10", "1e5", "1e-278", "nan", "-inf", "∞", "2147483648",
    "9223372036854775807", "9223372036854775808", "9" * 5_000, "1-99999999", "true", "null", "%00", "a%00b",
    "%ED%A0%80", "%F0%9F%92%A9", "%0A", "%1B[31m", "../../etc/passwd", "<b>", "'\"", "$where", "{{ 7 * 7 }}", "//[",
    "https://[", "0001-01-01", "9999-12-31", "2026-02-30", "2026-11-22 25:61", "0001-01-01T00:00:00+23:59",
    quote(DEEP[:600]),
    "9999-12-31T23:59:59-23:59", "e%CC%81", "a" * 3_000,
]  # fmt: skip
ODD_JSON = [
    "null", "true", "0", "-1", "1.5", "1e400", "-1e400", "NaN", "2147483648", "9223372036854775808", "9" * 4_000,
    '""', '"x"', '"nan"', '"1_000"', r'"\ud800"', r'"\u0000"', r'"a\u0007b"', "[]", "{}", "[null]", '["x"]', DEEP,
    '{"a": ' * 3_000 + "1" + "}" * 3_000, "[" * 60 + "]" * 60, '"0001-01-01T00:00:00+23:59"', '{"$where": 1}',
    '"9999-12-31T23:59:59-23:59"', '"2026-11-22T08:00:00"', '[{"run": 1e999, "wheel": 1, "sector": 1, "station": 1}]',
    f'"{"9" * 5_000}"',
]  # fmt: skip
NAMES = [
    "action", "all", "answers", "architecture", "as", "bad", "by", "chambers", "comment", "descending",
    "download", "first", "first_cell", "format", "keep_going", "key", "kind", "last", "last_cell", "layer",
    "layers", "leave_out_known", "least", "method", "model", "most", "most_bad", "name", "new", "next", "old",
    "other", "outcome", "page", "part", "password", "person", "rate", "reason", "reference", "resolved_only",
    "role", "run", "runs", "scale", "scheme", "score", "scored_at", "sector", "seed", "seq", "show",
    "simulated_weight", "since", "size", "sort", "state", "station", "strategy", "text", "uncertain", "until",
    "use", "wheel", "why", "with", "withdrawn",
]  # fmt: skip


@pytest.fixture(autouse=True)
def as_served(app):
    """An error is answered and logged, as where the program is served."""
    app.testing = False


@pytest.fixture
def values(driftwatch):
    """The parts of an address that there are: name → one that leads somewhere."""
    load_queue(driftwatch)
    place = PLACES[0]
    seen = Seen.of(driftwatch.store.items.look(RUN, place))
    label = driftwatch.labelling.submit("ann", RUN, place, [7], "key-of-ann", seen).event
    problem = driftwatch.labelling.problems.add("ann", place, [1], "dead", since=1)
    return {
        "run": RUN,
        "wheel": place.wheel,
        "sector": place.sector,
        "station": place.station,
        "name": "row-cnn-1",
        "other": "chamber-scan-1",
        "ending": "csv",
        "kinds": "labels",
        "label_id": label.id,
        "problem": problem.id,
        "filename": "app.css",
        "picture": "roc",
    }


def asked(client, method, path, **how):
    # A reader of numbers that tries them all lets no other thread, nor a handler of signals, have its turn.
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    answer = client.open(path, method=method, **how)
    status, _ = answer.status_code, answer.get_data()
    answer.close()
    faulthandler.cancel_dump_traceback_later()
    return status


def filled(rule, known):
    path = rule.rule
    for name in rule.arguments:
        for spelling in (f"<{name}>", f"<path:{name}>"):
            path = path.replace(spelling, str(known.get(name, "x")))
    return path


def query_of(draw, known, odd):
    """A few fields, of which one at least is odd."""
    names = draw.sample(NAMES, draw.randint(1, 4))
    given = {
        name: draw.choice(odd) if i == 0 or draw.random() < 0.6 else known.get(name, "1")
        for i, name in enumerate(names)
    }
    return "&".join(f"{name}={value}" for name, value in given.items())


@pytest.mark.drawn
def test_no_odd_value_in_an_address_or_a_form_is_too_much_for_any_page(app, client, values, sign_in):
    failed, tried, answers = [], 0, Counter()
    for rule in app.url_map.iter_rules():
        draw = random.Random(f"odd/{rule.rule}")
        for method in sorted(rule.methods & {"GET", "POST", "DELETE"}):
            sign_in(client, "admin", "tests")
            for i in range(TRIES):
                known = dict(values)
                if rule.arguments and i % 2:
                    known[draw.choice(sorted(rule.arguments))] = draw.choice([odd for odd in ODD if odd.strip()])
                path, query = filled(rule, known), query_of(draw, values, ODD)
                how = {"data": query, "content_type": "application/x-www-form-urlencoded"}
                sent = f"{path}?{query}" if method == "GET" else path
                status = asked(client, method, sent, **({} if method == "GET" else how))
                tried += 1
                answers[status] += 1
                if status >= 500:
                    failed.append(f"{method} {path} {query}"[:300] + f" → {status}"[:300])
    assert tried > 120 * TRIES
    assert {200, 303, 400, 404} <= set(answers)  # some get through to where they are read
    assert failed == []


def test_no_odd_value_in_json_is_too_much_for_the_api(app, client, values, sign_in):
    described = client.get("/api/v1/openapi.json").json
    failed = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if not body:
                continue
            sign_in(client, "admin", "tests")
            schema = described["components"]["schemas"][body["$ref"].rpartition("/")[2]]
            address = path.replace("{", "<").replace("}", ">")
            for name in values:
                address = address.replace(f"<{name}>", str(values[name]))
            sound = _sound(schema, described, values)
            bodies = [*ODD_JSON, "", "{", "\ufeff{}", '{"a": 1, "a": 2}']
            for name in schema["properties"]:
                rest = "".join(
                    f", {json.dumps(other)}: {json.dumps(value)}" for other, value in sound.items() if other != name
                )
                bodies += [f"{{{json.dumps(name)}: {odd}{rest}}}" for odd in ODD_JSON]
            for given in bodies:
                data = given.encode("utf-8", "surrogatepass")
                status = asked(client, method.upper(), address, data=data, content_type="application/json")
                if status >= 500:
                    failed.append(f"{method} {path} {given}"[:300] + f" → {status}"[:300])
    assert failed == []


def _sound(schema, described, values):
    """A body with a value for each field that must be given."""
    usual = {"integer": 1, "string": "a-key-of-tests", "array": [], "number": 0.5, "boolean": False}
    found = {}
    for name in schema.get("required", ()):
        field = schema["properties"][name]
        if "$ref" in field:
            found[name] = _sound(
                described["components"]["schemas"][field["$ref"].rpartition("/")[2]], described, values
            )
        else:
            found[name] = values.get(name, usual.get(field.get("type"), "1"))
    return found


@pytest.mark.parametrize("path", ["/", "/fetch/", "/eval/", "/api/v1/runs", "/healthz", "/static/app.css"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://["},
        {"Origin": "http://localhost:99999999"},
        {"Sec-Fetch-Site": "\x80"},
        {"If-None-Match": '"' * 99},
        {"If-Modified-Since": "Mon, 31 Feb 9999 99:99:99 GMT"},
        {"Range": "bytes=9223372036854775808-1"},
        {"Cookie": "queue=run%3D%00%26wheel%3D9999999999999; theme=\x80; driftwatch_8080=.eJx"},
        {"Content-Type": "multipart/form-data; boundary="},
        {"Content-Type": "application/json; charset=none"},
        {"Content-Length": "-1"},
        {"X-Forwarded-For": "999.1.1.1"},
        {"Accept": "*" * 2_000},
    ],
    ids=lambda headers: "-".join(headers),
)
def test_no_odd_header_is_too_much(client, path, headers):
    for method in ("GET", "POST"):
        assert asked(client, method, path, headers=headers) < 500


def test_a_body_that_is_nested_deeply_or_cannot_be_kept_is_refused_with_what_is_accepted(client):
    for body, said in (
        (DEEP, "nested"),
        (r'{"runs": "\ud800"}', "without control characters"),
        ('{"runs": 1e999}', "inf"),
    ):
        answer = client.post("/api/v1/runs", data=body, content_type="application/json")
        assert (answer.status_code, answer.json["field"]) == (400, "the body")
        assert said in answer.json["accepted"]


def test_a_form_without_a_number_that_it_must_have_is_answered_as_any_other(client, values):
    path = f"/eval/{RUN}/{PLACES[1].wheel}/{PLACES[1].sector}/{PLACES[1].station}/label"
    given = {"key": "a-key-of-tests", "model": "row-cnn-1"}
    for seq in ({}, {"seq": "x"}, {"seq": str(2**63)}, {"seq": "1.5"}):
        assert asked(client, "POST", path, data=given | seq) == 400
    assert asked(client, "POST", "/models/train", data={"seed": "x"}) in (400, 404)


def test_a_text_that_cannot_be_shown_is_kept_by_no_page(client, driftwatch, values):
    path = f"/eval/{RUN}/{PLACES[1].wheel}/{PLACES[1].sector}/{PLACES[1].station}/label"
    seen = Seen.of(driftwatch.store.items.look(RUN, PLACES[1]))
    form = {"key": "a-key-of-tests", "seq": seen.seq, "model": seen.model, "scored_at": seen.scored_at.isoformat()}
    before = driftwatch.store.labels.of_item(RUN, PLACES[1])
    answer = client.post(path, data=form | {"comment": "dead\x00since"})
    assert answer.status_code == 400
    assert "without control characters" in answer.text
    assert driftwatch.store.labels.of_item(RUN, PLACES[1]) == before
    assert client.post(path, data=form | {"comment": "dead\r\nsince\tMay µ"}).status_code == 303


def test_an_upload_is_still_as_large_as_uploads_may_be(client):
    answer = client.post("/api/v1/import", data=b" " * (LARGEST_REQUEST + 1), content_type="application/octet-stream")
    assert answer.status_code == 400
