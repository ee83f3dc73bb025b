"""Bench (c): bytes on disk a chamber, indexes included, as MongoDB reports them after a checkpoint.

    .venv/bin/python -m bench.disk

Stores simulated runs with scores in a separate embedded server, and compares this with the obvious format: histograms
as nested arrays in documents, without our compression (MongoDB's own applies to both).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from pymongo import MongoClient

from app.store import Store
from app.subsystems.dt import DT
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import simulate_run
from app.subsystems.dt.verdict import judge, judge_before
from config import Settings

RUNS = range(302_601, 302_611)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Settings(data_dir=Path(folder)), DT)
        for number in RUNS:
            simulated = simulate_run(number)
            occupancies = [s.occupancy for s in simulated.values()]
            store.items.store(number, [(c, s.occupancy) for c, s in simulated.items()], "bench")
            before = judge_before(occupancies, layer_bins(occupancies))
            scores = np.random.default_rng(number).beta(0.1, 2, int(before.open.sum()))
            judgements = zip(simulated, judge(before, scores, 0.5), DT.explain(occupancies), strict=True)
            store.items.keep_scores(number, judgements, "bench-model")
        with MongoClient(store._connection._embedded.uri) as client:
            database = client["driftwatch"]
            arrays = database["arrays"]
            for document in list(database["items"].find()):
                place = DT.place(**{key: document[key] for key in DT.keys})
                counts = DT.decode(place, document.pop("occupancy")).counts
                arrays.insert_one(document | {"occupancy": counts.tolist()})
            client.admin.command("fsync")
            ours, theirs = (database.command("collStats", name) for name in ("items", "arrays"))
        store.close()
    chambers = len(RUNS) * len(DT.places())
    data, plain = ours["storageSize"] / chambers, theirs["storageSize"] / chambers
    print(f"{chambers:,} chambers of {len(RUNS)} runs")
    print(
        f"histogram, scores, verdicts   {data:6.0f} bytes a chamber on disk ({ours['avgObjSize']:,} before compression)"
    )
    print(f"indexes                       {ours['totalIndexSize'] / chambers:6.0f} bytes a chamber")
    print(f"the same with arrays in place of bytes {plain:6.0f} bytes a chamber; ours / that: {data / plain:.2f}")


if __name__ == "__main__":
    main()
