"""What Driftwatch can do, as one object: pages, API, commands and the background call this, and nothing below it."""

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
FAILURE_STANDS = timedelta(minutes=1)  # what could not be explained is not tried again sooner
COMPARED_RUNS = range(1, 51)  # how many runs can be asked for: each takes some seconds
MOST_REASON = 2_000  # characters
MOST_POLLED = 20  # runs asked for at one look at the server's list, newest first


class _Shared:
    """What the subsystems have in common: the database, the accounts, the background."""

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
    """The use cases of one subsystem; `of` has those of the others. Made without connecting to anything.

    Args:
        subsystems: those that there are; the first is meant where nobody names one.
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
        """The use cases of a subsystem.

        Raises:
            InvalidInput: there is none of this name.
        """
        if subsystem not in self._shared.of:
            raise InvalidInput("subsystem", subsystem, f"one of {', '.join(self._shared.of)}")
        return self._shared.of[subsystem]

    @property
    def runner(self) -> Runner | None:
        """What does jobs in the background of this process, of all subsystems; None while nothing does."""
        return self._shared.runner

    # --- runs ---

    def ask_for_run(self, number: int, by: str, again: bool = False, by_itself: bool = False) -> Run:
        """Have a run fetched and scored in the background.

        Nothing is fetched twice: a complete run stays as it is, of an incomplete one only what is missing is fetched,
        and while it is being fetched there is nothing more to do. One that another model scored is scored again.

        Args:
            again: all of it, also what is there. So is one fetched that was perhaps still being taken then. What is
                there stays until there is more in its place, and so do labels.
            by_itself: nobody asked for it just now.

        Raises:
            Conflict: it is being deleted.
            OtherSource: what is missing of it would come from another source than what is there.
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
        """Whether nothing is left to do: all is there, scored by the model in use."""
        return run.is_complete and run.model == self.model

    def fetch_here(self, number: int, source: Source, by: str) -> Job:
        """Fetch a run from a source that only this process can read, in the background of this process.

        Raises:
            Conflict: somebody else is working on this run.
            OtherSource: it comes from another source.
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
        """What runs are fetched from, where nobody gives a file."""
        url = self.settings.dqm_url
        return DEMONSTRATION if url is None else Origin(SourceKind.DQM, without_password(url))

    def _to_ask_for(self, number: int) -> Run | None:
        """A run that somebody asks for, as far as it is known.

        Raises:
            Conflict: it is being deleted.
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
        """Refuse to mix what comes from a source with what is there of a run.

        Raises:
            OtherSource: items of it came from another source.
            Conflict: its items would be simulated, and there are labels of its real ones.
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
        """Have a run deleted, stopping what works on it.

        Raises:
            NotFound: it is not loaded.
        """
        self.store.runs.mark_deleting(number)
        self.store.events.record("run deleted", number, by)
        return self._delete(number, by)

    def reconcile(self) -> None:
        """Queue what a program that was killed left undone: between noting a wish and queueing its job, or after."""
        self.importing.reconcile()  # before what has no run is taken for left over
        self.reconcile_runs()
        self.reevaluations.reconcile()
        self.labelling.reconcile()
        kept = (("items", self.store.items), ("past scores", self.store.past_scores))
        for what, of_runs in (*kept, ("influences", self.store.influences)):
            loaded = of_runs.runs()
            for orphan in set(loaded) - self.store.runs.known(loaded):
                log.warning("removing %d %s of run %d, which is not loaded", of_runs.remove_run(orphan), what, orphan)

    def reconcile_runs(self) -> None:
        """The part of `reconcile` that can be done every few seconds."""
        at_work = {job.run for job in self.store.jobs.active()}
        for run in self.store.runs.busy():
            if run.number in at_work:
                continue
            if run.state is RunState.DELETING:
                self._delete(run.number, run.requested_by)
            else:
                self.store.jobs.ask(fetch.KIND, run.number, fetch.LANE, run.requested_by)

    def poll(self) -> None:
        """Ask for the newest runs that the server lists, that we lack, and that nobody deleted.

        Besides for what is due to be asked for again: listed runs that were not found or whose fetch failed, those of
        which items did not arrive, and those that were perhaps still being taken.
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
        """The version of the model whose scores are shown and ranked by."""
        return self.models.active

    def activate(self, name: str, by: str) -> Model:
        """Put a model into use: what is scored from now on is scored by it.

        Raises:
            Conflict: it is refused.
        """
        model = self.models.activate(name)
        self.store.events.record("model activated", None, by, model=name)
        return model

    def reevaluate(self, runs: Sequence[int] | None, by: str) -> Reevaluation:
        """Have runs scored again by the model in use, in the background: see `Reevaluations.begin`."""
        return self.reevaluations.begin(runs, by)

    def retire(self, name: str, by: str) -> Model:
        """Take a model out of the choice; its scores stay.

        Raises:
            Conflict: it is in use.
        """
        model = self.models.retire(name)
        self.store.events.record("model retired", None, by, model=name)
        return model

    def set_threshold(self, name: str, use: str, score: float, why: str, by: str) -> SetThreshold:
        """Set from which score a part is bad: see `Registry.set_threshold`."""
        threshold = self.models.set_threshold(name, use, score, why, by)
        self.store.events.record("threshold set", None, by, model=name, use=use, score=score)
        return threshold

    def compare(self, name: str, other: str, runs: int, by: str, chambers: int | None = None) -> Job:
        """Have two models compared in the background: on the frozen sets, on all labels, on the last runs.

        Args:
            runs: how many of the last ones.
            chambers: simulated ones to test on.

        Raises:
            NotFound: there is no model of one of the names.
            Conflict: the subsystem's models cannot be compared.
            InvalidInput: they are the same, or so many runs are not compared.
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
        """The newest job that compares, or compared, two models."""
        return self.store.jobs.last(compare.KIND, None, compare.about(name, other))

    def evaluate(self, name: str, by: str, chambers: int | None = None) -> Job:
        """Have a model compared with simpler methods in the background, and the result kept for its page.

        Args:
            chambers: simulated ones to test on.

        Raises:
            NotFound: there is no model of this name.
            Conflict: the subsystem's models cannot be evaluated.
        """
        name = self.models.get(name).name
        require_offered(self.subsystem.learning(), "evaluate")
        chambers = chambers or self.subsystem.learning().test_items["evaluation"]
        job, is_new = self._ask(evaluate.KIND, evaluate.LANE, by, name, model=name, chambers=chambers)
        if is_new:
            self.store.events.record("model evaluation asked for", None, by, model=name)
        return job

    def last_evaluation(self, name: str) -> Job | None:
        """The newest job that evaluates, or evaluated, a model."""
        return self.store.jobs.last(evaluate.KIND, None, name)

    def train(self, plan: Plan, by: str) -> Job:
        """Have a candidate trained from labels in the background; asked for twice while it is made, it is made once.

        Raises:
            TooFewLabels: and what is missing.
        """
        self.training.require_enough(plan)
        args = plan.to_args()
        job, is_new = self._ask(train.KIND, train.LANE, by, json.dumps(args), **args)
        if is_new:
            self.store.events.record("training asked for", None, by, job=job.id)
        return job

    def stop_training(self, job_id: str, by: str) -> Job:
        """Stop a training; nothing of it is kept. Nothing happens to one that has ended.

        Raises:
            NotFound: there is none of this id.
        """
        job = train.training_job(self.store, job_id)
        if job.active:
            self.store.jobs.cancel_one(job.id)
            self.store.events.record("training stopped", None, by, job=job.id)
        return train.training_job(self.store, job_id)

    def override_refusal(self, name: str, reason: str, by: str) -> Model:
        """Let a model be activated that was refused because it forgot too much.

        Raises:
            InvalidInput: no reason is given, or a very long one.
            NotFound: there is no such model.
            Conflict: it is not refused.
        """
        reason = sound_text("reason", reason, MOST_REASON, least=1)
        model = self.models.override(name, reason, by)
        self.store.events.record("model refusal overridden", None, by, model=name, reason=reason)
        return model

    def _ask(self, kind: str, lane: str, by: str, about: str, **args: object) -> tuple[Job, bool]:
        """Queue a job that works on no run; where the same is under way already, that one, and False."""
        before = self.store.jobs.last(kind, None, about)
        job = self.store.jobs.ask(kind, None, lane, by, about, **args)
        self.wake()
        return job, before is None or before.id != job.id

    # --- why scores are as they are ---

    def influence(self, number: int, place: Any, model: str, method: Method | str) -> Explained | None:
        """What pushed the scores of an item of a run; None where that is not worked out yet: see `explain`.

        Raises:
            NotFound: there is no such item, it has no histogram, or there is no such model.
            InvalidInput: there is no such method.
        """
        model, method = self.models.get(model).name, method_named(method)
        return self.store.influences.get(self._explicable(number, place), model, method)

    def explain(self, number: int, place: Any | None, model: str, method: Method | str, by: str) -> Job | None:
        """Have worked out, in the background, what pushed the scores of an item, or of all items of a run.

        Returns:
            The job that does it; None where nothing is left to do.

        Raises:
            NotFound: there is no such run, item or model, or the item has no histogram.
            InvalidInput: there is no such method.
            NotExplained: it was tried within the last minute, and failed.
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
        """How many items of a run have their influence worked out, and how many can have it."""
        items = [item for item in self.store.items.of_run(number) if item.hits is not None]
        missing = self.store.influences.missing(number, items, model, method_named(method))
        return len(items) - len(missing), len(items)

    def _explicable(self, number: int, place: Any) -> Item:
        item = self.store.items.look(number, place)
        if item.missing:
            raise NotFound(f"Run {number} has no histogram of {place}: {REASON_WORDS[item.missing]}.")
        return item

    # --- life ---

    def start(self, only: Collection[str] | None = None) -> None:
        """Do jobs in the background of this process: all that are queued, or only those with the given ids."""
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
        """Begin all that the process which serves the pages does besides, for all subsystems.

        Raises:
            ModelRefused: there is no model to use.
        """
        everything = tuple(self._shared.of.values())
        for each in everything:
            log.info("%s: the model in use is %s", each.subsystem.name, each.models.active)
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
            if not self.store.runs.any():  # a newcomer's first start
                for number in DEMONSTRATION_RUNS:
                    self.ask_for_run(number, by="demonstration")

    def close(self) -> None:
        """Put all work away and disconnect."""
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
