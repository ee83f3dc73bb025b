"""All of Driftwatch's use cases as one object. Pages, API and commands call this and nothing below it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from app.accounts import Accounts
from app.domain.influence import Method, method_named
from app.domain.items import Item
from app.domain.jobs import Job, JobState
from app.domain.models import Model
from app.domain.origin import DEMONSTRATION, Origin, SourceKind
from app.domain.runs import Run, RunState
from app.domain.thresholds import SetThreshold
from app.errors import REASON_WORDS, Conflict, InvalidInput, NotExplained, NotFound
from app.given import sound_text, within
from app.jobs import compare, delete, drift, evaluate, explain, fetch, reevaluate, train
from app.jobs.runner import BySubsystem, Handler, Runner
from app.jobs.score import Scoring
from app.labelling.labels import Labelling
from app.registry import Registry
from app.sources import Server, Source
from app.sources.demo_process import DemoProcess
from app.sources.http import without_password
from app.store import Store, connection_of
from app.store.influences import Explained
from app.store.reevaluations import Reevaluation
from app.store.runs import being_deleted
from app.subsystems import SUBSYSTEMS, Subsystem
from app.subsystems.learning import Plan, require_offered
from app.transfer.exporting import Exporting
from app.transfer.importing import Importing
from config import Settings

log = logging.getLogger(__name__)

DEMONSTRATION_RUNS = (302634, 302635)
RECONCILE_SECONDS = 10
FAILURE_STANDS = timedelta(minutes=1)  # do not retry a failed explanation sooner
COMPARED_RUNS = range(1, 51)  # how many runs a comparison may cover; each takes some seconds
MOST_REASON = 2_000  # characters
MOST_POLLED = 20  # runs requested per poll of the server's list, newest first


class _Shared:
    """What the subsystems share: the database, the accounts and the background jobs."""

    def __init__(self, settings: Settings, subsystems: Sequence[Subsystem]) -> None:
        self.settings, self.subsystems = settings, subsystems
        self.connection = connection_of(settings, subsystems)
        self.accounts = Accounts(Store(settings, subsystems[0], self.connection), settings)
        self.runner: Runner | None = None
        self.demo = DemoProcess()
        self.of: dict[str, Driftwatch] = {}

    def wake(self) -> None:
        if self.runner:
            self.runner.wake()


class Driftwatch:
    """The use cases of one subsystem; `of` returns those of the others. Creating it connects to nothing.

    Args:
        subsystems: the available subsystems; the first is the default.
    """

    def __init__(
        self,
        settings: Settings,
        subsystems: Sequence[Subsystem] = SUBSYSTEMS,
        _shared: _Shared | None = None,
    ) -> None:
        self._shared = _shared or _Shared(settings, subsystems)
        self._shared.of[subsystems[0].name] = self
        self.settings = settings
        self.subsystem = subsystems[0]
        self.store = Store(settings, self.subsystem, self._shared.connection)
        self.accounts = self._shared.accounts
        self.wake = self._shared.wake
        self._local_sources: dict[str, Source] = {}
        self._server_source: Server | None = None
        self._server_lock = threading.Lock()
        alone = self.subsystem.was_alone
        shipped = settings.model_dir if alone else settings.model_dir / self.subsystem.name
        unpacked = settings.data_dir / "models" / ("" if alone else self.subsystem.name)
        self.models = Registry(self.store, shipped, unpacked)
        self.labelling = Labelling(self.store, self.models, settings)
        self.exporting = Exporting(self.store, self.labelling)
        self._measuring = drift.Measuring(self.store)
        self.scoring = Scoring(self.store, self.models, self._measuring)
        self.importing = Importing(self.store, self.labelling, self.models, self.scoring.facts)
        self.training = train.Training(self.store, self.models, settings)
        self.drifts = drift.Drifts(self.store, self.models, self.wake)
        self.reevaluations = reevaluate.Reevaluations(self.store, self.models, self.wake)
        for other in subsystems[1:]:
            Driftwatch(settings, [other], self._shared)

    @property
    def subsystems(self) -> tuple[str, ...]:
        """The names of all subsystems."""
        return tuple(self._shared.of)

    def of(self, subsystem: str) -> Driftwatch:
        """Return the use cases of a subsystem.

        Raises:
            InvalidInput: no subsystem has this name.
        """
        if subsystem not in self._shared.of:
            raise InvalidInput("subsystem", subsystem, f"one of {', '.join(self._shared.of)}")
        return self._shared.of[subsystem]

    @property
    def runner(self) -> Runner | None:
        """The runner of background jobs in this process, for all subsystems; None if it is not running."""
        return self._shared.runner

    # --- runs ---

    def ask_for_run(self, number: int, by: str, again: bool = False, by_itself: bool = False) -> Run:
        """Fetch and score a run in the background.

        Nothing is fetched twice: a complete run is left alone, and for an incomplete run only the missing items are
        fetched. A run that is already being fetched is left alone. A run scored by another model is rescored.

        Args:
            again: refetch everything, including stored items. This is also done for a run that may still have been
                in progress when it was fetched. Stored items are kept until replaced, and labels are kept.
            by_itself: requested automatically rather than by a user.

        Raises:
            Conflict: the run is being deleted.
            OtherSource: the missing items would come from a different source than the stored ones.
        """
        run = self._to_ask_for(number)
        if run and self.is_complete(run) and not again:
            return run
        again = again or bool(run and run.unsettled)
        if again or not (run and run.begun and self._is_to_be_scored(run)):
            self._require(number, run, self.origin)
        self.store.runs.request(number, by, len(self.subsystem.places()), self.origin, by_itself)
        args: dict[str, Any] = {"again": True} if again else {}
        self.store.jobs.ask(fetch.KIND, number, fetch.LANE, by, **args)
        self.wake()
        return self.store.runs.get(number)

    def is_complete(self, run: Run) -> bool:
        """Whether nothing is left to do: all items are stored and scored by the active model."""
        return run.is_complete and run.model == self.model

    def fetch_here(self, number: int, source: Source, by: str) -> Job:
        """Fetch a run in the background from a source that only this process can read.

        Raises:
            Conflict: another job is working on this run.
            OtherSource: the run comes from a different source.
        """
        self._require(number, self._to_ask_for(number), source.origin)
        job = self.store.jobs.begin(fetch.KIND, number, f"local:{number}", by, self.runner.owner, source=source.name)
        if job is None:
            raise Conflict(f"Run {number} is being worked on; try again when that is done.")
        try:
            self.store.runs.request(number, by, len(self.subsystem.places()), source.origin)
        except Conflict as error:
            self.store.jobs.end(job, JobState.FAILED, str(error))
            raise
        self._local_sources[job.id] = source
        self.runner.do(job)
        return job

    @property
    def origin(self) -> Origin:
        """The source that runs are fetched from unless a file is given."""
        url = self.settings.dqm_url
        return DEMONSTRATION if url is None else Origin(SourceKind.DQM, without_password(url))

    def _to_ask_for(self, number: int) -> Run | None:
        """Return the requested run, as far as it is known.

        Raises:
            Conflict: the run is being deleted.
        """
        try:
            run = self.store.runs.get(number)
        except NotFound:
            return None
        if run.state is RunState.DELETING:
            raise being_deleted(number)
        return run

    def _is_to_be_scored(self, run: Run) -> bool:
        return run.model != self.model or bool(run.summary.get("unscored"))

    def _require(self, number: int, run: Run | None, origin: Origin) -> None:
        """Refuse to mix items from different sources in one run.

        Raises:
            OtherSource: the run has items from another source.
            Conflict: the items would be simulated, but there are labels of real ones.
        """
        if run and run.begun:
            if run.origin:
                run.origin.require(number, origin)
        elif origin == DEMONSTRATION and self.store.labels.has_real(number):
            raise Conflict(
                f"There are labels of the real run {number}: the demonstration server cannot take its place. "
                "Set DQM_URL, or ask for another run."
            )

    def delete_run(self, number: int, by: str) -> Job:
        """Delete a run in the background, cancelling any job that works on it.

        Raises:
            NotFound: the run is not loaded.
        """
        self.store.runs.mark_deleting(number)
        self.store.events.record("run deleted", number, by)
        return self._delete(number, by)

    def reconcile(self) -> None:
        """Queue whatever a killed process left unfinished, either before or after it queued the job."""
        self.importing.reconcile()  # first, so that running imports are not taken for orphans
        self.reconcile_runs()
        self.reevaluations.reconcile()
        self.labelling.reconcile()
        kept = (("items", self.store.items), ("past scores", self.store.past_scores))
        for what, of_runs in (*kept, ("influences", self.store.influences)):
            loaded = of_runs.runs()
            for orphan in set(loaded) - self.store.runs.known(loaded):
                log.warning("removing %d %s of run %d, which is not loaded", of_runs.remove_run(orphan), what, orphan)

    def reconcile_runs(self) -> None:
        """The part of `reconcile` that is cheap enough to run every few seconds."""
        at_work = {job.run for job in self.store.jobs.active()}
        for run in self.store.runs.busy():
            if run.number in at_work:
                continue
            if run.state is RunState.DELETING:
                self._delete(run.number, run.requested_by)
            else:
                self.store.jobs.ask(fetch.KIND, run.number, fetch.LANE, run.requested_by)

    def poll(self) -> None:
        """Request the newest runs on the server's list that are not loaded and were not deleted.

        Also request the runs that are due for a retry: listed runs that were not found or whose fetch failed, runs with
        items that did not arrive, and runs that may still have been in progress when they were fetched.
        """
        listed = self._server().runs()
        deleted = self.store.events.runs_with("run deleted")
        newest = sorted(set(listed) - deleted, reverse=True)
        known = self.store.runs.known(newest)
        due = [run for run in self.store.runs.to_ask_again(datetime.now(UTC)) if run in set(newest)]
        for number in [*[n for n in newest if n not in known][:MOST_POLLED], *due[:MOST_POLLED]]:
            try:
                self.ask_for_run(number, by="poll", by_itself=True)
            except Conflict as error:
                log.info("%s", error)

    # --- models ---

    @property
    def model(self) -> str:
        """The active model version: its scores are shown and used for ranking."""
        return self.models.active

    def activate(self, name: str, by: str) -> Model:
        """Activate a model; from now on items are scored by it.

        Raises:
            Conflict: the model is refused.
        """
        model = self.models.activate(name)
        self.store.events.record("model activated", None, by, model=name)
        return model

    def reevaluate(self, runs: Sequence[int] | None, by: str) -> Reevaluation:
        """Rescore runs with the active model in the background: see `Reevaluations.begin`."""
        return self.reevaluations.begin(runs, by)

    def retire(self, name: str, by: str) -> Model:
        """Remove a model from the selection; its scores are kept.

        Raises:
            Conflict: the model is active.
        """
        model = self.models.retire(name)
        self.store.events.record("model retired", None, by, model=name)
        return model

    def set_threshold(self, name: str, use: str, score: float, why: str, by: str) -> SetThreshold:
        """Set the score from which a part is bad: see `Registry.set_threshold`."""
        threshold = self.models.set_threshold(name, use, score, why, by)
        self.store.events.record("threshold set", None, by, model=name, use=use, score=score)
        return threshold

    def compare(self, name: str, other: str, runs: int, by: str, chambers: int | None = None) -> Job:
        """Compare two models in the background: on the frozen sets, on all labels and on the latest runs.

        Args:
            runs: number of latest runs.
            chambers: number of simulated chambers to test on.

        Raises:
            NotFound: there is no model of one of these names.
            Conflict: models of this subsystem cannot be compared.
            InvalidInput: both models are the same, or the number of runs is out of range.
        """
        pair = (self.models.get(name).name, self.models.get(other).name)
        require_offered(self.subsystem.learning(), "compare")
        if name == other:
            raise InvalidInput("with", other, f"another model than {name}")
        within("runs", runs, COMPARED_RUNS)
        chambers = chambers or self.subsystem.learning().test_items["comparison"]
        args = {"model": pair[0], "other": pair[1], "runs": runs, "chambers": chambers}
        job, _ = self._ask(compare.KIND, compare.LANE, by, compare.about(*pair), **args)
        return job

    def last_comparison(self, name: str, other: str) -> Job | None:
        """The newest comparison job of two models, running or finished."""
        return self.store.jobs.last(compare.KIND, None, compare.about(name, other))

    def evaluate(self, name: str, by: str, chambers: int | None = None) -> Job:
        """Compare a model with simpler methods in the background and store the result for its page.

        Args:
            chambers: number of simulated chambers to test on.

        Raises:
            NotFound: there is no model of this name.
            Conflict: models of this subsystem cannot be evaluated.
        """
        name = self.models.get(name).name
        require_offered(self.subsystem.learning(), "evaluate")
        chambers = chambers or self.subsystem.learning().test_items["evaluation"]
        job, is_new = self._ask(evaluate.KIND, evaluate.LANE, by, name, model=name, chambers=chambers)
        if is_new:
            self.store.events.record("model evaluation asked for", None, by, model=name)
        return job

    def last_evaluation(self, name: str) -> Job | None:
        """The newest evaluation job of a model, running or finished."""
        return self.store.jobs.last(evaluate.KIND, None, name)

    def train(self, plan: Plan, by: str) -> Job:
        """Train a candidate from labels in the background; a request during a running training starts no second one.

        Raises:
            TooFewLabels: there are too few labels; the error says what is missing.
        """
        self.training.require_enough(plan)
        args = plan.to_args()
        job, is_new = self._ask(train.KIND, train.LANE, by, json.dumps(args), **args)
        if is_new:
            self.store.events.record("training asked for", None, by, job=job.id)
        return job

    def stop_training(self, job_id: str, by: str) -> Job:
        """Cancel a training and discard it. Does nothing if it has already ended.

        Raises:
            NotFound: there is no training with this id.
        """
        job = train.training_job(self.store, job_id)
        if job.active:
            self.store.jobs.cancel_one(job.id)
            self.store.events.record("training stopped", None, by, job=job.id)
        return train.training_job(self.store, job_id)

    def override_refusal(self, name: str, reason: str, by: str) -> Model:
        """Allow activating a model that was refused because it forgot too much.

        Raises:
            InvalidInput: the reason is missing or too long.
            NotFound: there is no such model.
            Conflict: the model is not refused.
        """
        reason = sound_text("reason", reason, MOST_REASON, least=1)
        model = self.models.override(name, reason, by)
        self.store.events.record("model refusal overridden", None, by, model=name, reason=reason)
        return model

    def _ask(self, kind: str, lane: str, by: str, about: str, **args: object) -> tuple[Job, bool]:
        """Queue a job that belongs to no run. If the same job is already pending, return it and False."""
        before = self.store.jobs.last(kind, None, about)
        job = self.store.jobs.ask(kind, None, lane, by, about, **args)
        self.wake()
        return job, before is None or before.id != job.id

    # --- explaining scores ---

    def influence(self, number: int, place: Any, model: str, method: Method | str) -> Explained | None:
        """What pushed the scores of an item; None if it is not computed yet: see `explain`.

        Raises:
            NotFound: there is no such item or model, or the item has no histogram.
            InvalidInput: there is no such method.
        """
        model, method = self.models.get(model).name, method_named(method)
        return self.store.influences.get(self._explicable(number, place), model, method)

    def explain(self, number: int, place: Any | None, model: str, method: Method | str, by: str) -> Job | None:
        """Compute in the background what pushed the scores of an item, or of all items of a run.

        Returns:
            The job that does it; None if nothing is left to do.

        Raises:
            NotFound: there is no such run, item or model, or the item has no histogram.
            InvalidInput: there is no such method.
            NotExplained: an attempt failed within the last minute.
        """
        model, method = self.models.get(model).name, method_named(method)
        self.store.runs.get(number)
        items = self.store.items.of_run(number) if place is None else [self._explicable(number, place)]
        if not self.store.influences.missing(number, items, model, method):
            return None
        about = explain.about(place, model, method)
        last = self.store.jobs.last(explain.KIND, number, about)
        if last and last.state is JobState.FAILED and datetime.now(UTC) - last.ended_at < FAILURE_STANDS:
            raise NotExplained(f"What pushed the scores of run {number} could not be worked out: {last.why}")
        args = {"place": place and asdict(place), "model": model, "method": str(method)}
        job = self.store.jobs.ask(explain.KIND, number, explain.LANE, by, about, **args)
        self.wake()
        return job

    def explained(self, number: int, model: str, method: Method | str) -> tuple[int, int]:
        """How many items of a run have a computed influence, and how many can have one."""
        items = [item for item in self.store.items.of_run(number) if item.hits is not None]
        missing = self.store.influences.missing(number, items, model, method_named(method))
        return len(items) - len(missing), len(items)

    def _explicable(self, number: int, place: Any) -> Item:
        item = self.store.items.look(number, place)
        if item.missing:
            raise NotFound(f"Run {number} has no histogram of {place}: {REASON_WORDS[item.missing]}.")
        return item

    # --- lifecycle ---

    def start(self, only: Collection[str] | None = None) -> None:
        """Run background jobs in this process: all queued ones, or only those with the given ids."""
        of_each = {name: each._handlers() for name, each in self._shared.of.items()}
        handlers = {
            kind: BySubsystem({name: mine[kind] for name, mine in of_each.items()}) for kind in self._handlers()
        }
        self._shared.runner = Runner(self.store, handlers, only)
        self._shared.runner.start()

    def _handlers(self) -> dict[str, Handler]:
        return {
            fetch.KIND: fetch.Fetching(self.store, self._open_source, self.scoring, self.labelling.project_run),
            delete.KIND: delete.Deleting(self.store),
            explain.KIND: explain.Explaining(self.store, self.models),
            compare.KIND: compare.Comparing(self.store, self.models),
            evaluate.KIND: evaluate.Evaluations(self.store, self.models),
            train.KIND: self.training,
            drift.KIND: drift.Drifting(self.store, self.models, self._measuring),
            reevaluate.KIND: reevaluate.Reevaluating(self.store, self.scoring, self.reevaluations),
        }

    def serve(self) -> None:
        """Start all background work of the process that serves the pages, for all subsystems.

        Raises:
            ModelRefused: there is no usable model.
        """
        everything = tuple(self._shared.of.values())
        for each in everything:
            log.info("%s: the active model is %s", each.subsystem.name, each.models.active)
            each.reconcile()
        self.start()
        for each in everything:
            for regularly in (each.reconcile_runs, each.reevaluations.reconcile, each.labelling.reconcile):
                self.runner.every(RECONCILE_SECONDS, regularly)
            self.runner.every(RECONCILE_SECONDS, each.importing.reconcile)
            self.runner.every(RECONCILE_SECONDS, each.drifts.reconcile)
            if self.settings.dqm_poll_minutes:
                self.runner.every(60 * self.settings.dqm_poll_minutes, each.poll)
        if self.settings.dqm_url is None:
            log.info("demonstration DQM server at %s", self._shared.demo.url())
            if not self.store.runs.any():  # the first start of a new installation
                for number in DEMONSTRATION_RUNS:
                    self.ask_for_run(number, by="demonstration")

    def close(self) -> None:
        """Stop all work and disconnect."""
        if self.runner:
            self.runner.stop()
        for each in self._shared.of.values():
            if each._server_source:
                each._server_source.close()
        self._shared.demo.stop()
        self.store.close()

    def _delete(self, number: int, by: str) -> Job:
        for kind in (fetch.KIND, explain.KIND, reevaluate.KIND):
            self.store.jobs.cancel(kind, number)
        job = self.store.jobs.ask(delete.KIND, number, delete.LANE, by)
        self.wake()
        return job

    def _open_source(self, job: Job) -> Source:
        if job.local:
            return self._local_sources.pop(job.id)
        if origin := self.store.runs.get(job.run).origin:
            origin.require(job.run, self.origin)
        return self._server()

    def _server(self) -> Server:
        with self._server_lock:
            if self._server_source is None:
                url = None if self.settings.dqm_url else self._shared.demo.url()
                self._server_source = self.subsystem.server(self.settings, url)
            return self._server_source
