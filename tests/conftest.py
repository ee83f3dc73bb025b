"""What the tests share: a real MongoDB, a real DQM server on loopback, a real browser."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
import waitress
from argon2 import PasswordHasher
from certificates import certificates
from firefox import Firefox
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pymongo import MongoClient
from ram_disk import database_folder, remove_left_over
from shared_by_apps import SharedRule, SharedTemplates
from waiting import wait_until
from waitress import wasyncore
from werkzeug.test import TestResponse

from app import create_app
from app.accounts import Role
from app.driftwatch import Driftwatch
from app.ml import backend
from app.store.embedded import EmbeddedMongo
from app.subsystems import Subsystem
from app.subsystems.dt.sources.demo import DemoServer
from config import ROOT, Settings

LOADED_RUNS = (302634, 302635)
BEGUN_FIRST = (
    "tests/test_serving.py",
    "tests/browser/test_label_in_browser.py",
    "tests/store/test_a_database_of_38d885f.py",
    "tests/jobs",
    "tests/browser",
    "tests/ml",
    "tests/test_registry.py",
    "tests/web",
)


collect_ignore = ["store/fill_by_38d885f.py"]  # a program for the code of that commit

SERVERS = {"mongodb", "demo", "browser", "_firefox"}  # fixtures: whatever uses one is slow
SLOW = (  # what only a test that is marked slow may call
    (backend, "_import"),  # TensorFlow
    (DemoServer, "__enter__"),
    (EmbeddedMongo, "join"),
)


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: one worker more than processors, for much of the time a test waits for a page or a program."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before `-m` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what uses a server, and begin with the files that take longest: no worker shall end long after."""
    for item in items:
        if not SERVERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")

    def place(item: pytest.Item) -> int:
        return next((i for i, path in enumerate(BEGUN_FIRST) if item.nodeid.startswith(path)), len(BEGUN_FIRST))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Spend little time on looking for garbage: what is imported and collected stays, and there is memory enough."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 100)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Whoever makes an unmarked test slow is told so, or `make check` would not stay quick."""
    if item.get_closest_marker("slow"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in SLOW:
            patch.setattr(owner, name, _refused_to_a_test(getattr(owner, name)))
        return (yield)


def _refused_to_a_test(function: Callable[..., object]) -> Callable[..., object]:
    @wraps(function)
    def call(*arguments: object, **more: object) -> object:
        if threading.current_thread() is threading.main_thread():  # not what another test left at work
            pytest.fail(f"{function.__qualname__} takes long: mark the test, or its module (`pytestmark`), as slow.")
        return function(*arguments, **more)

    return call


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data for developers, which is not part of the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the developers' real data are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of a MongoDB server, without a database's name."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":
        remove_left_over()
    with database_folder(tmp_path_factory.getbasetemp(), workers) as folder:
        server = EmbeddedMongo(folder)
        yield server.join().removesuffix("/driftwatch")
        server.leave()


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates and keys: see `certificates`."""
    return certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture(scope="session")
def demo() -> Iterator[DemoServer]:
    """A demonstration DQM server without faults."""
    with DemoServer() as server:
        yield server


class _Client(FlaskClient):
    """Reads each answer to its end, as browsers do: one that is dropped half read fails whichever test comes later."""

    def open(self, *args: Any, buffered: bool = True, **more: Any) -> TestResponse:
        return super().open(*args, buffered=buffered, **more)


class _Apps:
    """Makes applications, each on an empty database if none is named.

    A database is used again when its application was put away, for to empty it is much quicker than to make its
    indexes anew; but not one that was served, for a page that is being left may still ask for something, nor one whose
    reads were written down.
    """

    def __init__(self, server: str, client: MongoClient, folders: pytest.TempPathFactory, served: dict) -> None:
        self._server, self._client, self._folders, self._served = server, client, folders, served
        self._lent: dict[Flask, str] = {}  # the database of each; "" for one that was named
        self._free: list[str] = []

    def __call__(self, subsystems: Sequence[Subsystem] = (), **settings: object) -> Flask:
        name = ""
        if "mongodb_uri" not in settings:
            name = self._free.pop() if self._free else f"test_{uuid.uuid4().hex}"
            settings["mongodb_uri"] = f"{self._server}/{name}"
        app = create_app(Settings(**{"data_dir": self._folders.mktemp("app"), **settings}), subsystems)
        app.testing = True
        app.test_client_class = _Client
        self._lent[app] = name
        return app

    def put_away(self, apps: Collection[Flask]) -> None:
        for app in apps:
            app.extensions["driftwatch"].close()
        was_served = {app.extensions["driftwatch"].settings.mongodb_uri for app in self._served.values()}
        for name in filter(None, [self._lent.pop(app) for app in apps]):
            collections = self._client[name].list_collection_names()
            if f"{self._server}/{name}" in was_served or "system.profile" in collections:
                self._client.drop_database(name)
            else:
                for collection in collections:
                    self._client[name][collection].delete_many({})
                self._free.append(name)

    def close_all(self) -> None:
        for app in self._lent:
            app.extensions["driftwatch"].close()


@pytest.fixture(scope="session")
def _made_apps(mongodb: str, tmp_path_factory: pytest.TempPathFactory, _served: dict[str, Flask]) -> Iterator[_Apps]:
    with MongoClient(mongodb) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "url_rule_class", SharedRule)
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": SharedTemplates()})
        quick = partial(PasswordHasher, time_cost=1, memory_cost=1_024)  # a password of a test is worth no more
        patch.setattr("app.accounts.passwords.PasswordHasher", quick)
        apps = _Apps(mongodb, client, tmp_path_factory, _served)
        yield apps
        apps.close_all()


@pytest.fixture
def make_app(_made_apps: _Apps) -> Iterator[Callable[..., Flask]]:
    """Makes an application on an empty database of its own, put away after the test: `make_app(dqm_url=demo.url)`."""
    made: list[Flask] = []

    def make(subsystems: Sequence[Subsystem] = (), **settings: object) -> Flask:
        made.append(_made_apps(subsystems, **settings))
        return made[-1]

    yield make
    _made_apps.put_away(made)


@pytest.fixture
def app(make_app: Callable[..., Flask], demo: DemoServer) -> Flask:
    """An application on an empty database."""
    return make_app(dqm_url=demo.url)


@pytest.fixture(scope="session")
def sign_in(_served: dict[str, Flask]) -> Callable[..., str]:
    """Signs somebody in: `sign_in(client, "shifter")` a client, `sign_in(page, "shifter", at=url)` a browser's context,
    or Firefox.

    The account is made where there is none, named like its role if no other name is given. Gives the name.
    """

    def sign_in_there(
        who: FlaskClient | BrowserContext | Page | Firefox, role: str, name: str | None = None, at: str | None = None
    ) -> str:
        name = name or str(role)
        if isinstance(who, FlaskClient):
            _begin_session(who, name, Role(role))
            return name
        client = _served[at].test_client()
        _begin_session(client, name, Role(role))
        app = client.application
        cookie = client.get_cookie(app.session_interface.get_cookie_name(app))
        if isinstance(who, Firefox):
            who.add_cookie(cookie.key, cookie.value, at)
            return name
        context = who.context if isinstance(who, Page) else who
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": at}])
        return name

    return sign_in_there


def _begin_session(client: FlaskClient, name: str, role: Role) -> None:
    driftwatch: Driftwatch = client.application.extensions["driftwatch"]
    accounts, users = driftwatch.accounts, driftwatch.store.users
    if users.find(name) is None:
        users.add(name, role, None, "tests", "tests")
    elif users.get(name).role is not role:
        accounts.set_role(name, role, by="tests")
    answer = client.post(f"/sign-in/link/{accounts.new_link(name, by='tests')}")
    assert answer.status_code == 303


@pytest.fixture
def client(app: Flask, sign_in: Callable[..., str]) -> FlaskClient:
    """A client that may do everything: signed in as the admin called tests."""
    client = app.test_client()
    sign_in(client, Role.ADMIN, "tests")
    return client


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    """A client that is not signed in."""
    return app.test_client()


@pytest.fixture
def driftwatch(app: Flask) -> Driftwatch:
    return app.extensions["driftwatch"]


@pytest.fixture(scope="session")
def loaded(_made_apps: _Apps, demo: DemoServer) -> Flask:
    """An application with two runs fetched and scored. Shared by all tests: look, do not change."""
    app = _made_apps(dqm_url=demo.url)
    driftwatch = app.extensions["driftwatch"]
    driftwatch.start()
    for number in LOADED_RUNS:
        driftwatch.ask_for_run(number, by="tests")
    wait_until(lambda: not driftwatch.store.runs.busy())
    return app


@pytest.fixture(scope="session")
def _served() -> dict[str, Flask]:
    """Address → what is served there."""
    return {}


@pytest.fixture(scope="session")
def serve(_served: dict[str, Flask]) -> Iterator[Callable[[Flask], str]]:
    """Serves an application on loopback: `serve(app)` is its address, without a slash at the end.

    Until all tests are over: a page that is still loading something must not miss its server.
    """
    servers = []

    def serve_app(app: Flask) -> str:
        server = waitress.create_server(app, host="127.0.0.1", port=0, threads=8)
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        url = f"http://127.0.0.1:{server.effective_port}"
        _served[url] = app
        return url

    yield serve_app
    for server, thread in servers:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(
            lambda server=server: wasyncore.close_all(server._map)
        )  # in the thread that uses it
        thread.join()


@pytest.fixture(scope="session")
def live_server(loaded: Flask, serve: Callable[[Flask], str]) -> str:
    """Address of the application with two runs."""
    return serve(loaded)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    expect.set_options(timeout=30_000)  # ms until a test gives up; never a measure of speed
    with sync_playwright() as playwright:
        arguments = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        if os.getuid() == 0:
            arguments.append("--no-sandbox")
        # The same engine without windows takes half the time for a page.
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def _firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    firefox = Firefox(tmp_path_factory.mktemp("firefox"))
    yield firefox
    firefox.close()


@pytest.fixture
def firefox(_firefox: Firefox, make_app: Callable[..., Flask]) -> Iterator[Firefox]:
    """Debian's Firefox, which restores forms as Chromium does not: with one empty tab and no cookies.

    It asks for `make_app` for the same reason as `page`.
    """
    yield _firefox
    _firefox.forget()


@pytest.fixture
def page(browser: Browser, make_app: Callable[..., Flask]) -> Iterator[Page]:
    """A page that fails its test when a script of ours fails or the page breaks its own security policy.

    It asks for `make_app` to be closed before the applications are: it may still be loading something from one.
    """
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.errors = wrong
    yield page
    context.close()
    assert wrong == []
