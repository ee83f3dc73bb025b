"""One document by the id that an address or a command gives, which may be no id at all."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from bson.errors import InvalidId
from pymongo.collection import Collection

from app.errors import NotFound


def by_id(collection: Collection, given: str, what: str, more: str = "") -> dict[str, Any]:
    """The document with this id.

    Args:
        what: what it is to a person: "job".
        more: what a person is told besides where there is none.

    Raises:
        NotFound: there is none with this id, or it is no id.
    """
    try:
        document = collection.find_one({"_id": ObjectId(given)})
    except InvalidId:
        document = None
    if document is None:
        raise NotFound(f"There is no {what} {given!r}{more}.")
    return document
