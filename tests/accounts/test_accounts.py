"""Accounts as the store has them: passwords, links, the last admin, whom a command acts for."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from app.accounts import ACTIONS, LOCAL_ADMIN, PER_ADDRESS, PER_NAME, Account, Role
from app.errors import Conflict, Forbidden, InvalidInput, NotFound, SignInNeeded, SignInRefused, TooManyAttempts

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(driftwatch):
    driftwatch.accounts.add("boss", Role.ADMIN, "tests")
    return driftwatch.accounts


@pytest.fixture
def ann(accounts):
    return accounts.add("ann", Role.SHIFTER, "boss", PASSWORD)


def database(driftwatch):
    return driftwatch.store._database


def test_each_role_may_do_all_that_the_one_before_it_may_and_more():
    may = [{action for action in ACTIONS if Account("x", role).may(action)} for role in Role]
    for less, more in pairwise(may):
        assert less < more
    assert may[-1] == set(ACTIONS)
    assert sorted(["admin", "viewer", "expert", "shifter"], key=Role) == list(Role)


def test_a_refusal_names_the_role_that_it_takes():
    with pytest.raises(Forbidden, match="takes the role admin; ann has the role expert"):
        Account("ann", Role.EXPERT).check("delete_run")
    with pytest.raises(SignInNeeded, match="Sign in first"):
        Account("anonymous", Role.VIEWER, signed_in=False).check("label")
    with pytest.raises(Forbidden, match="disabled"):
        Account("ann", Role.ADMIN, disabled=True).check("view")


@pytest.mark.parametrize("name", ["", "-a", "a b", "ä", "a" * 41, "a/b", "anonymous", "@active", "a\nb"])
def test_a_name_that_cannot_be_used_is_refused(accounts, name):
    with pytest.raises(InvalidInput):
        accounts.add(name, Role.VIEWER, "boss")


def test_names_are_lower_case_and_each_is_there_once(accounts, ann):
    with pytest.raises(Conflict, match="already an account ann"):
        accounts.add("ANN", Role.VIEWER, "boss")
    assert accounts.sign_in(" Ann ", PASSWORD, "192.0.2.1").name == "ann"


def test_a_password_opens_its_account_only_and_is_kept_as_an_argon2_hash(accounts, ann, driftwatch):
    assert accounts.sign_in("ann", PASSWORD, "192.0.2.1") == ann
    for name, password in (("ann", PASSWORD + " "), ("ann", ""), ("boss", ""), ("boss", PASSWORD), ("bob", PASSWORD)):
        with pytest.raises(SignInRefused, match="no account of this name with this password"):
            accounts.sign_in(name, password, "192.0.2.1")
    (kept,) = database(driftwatch)["users"].find({"_id": "ann"})
    assert kept["password"].startswith("$argon2id$")
    assert PASSWORD not in str(kept)


@pytest.mark.parametrize("password", ["", "short one", "x" * 1001])
def test_a_password_that_is_too_short_or_too_long_is_refused_and_not_shown(accounts, password):
    with pytest.raises(InvalidInput, match="10 to 1,000 characters") as refused:
        accounts.add("bob", Role.VIEWER, "boss", password)
    assert not password or password not in str(refused.value)
    with pytest.raises(NotFound):
        accounts.get("bob")


def test_the_same_letters_composed_in_another_way_are_the_same_password(accounts):
    accounts.add("bob", Role.VIEWER, "boss", "Kühlschränke")
    assert accounts.sign_in("bob", "Ku\u0308hlschra\u0308nke", "192.0.2.1").name == "bob"


def test_a_hash_of_weaker_parameters_is_made_anew_when_its_password_is_known(accounts, ann, driftwatch):
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8_192).hash(PASSWORD)
    database(driftwatch)["users"].update_one({"_id": "ann"}, {"$set": {"password": weak}})
    assert accounts.sign_in("ann", PASSWORD, "192.0.2.1").stamp == ann.stamp
    assert driftwatch.store.users.password("ann") != weak
    assert accounts.sign_in("ann", PASSWORD, "192.0.2.1")


def test_a_disabled_account_cannot_sign_in_until_it_is_enabled(accounts, ann):
    accounts.disable("ann", by="boss")
    with pytest.raises(SignInRefused):
        accounts.sign_in("ann", PASSWORD, "192.0.2.1")
    assert accounts.enable("ann", by="boss").may("label")
    assert accounts.sign_in("ann", PASSWORD, "192.0.2.1").name == "ann"


def test_what_ends_a_session(accounts, ann):
    assert accounts.of_session("ann", ann.stamp) == ann
    assert accounts.of_session("ann", "") is None
    assert accounts.of_session("boss", ann.stamp) is None
    accounts.set_role("ann", Role.VIEWER, by="boss")
    assert accounts.of_session("ann", ann.stamp).role is Role.VIEWER
    changed = accounts.set_password("ann", PASSWORD + "2", by="boss")
    assert accounts.of_session("ann", ann.stamp) is None
    assert accounts.of_session("ann", changed.stamp)
    accounts.disable("ann", by="boss")
    accounts.enable("ann", by="boss")
    assert accounts.of_session("ann", changed.stamp) is None  # being let in again does not revive it


# --- throttling ---


def refused(accounts, name, address):
    with pytest.raises(SignInRefused):
        accounts.sign_in(name, "a wrong password", address)


def test_a_name_can_be_tried_a_few_times_only_from_wherever_and_the_right_password_does_not_help(accounts, ann):
    for n in range(PER_NAME.amount):
        refused(accounts, "ann", f"192.0.2.{n}")
    for password in (PASSWORD, "a wrong password"):
        with pytest.raises(TooManyAttempts) as told:
            accounts.sign_in("ann", password, "192.0.2.200")
        assert 0 < told.value.seconds <= PER_NAME.get_expiry()
    refused(accounts, "boss", "192.0.2.200")  # others are not shut out by that


def test_signing_in_forgets_the_failures_before_it(accounts, ann):
    for _ in range(2):
        for _ in range(PER_NAME.amount - 1):
            refused(accounts, "ann", "192.0.2.1")
        accounts.sign_in("ann", PASSWORD, "192.0.2.1")


def test_an_address_can_try_a_few_names_only_and_another_process_knows_it(accounts, ann, driftwatch, make_app):
    attempts = driftwatch.store.attempts
    for _ in range(PER_ADDRESS.amount - 1):
        assert attempts.count(PER_ADDRESS, "2001:db8::/64")
    refused(accounts, "bob", "2001:db8::1")
    other = make_app(mongodb_uri=driftwatch.settings.mongodb_uri).extensions["driftwatch"].accounts
    with pytest.raises(TooManyAttempts):
        other.sign_in("ann", PASSWORD, "2001:db8::2")  # the same subscriber
    assert other.sign_in("ann", PASSWORD, "2001:db8:0:1::1")


def test_many_who_try_at_once_get_no_more_tries_than_one_after_another(accounts, ann):
    outcomes = []

    def attempt(n):
        try:
            accounts.sign_in("ann", "a wrong password", f"192.0.2.{n}")
        except (SignInRefused, TooManyAttempts) as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(PER_NAME.amount + 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(SignInRefused) == PER_NAME.amount
    assert outcomes.count(TooManyAttempts) == 6


# --- links ---


def test_a_link_signs_in_once_and_is_not_kept_as_it_is(accounts, ann, driftwatch):
    token = accounts.new_link("ann", by="boss")
    assert token not in str(list(database(driftwatch)["sign_in_links"].find()))
    assert accounts.link_owner(token) == accounts.link_owner(token) == ann  # looking does not use it up
    assert accounts.use_link(token) == ann
    for use in (accounts.use_link, accounts.link_owner):
        with pytest.raises(SignInRefused, match="used already, is too old, or never was one"):
            use(token)


def test_of_many_who_use_a_link_at_once_one_gets_in(accounts, ann):
    token, got = accounts.new_link("ann", by="boss"), []

    def use():
        try:
            got.append(accounts.use_link(token).name)
        except SignInRefused:
            got.append(None)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=str) == [None] * 7 + ["ann"]


def test_a_link_ends_with_its_time_with_the_password_and_with_the_account(accounts, ann, driftwatch):
    old = accounts.new_link("ann", by="boss")
    past = datetime.now(UTC) - timedelta(seconds=1)
    database(driftwatch)["sign_in_links"].update_many({}, {"$set": {"expires_at": past}})
    before_password = accounts.new_link("ann", by="boss")
    accounts.set_password("ann", PASSWORD + "2", by="boss")
    before_disabling = accounts.new_link("ann", by="boss")
    accounts.disable("ann", by="boss")
    with pytest.raises(Conflict, match="disabled"):
        accounts.new_link("ann", by="boss")
    accounts.enable("ann", by="boss")
    for token in (old, before_password, before_disabling):
        with pytest.raises(SignInRefused):
            accounts.use_link(token)


# --- the last admin ---


def test_the_first_account_must_be_an_admin(driftwatch):
    with pytest.raises(Conflict, match="first account must be an admin"):
        driftwatch.accounts.add("ann", Role.EXPERT, "tests")


def test_the_last_admin_can_be_neither_lowered_nor_disabled(accounts, ann):
    for change in (lambda: accounts.set_role("boss", Role.EXPERT, "boss"), lambda: accounts.disable("boss", "boss")):
        with pytest.raises(Conflict, match="boss is the last admin"):
            change()
    assert accounts.get("boss").may("users")
    assert accounts.set_role("boss", Role.ADMIN, "boss").role is Role.ADMIN
    accounts.set_role("ann", Role.ADMIN, "boss")
    accounts.disable("boss", "ann")
    with pytest.raises(Conflict, match="ann is the last admin"):
        accounts.set_role("ann", Role.EXPERT, "ann")


def test_admins_who_lower_each_other_at_once_leave_one(accounts, driftwatch):
    for _ in range(5):
        accounts.set_role("boss", Role.ADMIN, "tests")
        if driftwatch.store.users.find("other") is None:
            accounts.add("other", Role.ADMIN, "boss")
        accounts.set_role("other", Role.ADMIN, "tests")
        barrier = threading.Barrier(2)

        def lower(name, barrier=barrier):
            barrier.wait()
            try:
                accounts.set_role(name, Role.VIEWER, "tests")
            except Conflict:
                return

        threads = [threading.Thread(target=lower, args=(name,)) for name in ("boss", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert driftwatch.store.users.admins()


def test_changes_are_recorded_with_who_and_what_was_before_and_without_secrets(accounts, ann, driftwatch):
    accounts.set_role("ann", Role.EXPERT, by="boss")
    accounts.set_password("ann", PASSWORD + "2", by="ann")
    accounts.disable("ann", by="boss")
    accounts.enable("ann", by="boss")
    token = accounts.new_link("ann", by="boss")
    events = list(database(driftwatch)["events"].find({"account": "ann"}))
    assert [(event["what"], event["by"]) for event in events] == [
        ("account added", "boss"),
        ("account role changed", "boss"),
        ("account password changed", "ann"),
        ("account disabled", "boss"),
        ("account enabled", "boss"),
        ("sign-in link made", "boss"),
    ]
    assert (events[1]["previous"], events[1]["role"]) == ("shifter", "expert")
    assert token not in str(events)
    assert "argon2" not in str(events)


# --- at a command line ---


def test_whom_a_command_acts_for_in_a_database_of_others(accounts, ann, driftwatch, make_app):
    assert accounts.at_console("ann") == ann
    assert accounts.at_console("Ann") == ann
    assert accounts.at_console("somebody") == accounts.anonymous
    uri = driftwatch.settings.mongodb_uri
    named = make_app(mongodb_uri=uri, driftwatch_user="ann").extensions["driftwatch"].accounts
    assert named.at_console("boss") == ann
    unknown = make_app(mongodb_uri=uri, driftwatch_user="nobody-here").extensions["driftwatch"].accounts
    with pytest.raises(SignInNeeded, match="DRIFTWATCH_USER is 'nobody-here'"):
        unknown.at_console("boss")


def test_where_there_is_no_admin_yet_a_command_acts_for_one(driftwatch):
    assert driftwatch.accounts.at_console("somebody") == Account("somebody", Role.ADMIN)


def test_the_local_link_is_for_the_admin_of_a_new_database_and_later_for_ones_own_account_only(driftwatch, accounts):
    assert accounts.local_link("somebody") is None
    assert accounts.local_link("boss")[0] == "boss"
    accounts.add("ann", Role.SHIFTER, "boss")
    _, token = accounts.local_link("ann")
    assert accounts.use_link(token).role is Role.SHIFTER
    accounts.disable("ann", by="boss")
    assert accounts.local_link("ann") is None


def test_in_an_embedded_database_whoever_can_read_its_folder_owns_it(make_app):
    app = make_app(mongodb_uri=None)
    accounts = app.extensions["driftwatch"].accounts
    assert accounts.at_console("somebody").role is Role.ADMIN
    name, token = accounts.local_link("somebody")
    assert (name, accounts.use_link(token).role) == (LOCAL_ADMIN, Role.ADMIN)
    assert accounts.local_link("somebody")[0] == LOCAL_ADMIN
    accounts.add("boss", Role.ADMIN, "tests")
    accounts.set_role(LOCAL_ADMIN, Role.VIEWER, by="boss")
    assert accounts.local_link("somebody")[0] == "boss"
    assert accounts.at_console("somebody").role is Role.ADMIN


def test_links_and_attempts_are_cleared_away_by_the_database_itself(accounts, driftwatch):
    driftwatch.store.ping()
    for collection in ("sign_in_links", "sign_in_attempts"):
        indexes = database(driftwatch)[collection].index_information().values()
        assert any(index.get("expireAfterSeconds") == 0 for index in indexes), collection
