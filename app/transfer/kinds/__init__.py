"""The kinds of data that can be exported and imported: their columns, and conversion between documents and rows.

Rows from outside are validated as strictly as other input: any document that is created here may be stored. Derived
state (the label state of an item, its disagreement with the network, the known problems that cover it) is in no kind;
it is recomputed. Leases on items are not exported either. Accounts and passwords never leave the database. Database
access is in `app.store.transfer`.
"""

from __future__ import annotations

from app.subsystems import Subsystem
from app.transfer.kinds.kind import DataKind
from app.transfer.kinds.labels import LabelsKind, ProblemsKind
from app.transfer.kinds.models import ModelsKind, ThresholdsKind
from app.transfer.kinds.runs import HistogramsKind, PastScoresKind, RunsKind, ScoresKind


def all_kinds(subsystem: Subsystem) -> dict[str, DataKind]:
    """name → kind, in import order: prerequisites come first."""
    kinds = (
        RunsKind,
        HistogramsKind,
        ModelsKind,
        ThresholdsKind,
        LabelsKind,
        ScoresKind,
        PastScoresKind,
        ProblemsKind,
    )
    return {kind.name: kind(subsystem) for kind in kinds}
