"""Permissions: the roles, and the single table of actions that pages, API and commands consult."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.errors import Forbidden, SignInNeeded


class Role(StrEnum):
    """What an account may do, in ascending order; each role may do everything that the previous one may.

    >>> Role.VIEWER < Role.SHIFTER < Role.EXPERT < Role.ADMIN
    True
    """

    VIEWER = "viewer"
    SHIFTER = "shifter"
    EXPERT = "expert"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    # The alphabetical order inherited from str would be wrong.
    def __lt__(self, other: str) -> bool:
        return self.rank < Role(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Role(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Role(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Role(other).rank


# Every action that changes something or is restricted is listed here with the lowest role that may do it.
ACTIONS: dict[str, Role] = {
    "view": Role.VIEWER,
    "export": Role.VIEWER,  # no export contains accounts or passwords
    "label": Role.SHIFTER,
    "fetch": Role.EXPERT,
    "resolve": Role.EXPERT,  # a disagreement between two people
    "known_problems": Role.EXPERT,
    "agreement": Role.EXPERT,
    "train": Role.EXPERT,
    "override_refusal": Role.EXPERT,  # of a model from labels that forgot too much
    "import_model": Role.EXPERT,
    "activate_model": Role.EXPERT,
    "retire_model": Role.EXPERT,
    "measure_drift": Role.EXPERT,
    "compare_models": Role.EXPERT,
    "set_threshold": Role.EXPERT,
    "keep_evaluation": Role.EXPERT,  # with the run's model
    "reevaluate": Role.ADMIN,
    "delete_run": Role.ADMIN,
    "import_data": Role.ADMIN,  # may also export labels that could influence a second opinion
    "users": Role.ADMIN,
}

ANONYMOUS = "anonymous"


@dataclass(frozen=True)
class Account:
    """The acting account: a person's, or the anonymous one.

    Attributes:
        name: value of the `by` fields.
        role: None if the account may do nothing.
        stamp: value that a session must carry; a new stamp ends all existing sessions.
    """

    name: str
    role: Role | None
    disabled: bool = False
    has_password: bool = False
    created_at: datetime | None = None
    created_by: str = ""
    signed_in: bool = True  # or acts by name alone, as on the command line
    stamp: str = field(default="", repr=False, compare=False)

    def may(self, action: str) -> bool:
        """Whether this account may perform an action of `ACTIONS`.

        >>> Account("ann", Role.SHIFTER).may("label"), Account("ann", Role.SHIFTER).may("fetch")
        (True, False)
        """
        return self.role is not None and not self.disabled and self.role >= ACTIONS[action]

    def check(self, action: str) -> None:
        """Raise unless this account may perform an action.

        Raises:
            SignInNeeded: nobody is signed in.
            Forbidden: the account's role is too low.
        """
        if self.may(action):
            return
        needed = ACTIONS[action]
        if not self.signed_in:
            raise SignInNeeded(f"Sign in first: this takes the role {needed}.")
        if self.disabled:
            raise Forbidden(f"The account {self.name} is disabled.")
        raise Forbidden(f"This takes the role {needed}; {self.name} has the role {self.role}.")
