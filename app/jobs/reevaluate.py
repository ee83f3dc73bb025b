"""Re-evaluation: runs are rescored with the active model, newest first, each by its own job.

A job locks its run, so that the run is neither fetched nor deleted meanwhile; when done it queues the next. The next
run is the newest one whose scores are not by the active model, or whose verdicts are not by its current threshold. A
killed process therefore resumes where it stopped. If another model is activated meanwhile, or another threshold is
set, the re-evaluation continues with that one and repeats the runs already done. If only the threshold differs, no
scores are computed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.domain.jobs import Job
from app.domain.runs import RunState
from app.errors import Conflict, ModelRefused
from app.jobs.runner import Work
from app.jobs.score import Scoring
from app.registry import Registry
from app.store import Store
from app.store.reevaluations import OPEN, Reevaluation, ReevaluationState
from app.store.runs import NOT_SCORED

log = logging.getLogger(__name__)

KIND = "reevaluate"
LANE = "reevaluate"  # one run at a time: scoring uses all cores
MOST_FAILED = 20  # runs that may fail; beyond that the runs are not to blame

_RUNNING = (ReevaluationState.RUNNING,)
_PAUSED = (ReevaluationState.PAUSED,)


@dataclass(frozen=True)
class Outlook:
    """How many runs are outdated with respect to a model.

    Attributes:
        other_model: runs whose scores are not all by this model.
        kept: those of them with complete archived scores by this model, so that none must be computed.
        other_threshold: runs scored by this model whose verdicts are by another threshold than the current one, or by
            an unknown one; no scores must be computed.
    """

    other_model: int
    kept: int
    other_threshold: int


class Reevaluations:
    """The requests that can be made.

    Args:
        wake: makes the background look for jobs.
    """

    def __init__(self, store: Store, models: Registry, wake: Callable[[], None]) -> None:
        self._store, self._models, self._wake = store, models, wake

    def begin(self, runs: Sequence[int] | None, by: str) -> Reevaluation:
        """Rescore runs with the active model; None for all. Repeating a request returns the same re-evaluation.

        Raises:
            NotFound: one of the runs is not loaded.
            Conflict: another re-evaluation is not finished yet.
        """
        if runs is not None:
            runs = sorted(set(runs), reverse=True)
            for unknown in set(runs) - self._store.runs.known(runs):
                self._store.runs.get(unknown)
        made = self._store.reevaluations.begin(runs, by, self._models.active)
        if made is None:
            opened = self._store.reevaluations.opened()
            if opened is None:  # it has just finished
                return self.begin(runs, by)
            if opened.runs != runs:
                raise Conflict("A re-evaluation of other runs is not over yet: wait for it, or cancel it.")
            return opened
        self._record("re-evaluation asked for", made, by)
        return self.go_on(made.id) or self._store.reevaluations.get(made.id)

    def pause(self, reevaluation_id: str, by: str) -> Reevaluation:
        """Start no further run; the current one is finished first.

        Raises:
            NotFound: there is no such re-evaluation.
            Conflict: it is not running.
        """
        return self._change(reevaluation_id, _RUNNING, ReevaluationState.PAUSED, "re-evaluation paused", by)

    def resume(self, reevaluation_id: str, by: str) -> Reevaluation:
        """Resume a paused re-evaluation.

        Raises:
            NotFound: there is no such re-evaluation.
            Conflict: it is not paused.
        """
        changed = self._change(reevaluation_id, _PAUSED, ReevaluationState.RUNNING, "re-evaluation resumed", by)
        return self.go_on(reevaluation_id) or changed

    def cancel(self, reevaluation_id: str, by: str) -> Reevaluation:
        """End a re-evaluation; finished runs stay as they are.

        Raises:
            NotFound: there is no such re-evaluation.
            Conflict: it has already ended.
        """
        return self._change(reevaluation_id, OPEN, ReevaluationState.CANCELLED, "re-evaluation cancelled", by)

    def go_on(self, reevaluation_id: str) -> Reevaluation | None:
        """Queue the next run, or end the re-evaluation if none is left; None if it is no longer open.

        A run that another job works on is skipped for now: fetching scores it anyway.
        """
        known, model = self._store.reevaluations.get(reevaluation_id), self._models.active
        threshold, runs = self._models.bad_from(model), self._store.runs
        done, total = runs.count_scored(known.runs, model, threshold), runs.count_scored(known.runs)
        noted = self._store.reevaluations.note(reevaluation_id, model, done, total)
        if noted is None or noted.state is not ReevaluationState.RUNNING:
            return noted
        if len(noted.failed) >= MOST_FAILED:
            run, why = list(noted.failed.items())[-1]
            why = f"{len(noted.failed)} runs could not be scored, the last of them run {run}: {why}"
            return self._store.reevaluations.change(reevaluation_id, OPEN, ReevaluationState.FAILED, why)
        left = runs.next_to_score(noted.runs, model, threshold, but=noted.failed)
        if left is not None:
            self._store.jobs.ask(KIND, left, LANE, noted.by, reevaluation_id, reevaluation=reevaluation_id)
            self._wake()
        elif done + len(noted.failed) >= total:
            log.info("re-evaluation by %s: done, %d of %d runs", model, done, total)
            return self._store.reevaluations.change(reevaluation_id, OPEN, ReevaluationState.DONE)
        return noted

    def reconcile(self) -> None:
        """Continue if the next run was not queued because a process was killed or another job held the run."""
        opened = self._store.reevaluations.opened()
        if opened and not any(job.args.get("reevaluation") == opened.id for job in self._store.jobs.active()):
            self.go_on(opened.id)

    def outlook(self, model: str) -> Outlook:
        """The work that a re-evaluation with a model would have to do."""
        other_model, other_threshold = self._store.runs.count_to_score(model, self._models.bad_from(model))
        return Outlook(other_model, self._store.runs.count_kept(model), other_threshold)

    def _change(
        self, reevaluation_id: str, states: Sequence[ReevaluationState], state: ReevaluationState, what: str, by: str
    ) -> Reevaluation:
        known = self._store.reevaluations.get(reevaluation_id)
        changed = self._store.reevaluations.change(reevaluation_id, states, state)
        if changed is None:
            is_now = self._store.reevaluations.get(known.id).state
            raise Conflict(
                f"This re-evaluation is {is_now}; only one that is {' or '.join(states)} can become {state}."
            )
        self._record(what, changed, by)
        return changed

    def _record(self, what: str, reevaluation: Reevaluation, by: str) -> None:
        self._store.events.record(what, None, by, reevaluation=reevaluation.id)


class Reevaluating:
    """The handler of re-evaluation jobs, each for one run."""

    def __init__(self, store: Store, scoring: Scoring, reevaluations: Reevaluations) -> None:
        self._store, self._scoring, self._reevaluations = store, scoring, reevaluations

    def __call__(self, job: Job, work: Work) -> None:
        asked = self._store.reevaluations.get(job.args["reevaluation"])
        if asked.state is not ReevaluationState.RUNNING:  # paused or cancelled before this run was started
            return
        try:
            computed = self._scoring.score(job.run, work)
        except ModelRefused as error:  # every run would fail in the same way
            self._store.reevaluations.change(asked.id, OPEN, ReevaluationState.FAILED, str(error))
            return
        if not work.over and self._store.runs.update(job.run, **self._facts(job.run)):
            self._store.reevaluations.count(asked.id, "computed" if computed else "restored")
        self._reevaluations.go_on(asked.id)

    def _facts(self, run: int) -> dict[str, Any]:
        """The fields derived from the items; a run that only lacked scores becomes finished."""
        facts, known = self._scoring.facts(run), self._store.runs.get(run)
        if known.state is RunState.FAILED and self._scoring.is_whole(facts):
            return facts | {"state": RunState.FINISHED, "why": "", "finished_at": datetime.now(UTC)}
        if known.why == NOT_SCORED and not facts["summary"]["unscored"]:
            subsystem = self._store.subsystem
            here, places = facts["done"] + facts["missing"], len(subsystem.places())
            return facts | {"why": f"Only {here} of {places} {subsystem.item}s were imported."}
        return facts

    def failed(self, job: Job, why: str) -> None:
        """Leave the run as it is and continue with the next one."""
        self._store.reevaluations.note_failed(job.args["reevaluation"], job.run, why)
        self._reevaluations.go_on(job.args["reevaluation"])
