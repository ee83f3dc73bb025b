"""Accounts: permissions, signing in, and the account that a command acts for."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from limits import RateLimitItemPerMinute

from app.accounts.passwords import Passwords
from app.domain.roles import ACTIONS, ANONYMOUS, Account, Role
from app.errors import Conflict, InvalidInput, SignInNeeded, SignInRefused, TooManyAttempts

if TYPE_CHECKING:
    from app.store import Store
    from config import Settings

__all__ = ["ACTIONS", "ANONYMOUS", "Account", "Accounts", "Role", "account_name"]

LINK_HOURS = 24
PER_NAME = RateLimitItemPerMinute(10, 15, namespace="name")  # per 15 minutes
PER_ADDRESS = RateLimitItemPerMinute(60, 15, namespace="address")  # a whole control room may share one address
IPV6_SUBSCRIBER = 64  # prefix length assigned to one subscriber
LOCAL_ADMIN = "admin"
TAKEN = frozenset({ANONYMOUS, "demonstration", "poll"})  # `by` fields use these for automatic actions

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def account_name(text: str) -> str:
    """Normalize an account name.

    Raises:
        InvalidInput: the name is not allowed.

    >>> account_name(" Ann ")
    'ann'
    """
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise InvalidInput("name", text, "1 to 40 letters a to z, digits, dots, dashes or underscores")
    if name in TAKEN:
        raise InvalidInput("name", text, "another: this one has a meaning of its own")
    return name


class Accounts:
    """The use cases of accounts."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._passwords = Passwords()

    @property
    def anonymous(self) -> Account:
        """The account of whoever is not signed in."""
        role = Role.VIEWER if self._settings.anonymous == "viewer" else None
        return Account(ANONYMOUS, role, signed_in=False)

    def all(self) -> list[Account]:
        """All accounts, by name."""
        return self._store.users.all()

    def get(self, name: str) -> Account:
        """Return one account.

        Raises:
            NotFound: there is none of this name.
        """
        return self._store.users.get(name)

    # --- changes ---

    def add(self, name: str, role: Role, by: str, password: str | None = None) -> Account:
        """Create an account; without a password, one can only sign in by a link.

        Raises:
            InvalidInput: the name or the password is not allowed.
            Conflict: the name is taken, or this would be the first account and is not an admin.
        """
        name = account_name(name)
        if role is not Role.ADMIN and not self._store.users.admins():
            raise Conflict("The first account must be an admin, for nobody could make others.")
        hashed = None if password is None else self._passwords.hash(password)
        account = self._store.users.add(name, role, hashed, _stamp(), by)
        self._record("account added", name, by, role=role)
        return account

    def set_role(self, name: str, role: Role, by: str) -> Account:
        """Change an account's role; it applies from the next request.

        Raises:
            NotFound: there is no such account.
            Conflict: it is the last admin.
        """
        before = self.get(name)
        account = self._change(before, by, role=role)
        self._record("account role changed", name, by, role=role, previous=before.role)
        return account

    def disable(self, name: str, by: str) -> Account:
        """Disable an account and end its sessions and links.

        Raises:
            NotFound: there is no such account.
            Conflict: it is the last admin.
        """
        account = self._change(self.get(name), by, disabled=True, stamp=_stamp())
        self._record("account disabled", name, by)
        return account

    def enable(self, name: str, by: str) -> Account:
        """Enable a disabled account.

        Raises:
            NotFound: there is no such account.
        """
        account = self._store.users.change(name, disabled=False)
        self._record("account enabled", name, by)
        return account

    def set_password(self, name: str, password: str, by: str) -> Account:
        """Set an account's password and end its sessions and links.

        Raises:
            NotFound: there is no such account.
            InvalidInput: the password is too short or too long.
        """
        self.get(name)
        account = self._store.users.change(name, password=self._passwords.hash(password), stamp=_stamp())
        self._record("account password changed", name, by)
        return account

    def change_password(self, account: Account, old: str, new: str, address: str) -> Account:
        """Change one's own password; the current one is required if there is one.

        Raises:
            SignInRefused: the current password is wrong.
            TooManyAttempts: there were too many attempts.
            InvalidInput: the new password is too short or too long.
        """
        if account.has_password:
            self._verify(account.name, old, address, "The old password is another.")
        return self.set_password(account.name, new, account.name)

    # --- signing in ---

    def sign_in(self, name: str, password: str, address: str) -> Account:
        """Return the account for a name and a password.

        Args:
            address: network address of the client.

        Raises:
            SignInRefused: name and password do not match; it does not say which of the two is wrong.
            TooManyAttempts: there were too many attempts with this name or from this address.
        """
        refusal = "There is no account of this name with this password."
        name = name.strip().lower()[:100]
        self._verify(name, password, address, refusal)
        account = self._store.users.find(name)
        if account is None or account.disabled:
            raise SignInRefused(refusal)
        return account

    def of_session(self, name: str, stamp: str) -> Account | None:
        """The account that a session belongs to; None if the session has been ended."""
        account = self._store.users.find(name)
        fits = account and not account.disabled and secrets.compare_digest(account.stamp, stamp)
        return account if fits else None

    def new_link(self, name: str, by: str) -> str:
        """Return the token of a single-use sign-in link, valid for `LINK_HOURS`.

        Raises:
            NotFound: there is no such account.
            Conflict: it is disabled.
        """
        account = self.get(name)
        if account.disabled:
            raise Conflict(f"The account {name} is disabled.")
        token = secrets.token_urlsafe(32)
        until = datetime.now(UTC) + timedelta(hours=LINK_HOURS)
        self._store.users.add_link(_sha256(token), name, account.stamp, until)
        self._record("sign-in link made", name, by)
        return token

    def link_owner(self, token: str) -> Account:
        """Return the account of a sign-in link.

        Raises:
            SignInRefused: the link is invalid or no longer valid.
        """
        return _known(self._store.users.link_owner(_sha256(token)))

    def use_link(self, token: str) -> Account:
        """Return the account of a sign-in link, and use the link up.

        Raises:
            SignInRefused: the link is invalid or no longer valid.
        """
        return _known(self._store.users.use_link(_sha256(token)))

    # --- on the command line ---

    def at_console(self, system_user: str) -> Account:
        """Return the account that a command acts for.

        It is the account named by DRIFTWATCH_USER, else the one with the system user's name. Without either it is an
        admin if the database is embedded (whoever can read its folder owns it) or has no admin yet, and otherwise the
        anonymous account.

        Raises:
            SignInNeeded: DRIFTWATCH_USER names no account.
        """
        named = self._settings.driftwatch_user
        account = self._store.users.find((named or system_user).strip().lower())
        if account:
            return account
        if named:
            raise SignInNeeded(f"DRIFTWATCH_USER is {named!r}, but there is no such account.")
        if self._settings.mongodb_uri is None or not self._store.users.admins():
            return Account(system_user, Role.ADMIN)
        return self.anonymous

    def local_link(self, system_user: str) -> tuple[str, str] | None:
        """(name, token) for whoever started the server on this machine; None if they are not entitled to an account.

        For an embedded database it is the admin called `admin`, which is created if necessary.
        """
        if self._settings.mongodb_uri is None or not self._store.users.admins():
            account = self._local_admin(system_user)
        else:
            account = self.at_console(system_user)
            if not account.signed_in or account.disabled:
                return None
        return account.name, self.new_link(account.name, by=system_user)

    def _local_admin(self, by: str) -> Account:
        account = self._store.users.find(LOCAL_ADMIN)
        if account is None:
            return self.add(LOCAL_ADMIN, Role.ADMIN, by)
        if account.disabled or account.role is not Role.ADMIN:
            return self.get(self._store.users.admins()[0])
        return account

    # --- internal ---

    def _change(self, before: Account, by: str, **changes: object) -> Account:
        """Change an account unless that would leave no admin.

        This is checked afterwards: if two admins demote each other concurrently, at least one must be refused.
        """
        if self._store.users.admins() == [before.name] and changes.get("role") is not Role.ADMIN:
            raise Conflict(f"{before.name} is the last admin; make another first.")
        account = self._store.users.change(before.name, **changes)
        if not self._store.users.admins():
            self._store.users.change(before.name, role=before.role, disabled=before.disabled)
            raise Conflict(f"{before.name} is the last admin; make another first.")
        return account

    def _verify(self, name: str, password: str, address: str, refusal: str) -> None:
        where = _subscriber(address)
        for limit, who in ((PER_ADDRESS, where), (PER_NAME, name)):
            if not self._store.attempts.count(limit, who):
                raise TooManyAttempts(max(1, math.ceil(self._store.attempts.free_at(limit, who) - time.time())))
        kept = self._store.users.password(name)
        if not self._passwords.fits(password, kept):
            raise SignInRefused(refusal)
        self._store.attempts.forget(PER_NAME, name)
        if kept is not None and self._passwords.is_dated(kept):
            self._store.users.renew_hash(name, kept, self._passwords.hash(password))

    def _record(self, what: str, name: str, by: str, **details: object) -> None:
        self._store.events.record(what, None, by, account=name, **details)


def _known(account: Account | None) -> Account:
    if account is None:
        raise SignInRefused("This link was used already, is too old, or never was one. Ask for another.")
    return account


def _stamp() -> str:
    return secrets.token_urlsafe(16)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _subscriber(address: str) -> str:
    """The key for counting attempts: an IPv4 address, or the subscriber's prefix of an IPv6 address.

    >>> _subscriber("2001:db8::7"), _subscriber("192.0.2.7"), _subscriber("unix:")
    ('2001:db8::/64', '192.0.2.7', 'unix:')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), IPV6_SUBSCRIBER), strict=False))
