"""Making indexes in place of those of an earlier version, asking and counting in them. Not for which there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bson import MinKey
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection


def make_indexes(collection: Collection, indexes: Sequence[IndexModel], gone: Iterable[str] = ()) -> None:
    """Make indexes in place of those that have the same name and other fields.

    Args:
        gone: names of indexes that are not needed any more.
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
    """The same filters, of which MongoDB sees that the index that begins with a field answers them all.

    It looks in an index for no other field while nothing is asked of the first one.
    """
    return {first: {"$gte": MinKey()}, **filters}


def between(lower: Any, operator: str, upper: Any) -> dict[str, Any]:
    """What a field has to be where it is to lie between two values, either of which can be None; empty if both are.

    Args:
        operator: "$lt" or "$lte", of the upper one.
    """
    return {name: value for name, value in (("$gte", lower), (operator, upper)) if value is not None}


def count_all(collection: Collection) -> int:
    """Count all documents, in the index of their ids.

    What MongoDB knows without counting, `estimated_document_count`, can be wrong for good once its server was killed.
    """
    return count_to(collection, in_index({}, "_id"), 0, "_id_")


def count_to(collection: Collection, filters: Mapping[str, Any], most: int, index: str | None = None) -> int:
    """Count documents, to `most`: pymongo's `count_documents` aggregates, which takes three times as long.

    Args:
        most: 0 for all.
        filters: some; without any, MongoDB does not count, see `count_all`.
        index: name of the one to count in, if not the one that the database takes.
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
    """All documents that filters find, however many, in the order of an index.

    One query after the other: to read all of a single one may not take the database longer than one operation may.

    Args:
        index: all of its fields; no two documents may have the same.
        without: fields that are not read, none of the index.
        piece: documents of one query.
    """
    order = [(name, ASCENDING) for name in index]
    last: Any = None
    while True:
        found = collection.find(filters, dict.fromkeys(without, 0)).sort(order).hint(order).limit(piece)
        if last is not None:
            found = found.min([(name, last.get(name)) for name in index])  # that one included, if it is still there
        documents = list(found)
        yield from (document for document in documents if last is None or document["_id"] != last["_id"])
        if len(documents) < piece:
            return
        last = documents[-1]
