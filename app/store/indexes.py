"""Making indexes, replacing those of earlier versions, and querying and counting in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bson import MinKey
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection


def make_indexes(collection: Collection, indexes: Sequence[IndexModel], gone: Iterable[str] = ()) -> None:
    """Make indexes, replacing those with the same name but other fields.

    Args:
        gone: names of indexes no longer needed.
    """
    there = collection.index_information()
    for index in indexes:
        name = index.document["name"]
        if name in there and list(there[name]["key"]) != list(index.document["key"].items()):
            collection.drop_index(name)
    for name in there.keys() & set(gone):
        collection.drop_index(name)
    collection.create_indexes(list(indexes))


def in_index(filters: Mapping[str, Any], first: str) -> dict[str, Any]:
    """The same filters in a form that MongoDB answers from the index that begins with a field.

    It uses an index only if there is a condition on its first field.
    """
    return {first: {"$gte": MinKey()}, **filters}


def between(lower: Any, operator: str, upper: Any) -> dict[str, Any]:
    """The condition for a field between two values, either of which can be None; empty if both are.

    Args:
        operator: "$lt" or "$lte", for the upper one.
    """
    return {name: value for name, value in (("$gte", lower), (operator, upper)) if value is not None}


def count_all(collection: Collection) -> int:
    """Count all documents, in the index of their ids.

    MongoDB's `estimated_document_count` can be wrong for good once its server was killed.
    """
    return count_to(collection, in_index({}, "_id"), 0, "_id_")


def count_to(collection: Collection, filters: Mapping[str, Any], most: int, index: str | None = None) -> int:
    """Count documents, up to `most`: pymongo's `count_documents` aggregates, which takes three times as long.

    Args:
        most: 0 for all.
        filters: at least one; without any, MongoDB does not count, see `count_all`.
        index: name of the one to count in, if not chosen by the database.
    """
    command = {"count": collection.name, "query": dict(filters), "limit": most} | ({"hint": index} if index else {})
    return collection.database.command(command)["n"]


def in_pieces(
    collection: Collection,
    filters: Mapping[str, Any],
    index: Sequence[str],
    without: Iterable[str] = (),
    piece: int = 500,
) -> Iterator[dict[str, Any]]:
    """All documents that match filters, however many, in the order of an index.

    They are read by successive queries: reading a cursor to its end counts against the time limit of one operation.

    Args:
        index: all of its fields; they must be unique.
        without: fields that are not read, none of the index.
        piece: documents per query.
    """
    order = [(name, ASCENDING) for name in index]
    last: Any = None
    while True:
        found = collection.find(filters, dict.fromkeys(without, 0)).sort(order).hint(order).limit(piece)
        if last is not None:
            found = found.min([(name, last.get(name)) for name in index])  # including that one, if it is still there
        documents = list(found)
        yield from (document for document in documents if last is None or document["_id"] != last["_id"])
        if len(documents) < piece:
            return
        last = documents[-1]
