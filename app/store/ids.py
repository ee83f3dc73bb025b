"""One document by the id in an address or a command, which may be malformed."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from bson.errors import InvalidId
from pymongo.collection import Collection

from app.errors import NotFound


def by_id(collection: Collection, given: str, what: str, more: str = "") -> dict[str, Any]:
    """The document with this id.

    Args:
        what: the word for it in messages: "job".
        more: appended to the message if there is none.

    Raises:
        NotFound: there is none with this id, or the id is malformed.
    """
    try:
        document = collection.find_one({"_id": ObjectId(given)})
    except InvalidId:
        document = None
    if document is None:
        raise NotFound(f"There is no {what} {given!r}{more}.")
    return document
