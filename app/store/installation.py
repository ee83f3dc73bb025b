"""The id of this database, made once and shared by all programs on it."""

from __future__ import annotations

import uuid

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError


def installation_id(database: Database) -> str:
    """Twelve hexadecimal digits. If two programs query a new database at once, both get the same."""
    made = {"_id": "installation", "name": uuid.uuid4().hex[:12]}
    kept = database["installation"]
    try:
        found = kept.find_one_and_update(
            {"_id": made["_id"]}, {"$setOnInsert": made}, upsert=True, return_document=ReturnDocument.AFTER
        )
    except DuplicateKeyError:  # another program was first
        found = kept.find_one({"_id": made["_id"]})
    return found["name"] if found else made["name"]
