"""Background jobs as documents: any process may queue a job, any process with a runner may take it.

A queued or running job has a key, and each key has at most one such job: requesting it twice runs it once. Two unique
indexes ensure that, over all processes, at most one job runs per lane and per run of a subsystem. Whoever runs a job
holds a lease on it; when the lease expires (the process was killed), the job is queued again.
"""

from __future__ import annotations

from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.domain.jobs import Job, JobState
from app.store.ids import by_id
from app.store.indexes import make_indexes

LEASE_SECONDS = 30  # renewed every second; a machine that sleeps longer loses its jobs
KEEP_DAYS = 30  # ended jobs, kept to look up what happened


class Jobs:
    """The queue: jobs are queued and found by subsystem; a runner takes those of all."""

    def __init__(self, database: Database, subsystem: str) -> None:
        self._collection, self._subsystem = database["jobs"], subsystem
        self._mine = {"subsystem": subsystem}

    def upgrade(self) -> None:
        """Assign jobs from before there were several subsystems to this one."""
        old = {"subsystem": {"$exists": False}}
        key = {"$concat": [self._subsystem, ":", "$key"]}
        self._collection.update_many(old, [{"$set": {"subsystem": self._subsystem, "key": key}}])

    def make_indexes(self) -> None:
        def one_of(*fields: str, where: dict[str, Any]) -> IndexModel:
            name = f"one_of_{'_'.join(fields)}"
            return IndexModel(list(fields), name=name, unique=True, partialFilterExpression=where)

        works_on_a_run = {"state": JobState.RUNNING, "run": {"$type": "number"}}
        indexes = [
            one_of("key", where={"active": True}),
            one_of("lane", where={"state": JobState.RUNNING}),
            one_of("subsystem", "run", where=works_on_a_run),
            *(IndexModel(list(fields)) for fields in (("state", "asked_at"), ("run", "active"))),
            *(IndexModel([field, "asked_at"]) for field in ("key", "kind")),
            IndexModel("ended_at", expireAfterSeconds=KEEP_DAYS * 86_400),
        ]
        # Of the time when every job worked on a run, and when all were of one subsystem.
        make_indexes(self._collection, indexes, gone=("key_1", "lane_1", "run_1", "one_of_run"))

    def ask(self, kind: str, run: int | None, lane: str, by: str, about: str = "", **args: object) -> Job:
        """Queue a job; if the same is already queued or running, return that one.

        Args:
            run: the run that it works on, if any.
            about: distinguishes it from other jobs of this kind (on the run).
        """
        document = self._new(kind, run, lane, by, args, about) | {"state": JobState.QUEUED}
        try:
            self._collection.insert_one(document)
        except DuplicateKeyError:
            existing = self._collection.find_one({"key": document["key"], "active": True})
            if existing is None:  # it ended just now
                return self.ask(kind, run, lane, by, about, **args)
            return _job(existing)
        return _job(document)

    def begin(self, kind: str, run: int, lane: str, by: str, owner: str, **args: object) -> Job | None:
        """Create a job that only `owner` can do, and take it at once; None while another one works on the run."""
        document = self._new(kind, run, lane, by, args) | {"state": JobState.RUNNING, "local": True} | _lease(owner)
        try:
            self._collection.insert_one(document)
        except DuplicateKeyError:
            return None
        return _job(document)

    def claim(self, owner: str, only: Several[str] | None = None) -> Job | None:
        """Take the oldest queued job whose lane and run are free, if there is one.

        Args:
            owner: the holder of the lease.
            only: the ids of the jobs to choose from; None for all.
        """
        busy = self._collection.distinct("lane", {"state": JobState.RUNNING})
        wanted: dict[str, Any] = {"state": JobState.QUEUED, "lane": {"$nin": busy}}
        if only is not None:
            wanted["_id"] = {"$in": [ObjectId(job_id) for job_id in only]}
        for candidate in self._collection.find(wanted).sort("asked_at", ASCENDING).limit(100):
            try:
                taken = self._collection.find_one_and_update(
                    {"_id": candidate["_id"], "state": JobState.QUEUED},
                    {"$set": {"state": JobState.RUNNING} | _lease(owner), "$inc": {"attempt": 1}},
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:  # its lane or its run is busy
                continue
            if taken:
                return _job(taken)
        return None

    def renew(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """Prolong the leases of jobs, all at once.

        Returns:
            id → the job as it stands now, of those whose lease was not lost (it ran out, and the job was taken again).
        """
        held = {"$or": [_held(job) for job in jobs]}
        self._collection.update_many(held, {"$set": _leased()})
        return {job.id: job for job in map(_job, self._collection.find(held))}

    def note(self, job: Job, **progress: object) -> None:
        """Store a job's progress, for whoever waits for it."""
        changes = {f"progress.{name}": value for name, value in progress.items()}
        self._collection.update_one({"_id": ObjectId(job.id)}, {"$set": changes})

    def end(self, job: Job, state: JobState, why: str = "") -> None:
        """Release a job: ended, or QUEUED again because this process stops. A lost job is left alone."""
        changes: dict[str, Any] = {"state": state, "why": why, "owner": "", "leased_until": None}
        if state is JobState.QUEUED:
            changes["attempt"] = 0  # it was released, it did not kill its program
        else:
            changes |= {"active": False, "ended_at": datetime.now(UTC)}
        self._collection.update_one(_held(job), {"$set": changes})

    def cancel(self, kind: str, run: int | None) -> None:
        """Stop the jobs of a kind that work on a run: queued ones at once, running ones as soon as they notice."""
        self._cancel({**self._mine, "kind": kind, "run": run})

    def cancel_one(self, job_id: str) -> None:
        """The same for one job; an ended job is left alone."""
        self._cancel({"_id": ObjectId(job_id)})

    def _cancel(self, wanted: Mapping[str, Any]) -> None:
        ended = {"state": JobState.CANCELLED, "active": False, "ended_at": datetime.now(UTC)}
        self._collection.update_many({**wanted, "state": JobState.QUEUED}, {"$set": ended})
        self._collection.update_many({**wanted, "state": JobState.RUNNING}, {"$set": {"cancel": True}})

    def are_unfinished(self) -> bool:
        """Whether any job is queued or running, here or in another process."""
        unfinished = {"state": {"$in": [JobState.QUEUED, JobState.RUNNING]}}
        return self._collection.find_one(unfinished, {"_id": 1}) is not None

    def requeue_lost(self) -> int:
        """Requeue jobs whose lease expired, and fail those that no other owner can do; returns their number."""
        lost = {"state": JobState.RUNNING, "leased_until": {"$lt": datetime.now(UTC)}}
        ended = {"active": False, "ended_at": datetime.now(UTC), "owner": ""}
        given_up = self._collection.update_many(
            {**lost, "$or": [{"local": True}, {"cancel": True}]},
            {"$set": {"state": JobState.FAILED, "why": "Its program was ended, or lost the database.", **ended}},
        )
        queued = self._collection.update_many(lost, {"$set": {"state": JobState.QUEUED, "owner": ""}})
        return given_up.modified_count + queued.modified_count

    def expire(self, owner: str) -> None:
        """End the leases of an owner known to be dead."""
        held = {"state": JobState.RUNNING, "owner": owner}
        self._collection.update_many(held, {"$set": {"leased_until": datetime.now(UTC) - timedelta(seconds=1)}})

    def owners(self) -> list[str]:
        """The current holders of leases."""
        return self._collection.distinct("owner", {"state": JobState.RUNNING})

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: there is none with this id.
        """
        return _job(by_id(self._collection, job_id, "job"))

    def active(self, run: int | None = None) -> list[Job]:
        """Queued and running jobs of the subsystem, of one run or of all, oldest first."""
        wanted: dict[str, Any] = {**self._mine, "active": True} | ({} if run is None else {"run": run})
        return [_job(d) for d in self._collection.find(wanted).sort("asked_at", ASCENDING)]

    def last(self, kind: str, run: int | None, about: str = "") -> Job | None:
        """The newest job with this key, ended or not."""
        found = self._collection.find_one({"key": self._key(kind, run, about)}, sort=[("asked_at", DESCENDING)])
        return _job(found) if found else None

    def newest(self, kind: str, limit: int) -> list[Job]:
        """The latest jobs of a kind, ended or not, newest first."""
        return [
            _job(d)
            for d in self._collection.find({**self._mine, "kind": kind}).sort("asked_at", DESCENDING).limit(limit)
        ]

    def _key(self, kind: str, run: int | None, about: str) -> str:
        return ":".join(str(part) for part in (self._subsystem, kind, run, about) if part not in (None, ""))

    def _new(
        self, kind: str, run: int | None, lane: str, by: str, args: Mapping[str, object], about: str = ""
    ) -> dict[str, Any]:
        return {
            "key": self._key(kind, run, about),
            **self._mine,
            "active": True,
            "kind": kind,
            "run": run,
            "lane": lane,
            "by": by,
            "args": dict(args),
            "attempt": 0,
            "asked_at": datetime.now(UTC),
        }


def _held(job: Job) -> dict[str, Any]:
    """What finds a job while the lease stands under which it was taken; its owner may have lost and taken it again."""
    return {"_id": ObjectId(job.id), "state": JobState.RUNNING, "owner": job.owner, "attempt": job.attempt}


def _lease(owner: str) -> dict[str, Any]:
    return {"owner": owner, **_leased()}


def _leased() -> dict[str, Any]:
    return {"leased_until": datetime.now(UTC) + timedelta(seconds=LEASE_SECONDS)}


def _job(document: Mapping[str, Any]) -> Job:
    fields = {key: value for key, value in document.items() if key in Job.__dataclass_fields__}
    return Job(id=str(document["_id"]), **{**fields, "state": JobState(document["state"])})
