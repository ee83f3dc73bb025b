"""`flask users`, and whom a command acts for."""

import re

import pytest

from app.accounts import Role
from app.errors import SignInRefused

PASSWORD = "correct horse battery"


@pytest.fixture
def run_command(app, monkeypatch):
    def run(*arguments, user="root-of-this-machine", **more):
        monkeypatch.setenv("LOGNAME", user)
        return app.test_cli_runner().invoke(args=list(arguments), **more)

    return run


@pytest.fixture
def staff(driftwatch):
    driftwatch.accounts.add("boss", Role.ADMIN, "tests")
    for role in (Role.VIEWER, Role.SHIFTER, Role.EXPERT):
        driftwatch.accounts.add(f"the-{role}", role, "boss")


def test_the_first_admin_is_made_by_whoever_can_and_asks_for_the_password_twice(run_command, driftwatch):
    result = run_command("users", "add", "boss", "--role", "admin", input=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    assert result.output.endswith("boss: added, admin\n")
    assert driftwatch.accounts.sign_in("boss", PASSWORD, "192.0.2.1").created_by == "root-of-this-machine"
    refused = run_command("users", "add", "ann", "--role", "shifter", "--no-password")
    assert refused.exit_code == 1
    assert "There is no account root-of-this-machine in this database; set DRIFTWATCH_USER" in refused.output


def test_accounts_are_kept_by_commands(run_command, staff, driftwatch):
    def run(*arguments, **more):
        result = run_command("users", *arguments, user="boss", **more)
        assert result.exit_code == 0, result.output
        return result.output

    assert run("add", "ann", "--role", "shifter", "--password-stdin", input=f"{PASSWORD}\n") == "ann: added, shifter\n"
    assert run("role", "ann", "expert") == "ann: expert\n"
    assert run("disable", "ann") == "ann: disabled\n"
    listed = [line.split() for line in run("list").splitlines()]
    assert ["ann", "expert", "disabled"] in listed
    assert ["boss", "admin", "active", "no", "password"] in listed
    assert run("enable", "ann") == "ann: active\n"
    assert run("password", "ann", "--password-stdin", input="another good one\n") == "ann: password changed\n"
    with pytest.raises(SignInRefused):
        driftwatch.accounts.sign_in("ann", PASSWORD, "192.0.2.1")
    said = run("link", "ann")
    token = re.search(r"http://127\.0\.0\.1:8080/sign-in/link/(\S+)$", said.strip())[1]
    assert driftwatch.accounts.use_link(token).name == "ann"
    assert driftwatch.accounts.use_link(run("link").split("/")[-1].strip()).name == "boss"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("role", "boss", "viewer"), "boss is the last admin"),
        (("disable", "boss"), "boss is the last admin"),
        (("disable", "nobody"), "There is no account 'nobody'"),
        (("password", "nobody"), "There is no account 'nobody'"),
        (("add", "x y", "--role", "viewer", "--no-password"), "1 to 40 letters"),
        (("add", "boss", "--role", "viewer", "--no-password"), "There is already an account boss"),
    ],
)
def test_what_cannot_be_done_says_why_and_ends_with_1(run_command, staff, arguments, sentence):
    result = run_command("users", *arguments, user="boss")
    assert result.exit_code == 1
    assert sentence in result.output


def test_a_short_password_is_refused(run_command, staff):
    result = run_command("users", "password", "boss", "--password-stdin", user="boss", input="short\n")
    assert result.exit_code == 1
    assert "10 to 1,000 characters long" in result.output


COMMANDS = {  # with the least role that may run it
    ("runs",): Role.VIEWER,
    ("models", "list"): Role.VIEWER,
    ("models", "show", "no-such"): Role.VIEWER,
    ("score", "-", "--model", "no-such"): Role.VIEWER,
    ("fetch", "302634"): Role.EXPERT,
    ("train", "--architecture", "no-such"): Role.EXPERT,
    ("models", "add", "/no-such"): Role.EXPERT,
    ("models", "import", "/no-such"): Role.EXPERT,
    ("models", "activate", "no-such"): Role.EXPERT,
    ("models", "retire", "no-such"): Role.EXPERT,
    ("delete", "302634", "--yes"): Role.ADMIN,
    ("users", "list"): Role.ADMIN,
    ("users", "add", "ann", "--role", "viewer", "--no-password"): Role.ADMIN,
    ("users", "role", "nobody", "viewer"): Role.ADMIN,
    ("users", "disable", "nobody"): Role.ADMIN,
    ("users", "enable", "nobody"): Role.ADMIN,
    ("users", "password", "nobody"): Role.ADMIN,
    ("users", "link", "nobody"): Role.ADMIN,
}


@pytest.mark.parametrize(("arguments", "least"), COMMANDS.items(), ids=lambda value: str(value))
def test_a_command_asks_the_table_for_the_account_of_its_user(run_command, staff, arguments, least):
    for role in Role:
        user = "boss" if role is Role.ADMIN else f"the-{role}"
        output = run_command(*arguments, user=user, input="").output
        refused = f"This takes the role {least}; {user} has the role {role}." in output
        assert refused == (role < least), output


def test_an_unknown_user_may_look_where_anybody_may_and_change_nothing(run_command, staff, driftwatch):
    assert run_command("runs").exit_code == 0
    refused = run_command("fetch", "302634")
    assert refused.exit_code == 1
    assert "set DRIFTWATCH_USER" in refused.output
    assert driftwatch.store.runs.count() == 0


def test_what_a_command_did_has_the_name_of_its_account(run_command, staff, driftwatch):
    assert run_command("fetch", "302634", user="the-expert").exit_code == 0
    assert driftwatch.store.runs.get(302634).requested_by == "the-expert"


def test_a_disabled_account_runs_nothing(run_command, staff, driftwatch):
    driftwatch.accounts.disable("the-expert", by="boss")
    result = run_command("fetch", "302634", user="the-expert")
    assert (result.exit_code, "the-expert is disabled" in result.output) == (1, True)
