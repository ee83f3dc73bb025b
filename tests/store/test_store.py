import re
import threading
import time

import pytest
from mongods import mongod
from pymongo.errors import ServerSelectionTimeoutError

from app.errors import SettingsError
from app.store import Store
from app.store.connecting import SELECTION_MS, unhurried
from app.subsystems.dt import DT
from config import Settings

AWAY = "mongodb://127.0.0.1:1/x"


def test_a_uri_that_is_none_is_a_settings_error():
    with pytest.raises(SettingsError, match="MONGODB_URI cannot be used"):
        Store(Settings(mongodb_uri="mongodb://"), DT).ping()


def test_many_who_wait_for_a_database_that_is_away_wait_once_not_one_after_another():
    store = Store(Settings(mongodb_uri=AWAY), DT)

    def ask():
        with pytest.raises(ServerSelectionTimeoutError):
            store.ping()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 3 * SELECTION_MS / 1000  # 8 times in a row would be 8


def waited_for(store):
    """The seconds that pymongo itself says it has waited for a server."""
    with pytest.raises(ServerSelectionTimeoutError) as caught:
        store.ping()
    return float(re.search(r"Timeout: ([\d.]+)s", str(caught.value))[1])


def test_a_database_that_is_away_is_waited_for_as_long_as_is_said():
    assert waited_for(Store(Settings(mongodb_uri=AWAY), DT)) <= SELECTION_MS / 1000


@pytest.mark.slow
def test_one_that_goes_away_later_is_waited_for_no_longer(tmp_path):
    with mongod(tmp_path / "db") as address:
        store = Store(Settings(mongodb_uri=f"mongodb://{address}/x"), DT)
        store.ping()
    assert waited_for(store) <= SELECTION_MS / 1000
    with unhurried():
        store._connection._failed_at = -1_000  # or it would not be asked for again
        assert waited_for(store) <= SELECTION_MS / 1000
    store.close()


def test_a_database_that_was_away_is_used_once_it_is_there(mongodb):
    store = Store(Settings(mongodb_uri=AWAY), DT)
    with pytest.raises(ServerSelectionTimeoutError):
        store.ping()
    store._connection._uri, store._connection._failed_at = f"{mongodb}/test_late", -1_000
    store.ping()
    store.close()
