"""What tells this database from all others: an id, made once. All programs on one database have the same."""

from __future__ import annotations

import uuid

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError


def installation_id(database: Database) -> str:
    """Twelve hexadecimal digits. Of two programs that ask a new database at once, one makes them and both have them."""
    made = {"_id": "installation", "name": uuid.uuid4().hex[:12]}
    kept = database["installation"]
    try:
        found = kept.find_one_and_update(
            {"_id": made["_id"]}, {"$setOnInsert": made}, upsert=True, return_document=ReturnDocument.AFTER
        )
    except DuplicateKeyError:  # the other was first
        found = kept.find_one({"_id": made["_id"]})
    return found["name"] if found else made["name"]
