"""What people are told when MongoDB does not let them in: at start, in a request, by a command."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from mongods import mongod
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError, WriteError
from waiting import wait_until

from app.errors import DriftwatchError, SettingsError
from app.store import Store
from app.store.connecting import unavailable
from app.subsystems.dt import DT
from config import ROOT, Settings

pytestmark = pytest.mark.slow

PASSWORD = "pass-of-somebody"
WRONG = "wrong-of-somebody"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[str]:
    """A server with accounts: `admin`, and `reader`, who may only read."""
    with mongod(tmp_path_factory.mktemp("guarded") / "db", "--auth") as address:
        with MongoClient(f"mongodb://{address}/") as client:
            client.admin.command("createUser", "admin", pwd=PASSWORD, roles=["root"])
        with MongoClient(f"mongodb://admin:{PASSWORD}@{address}/") as client:
            client.admin.command("createUser", "reader", pwd=PASSWORD, roles=["readAnyDatabase"])
            client.admin.command("createUser", "writer", pwd=PASSWORD, roles=["readWriteAnyDatabase"])
        yield address


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory, pem) -> Iterator[str]:
    """A server that wants TLS and a client certificate."""
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", pem / "server.pem")
    let_in = f"tls=true&tlsCAFile={pem / 'authority.pem'}&tlsCertificateKeyFile={pem / 'client.pem'}"
    folder = tmp_path_factory.mktemp("tls") / "db"
    with mongod(folder, *options, "--tlsCAFile", pem / "authority.pem", uri_options=let_in) as address:
        yield address


@pytest.fixture(scope="module")
def replicated(tmp_path_factory) -> Iterator[str]:
    """The only member of the replica set `right`, which is not initiated yet."""
    with mongod(tmp_path_factory.mktemp("replicated") / "db", "--replSet", "right") as address:
        yield address


def told(uri: str) -> str:
    """What a person reads, wherever the error comes up."""
    store = Store(Settings(mongodb_uri=uri), DT)
    try:
        with pytest.raises((PyMongoError, DriftwatchError)) as caught:
            store.ping()
        error = caught.value
        sentence = str(error if isinstance(error, DriftwatchError) else unavailable(error))
    finally:
        store.close()
    assert PASSWORD not in sentence
    assert WRONG not in sentence
    return sentence


def a_database() -> str:
    return f"test_{uuid.uuid4().hex}"


@pytest.mark.parametrize(
    ("who", "options", "sentence"),
    [
        (
            f"admin:{WRONG}@",
            "authSource=admin",
            "refuses the name or the password in MONGODB_URI; correct them, or auth",
        ),
        (f"nobody:{WRONG}@", "authSource=admin", "refuses the name or the password in MONGODB_URI"),
        (f"admin:{PASSWORD}@", "", "refuses the name or the password in MONGODB_URI; correct them, or authSource"),
        ("", "", "requires a name and a password; MONGODB_URI has none"),
        (f"reader:{PASSWORD}@", "authSource=admin", "; give it the role readWrite there"),
        (f"reader:{PASSWORD}@", "authSource=admin&authMechanism=MONGODB-X509", "MONGODB_URI cannot be used: "),
        ("", "tls=true", "does not speak TLS, or ends its handshake; correct tls"),
        ("", "replicaSet=nope", "No server in MONGODB_URI belongs to the replica set nope"),
    ],
)
def test_a_server_with_accounts_says_what_to_correct(guarded, who, options, sentence):
    database = a_database()
    seen = told(f"mongodb://{who}{guarded}/{database}?{options}")
    assert sentence in seen
    assert "try again" not in seen
    if who.startswith("reader") and "give it" in seen:
        assert f"may not do what Driftwatch does in the database {database};" in seen


def test_who_may_read_and_write_is_let_in(guarded):
    store = Store(Settings(mongodb_uri=f"mongodb://writer:{PASSWORD}@{guarded}/{a_database()}?authSource=admin"), DT)
    store.ping()
    store.close()


def test_a_server_with_tls_says_what_to_correct(with_tls, pem):
    authority, client = f"tlsCAFile={pem / 'authority.pem'}", f"tlsCertificateKeyFile={pem / 'client.pem'}"
    for options, sentence in (
        ("", "requires TLS (tls=true in MONGODB_URI) or a client certificate (tlsCertificateKeyFile)"),
        ("tls=true", "certificate cannot be verified (self-signed certificate in certificate chain); set tlsCAFile"),
        (f"tls=true&tlsCAFile={pem / 'stranger.pem'}&{client}", "certificate cannot be verified (self-signed"),
        (f"tls=true&{authority}", "or a client certificate (tlsCertificateKeyFile)"),
    ):
        assert sentence in told(f"mongodb://{with_tls}/x?{options}")
    elsewhere = with_tls.replace("127.0.0.1", "localhost")
    assert "certificate is that of another host" in told(f"mongodb://{elsewhere}/x?tls=true&{authority}&{client}")
    store = Store(Settings(mongodb_uri=f"mongodb://{with_tls}/{a_database()}?tls=true&{authority}&{client}"), DT)
    store.ping()
    store.close()


@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile"])
@pytest.mark.parametrize("value", ["/nowhere/file.pem", "/", "rubbish"])
def test_a_file_of_the_uri_that_cannot_be_used_is_named(tmp_path, option, value):
    if value == "rubbish":
        value = tmp_path / "rubbish.pem"
        value.write_text("no certificate")
    seen = told(f"mongodb://somebody:{PASSWORD}@127.0.0.1:1/x?tls=true&{option}={value}")
    assert seen.startswith("MONGODB_URI cannot be used: ")
    assert "_ssl" not in seen
    assert str(value) in seen or "certificate or crl" in seen


def test_a_key_with_a_passphrase_is_not_asked_for_on_the_terminal(pem):
    seen = told(f"mongodb://127.0.0.1:1/x?tls=true&tlsCertificateKeyFile={pem / 'locked.pem'}")
    assert f"is {pem / 'locked.pem'}, but must be a PEM file with a certificate and its key" in seen


def test_a_replica_set_says_what_to_correct(replicated):
    assert "replica set has not been initiated" in told(f"mongodb://{replicated}/x")
    assert "is not the primary of its replica set" in told(f"mongodb://{replicated}/x?directConnection=true")
    with MongoClient(f"mongodb://{replicated}/?directConnection=true") as client:
        members = [{"_id": 0, "host": replicated}]
        client.admin.command("replSetInitiate", {"_id": "right", "members": members})
        wait_until(lambda: client.admin.command("hello")["isWritablePrimary"])
    assert "belongs to the replica set wrong; correct" in told(f"mongodb://{replicated}/x?replicaSet=wrong")
    seen = told(f"mongodb://{replicated}/x?replicaSet=wrong&directConnection=true")
    assert "belongs to the replica set right, not to wrong; correct replicaSet in MONGODB_URI" in seen
    store = Store(Settings(mongodb_uri=f"mongodb://{replicated}/{a_database()}?replicaSet=right"), DT)
    store.ping()
    store.close()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (f"mongodb://u:12/{WRONG} x@127.0.0.1/x", "MONGODB_URI cannot be used: "),
        (f"mongodb://u:{WRONG}@x@127.0.0.1/x", "must be escaped according to RFC 3986"),
        (f"mongodb://u:{WRONG}%zz@127.0.0.1/x", "MONGODB_URI cannot be used: "),
        (f"mongodb://u:{WRONG}@127.0.0.1:99999/x", "Port must be an integer between 0 and 65535"),
        (f"mongodb+srv://u:{WRONG}@127.0.0.1/x", "MONGODB_URI cannot be used: "),
        (f"mongodb://u:{WRONG}@127.0.0.1/x?authMechanism={WRONG}", "MONGODB_URI cannot be used: "),
        (f"mongodb://u:{WRONG}@127.0.0.1/x?tls=maybe", "MONGODB_URI cannot be used: The value of tls must be"),
        (f"mongodb://u:{WRONG}@127.0.0.1/x?replicSet=x", "MONGODB_URI cannot be used: Unknown option: replicset"),
        (f"mongodb://u:{WRONG}@127.0.0.1:1/x", "The database does not answer (ServerSelectionTimeoutError)"),
        (f"mongodb://u:{WRONG}@nowhere.invalid/x", "There is no host nowhere.invalid; correct MONGODB_URI"),
    ],
)
def test_no_mistake_in_the_uri_shows_its_password(uri, sentence):
    assert sentence in told(uri)


@pytest.mark.parametrize("name", ["MONGODB_URI", "DQM_URL"])
@pytest.mark.parametrize("value", [f"mongo://u:{WRONG}@db/x", f"u:{WRONG}@db", f"htp//u:{WRONG}@h@db"])
def test_a_setting_that_is_refused_does_not_show_its_password(name, value):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({name: value})
    assert WRONG not in str(caught.value)
    assert f"{name} is '" in str(caught.value)


def test_what_the_database_cannot_do_is_not_called_away():
    full = "write to collection 'x.y' failed: No space left on device"
    for error, sentence in (
        (OperationFailure("x", 14031, {"errmsg": "x", "code": 14031}), "The database's disk is full"),
        (WriteError("x", 28, {"errmsg": full, "code": 28}), "The database's disk is full"),
        (
            OperationFailure("x", 2, {"errmsg": "x", "codeName": "BadValue"}),
            "failed to carry out an operation (BadValue)",
        ),
        (AutoReconnect("x"), "does not answer (AutoReconnect)"),
        (OperationFailure("x", 50, {"errmsg": "x"}), "does not answer (OperationFailure)"),
    ):
        assert sentence in str(unavailable(error))


# ---- wherever it comes up


def test_a_request_is_answered_with_what_to_correct(guarded, make_app):
    for uri, sentence in (
        (f"mongodb://admin:{WRONG}@{guarded}/x?authSource=admin", "refuses the name or the password"),
        ("mongodb://127.0.0.1:1/x?tls=true&tlsCAFile=/nowhere/ca.pem", "its tlscafile is /nowhere/ca.pem"),
    ):
        client = make_app(mongodb_uri=uri).test_client()
        for path in ("/", "/fetch/", "/api/v1/runs"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert sentence in answer.text
            assert WRONG not in answer.text
        assert client.get("/healthz").status_code == 503


def test_rights_that_are_taken_away_meanwhile_are_told_of_by_the_next_request(guarded, make_app):
    database = a_database()
    with MongoClient(f"mongodb://admin:{PASSWORD}@{guarded}/") as admin:
        admin.admin.command("createUser", database, pwd=PASSWORD, roles=["readWriteAnyDatabase"])
        uri = f"mongodb://{database}:{PASSWORD}@{guarded}/{database}?authSource=admin"
        client = make_app(mongodb_uri=uri).test_client()
        assert client.get("/fetch/").status_code == 200
        admin.admin.command("revokeRolesFromUser", database, roles=["readWriteAnyDatabase"])
        answer = client.get("/fetch/")
        assert answer.status_code == 503
        assert f"may not do what Driftwatch does in the database {database};" in answer.text
        admin.admin.command("grantRolesToUser", database, roles=["readWriteAnyDatabase"])


@pytest.mark.parametrize("command", ["serve", "runs"])
def test_a_command_ends_with_what_to_correct(guarded, tmp_path, command):
    environment = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    uri = f"mongodb://admin:{WRONG}@{guarded}/x?authSource=admin"
    ended = subprocess.run(
        [Path(sys.executable).with_name("flask"), command],
        cwd=ROOT,
        env=environment | {"MONGODB_URI": uri, "DATA_DIR": str(tmp_path), "PORT": "0"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert "refuses the name or the password in MONGODB_URI; correct them" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert WRONG not in ended.stderr + ended.stdout
