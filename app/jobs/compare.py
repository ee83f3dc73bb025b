"""Comparing two models in the background: on the frozen sets, on all labels, and on the last runs.

Nothing is kept until all of it is there; a job that was killed begins again.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.jobs.runner import Work
from app.ml.labelled_items import ELSEWHERE, Choice, labelled_items
from app.ml.side_by_side import Known, pictures, side_by_side
from app.ml.split import Part
from app.registry import Registry
from app.store import Store
from app.store.jobs import Job
from app.store.runs import RunState

KIND = "compare"
LANE = "compare"  # one at a time: each takes all cores


def about(model: str, other: str) -> str:
    """What tells one such job from another."""
    return f"{model}|{other}"


class _Stopped(Exception):
    """Somebody asked for it to stop, or this program ends."""


class Comparing:
    """The handler of compare jobs. The first one of a process imports TensorFlow."""

    def __init__(self, store: Store, models: Registry) -> None:
        self._store, self._models = store, models

    def __call__(self, job: Job, work: Work) -> None:
        pair = (job.args["model"], job.args["other"])
        labels = labelled_items(self._store, Choice())
        known = [
            Known(
                one.run,
                one.occupancy,
                one.targets,
                tested=one.part is Part.TEST,
                drawn=one.drawn,
                training=one.part is Part.TRAINING,
            )
            for one in labels.items
        ]

        def report(step: str) -> None:
            if work.over:
                raise _Stopped
            self._store.jobs.note(job, step=step)

        try:
            found = side_by_side(
                (self._models.scorer(pair[0]), self._models.scorer(pair[1])),
                known,
                self._runs(job.args["runs"]),
                labels.composition.left_out.get(ELSEWHERE, 0),
                job.args["chambers"],
                report,
            )
            report("pictures")
            drawn = {name: svg.decode() for name, svg in pictures(found).items()}
        except _Stopped:
            return
        self._store.comparisons.keep(pair, found.model_dump_json(), drawn, job.by)

    def failed(self, job: Job, why: str) -> None:
        """The job keeps why, for its page."""

    def _runs(self, number: int) -> Iterator[tuple[int, list[Known]]]:
        """The last runs with their chambers, read one by one."""
        for run in self._store.runs.find(RunState.FINISHED, limit=number, together=True):
            items = self._store.items.of_run(run.number, histograms=True)
            yield run.number, [Known(item.run, item.histogram) for item in items if item.histogram is not None]
