"""Accounts, and one-time links to sign in without a password."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.domain.roles import Account, Role
from app.errors import Conflict, NotFound


class Users:
    """One document per account; its name is the `_id`. Links are stored by their hash."""

    def __init__(self, database: Database) -> None:
        self._users: Collection = database["users"]
        self._links: Collection = database["sign_in_links"]

    def make_indexes(self) -> None:
        self._links.create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)

    def add(self, name: str, role: Role, password: str | None, stamp: str, by: str) -> Account:
        """Store a new account; `password` is its hash.

        Raises:
            Conflict: there is already one with this name.
        """
        document = {"role": role, "disabled": False, "password": password, "stamp": stamp}
        try:
            self._users.insert_one({"_id": name, **document, "created_at": datetime.now(UTC), "created_by": by})
        except DuplicateKeyError:
            raise Conflict(f"There is already an account {name}.") from None
        return self.get(name)

    def get(self, name: str) -> Account:
        """One account.

        Raises:
            NotFound: there is none with this name.
        """
        account = self.find(name)
        if account is None:
            raise NotFound(f"There is no account {name!r}.")
        return account

    def find(self, name: str) -> Account | None:
        document = self._users.find_one({"_id": name})
        return _account(document) if document else None

    def all(self) -> list[Account]:
        """Every account, by name."""
        return [_account(document) for document in self._users.find().sort("_id", ASCENDING)]

    def admins(self) -> list[str]:
        """Names of the admins that are not disabled."""
        wanted = {"role": Role.ADMIN, "disabled": False}
        return [document["_id"] for document in self._users.find(wanted, {"_id": 1}).sort("_id", ASCENDING)]

    def password(self, name: str) -> str | None:
        """The hash of an account's password; None if there is no such account, or no password."""
        document = self._users.find_one({"_id": name}, {"password": 1})
        return document["password"] if document else None

    def change(self, name: str, **changes: object) -> Account:
        """Set fields of an account.

        Raises:
            NotFound: there is none with this name.
        """
        self._users.update_one({"_id": name}, {"$set": changes})
        return self.get(name)

    def renew_hash(self, name: str, old: str, new: str) -> None:
        """Replace the hash of a password by a better one of the same, if the old one is still there."""
        self._users.update_one({"_id": name, "password": old}, {"$set": {"password": new}})

    def add_link(self, sha256: str, name: str, stamp: str, expires_at: datetime) -> None:
        self._links.insert_one({"_id": sha256, "name": name, "stamp": stamp, "expires_at": expires_at})

    def link_owner(self, sha256: str) -> Account | None:
        """The owner of a link; None if it is invalid, used or expired, or if its account has changed since."""
        return self._owner(self._links.find_one(_usable(sha256)))

    def use_link(self, sha256: str) -> Account | None:
        """`link_owner`, using up the link."""
        return self._owner(self._links.find_one_and_delete(_usable(sha256)))

    def _owner(self, link: Mapping[str, Any] | None) -> Account | None:
        if link is None:
            return None
        account = self.find(link["name"])
        return account if account and account.stamp == link["stamp"] and not account.disabled else None


def _usable(sha256: str) -> dict[str, object]:
    return {"_id": sha256, "expires_at": {"$gt": datetime.now(UTC)}}


def _account(document: Mapping[str, Any]) -> Account:
    return Account(
        name=document["_id"],
        role=Role(document["role"]),
        disabled=document["disabled"],
        has_password=document["password"] is not None,
        created_at=document["created_at"],
        created_by=document["created_by"],
        stamp=document["stamp"],
    )
