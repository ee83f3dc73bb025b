"""Who may do what: the roles, and the one table of actions that pages, API and commands ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.errors import Forbidden, SignInNeeded


class Role(StrEnum):
    """What an account is trusted with, from the least to the most; each may do all that the one before it may.

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

    # The order of the words, which every string has, would be a wrong one.
    def __lt__(self, other: str) -> bool:
        return self.rank < Role(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Role(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Role(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Role(other).rank


# Whatever changes something, or is not for everybody, stands here with the least role that may do it.
ACTIONS: dict[str, Role] = {
    "view": Role.VIEWER,
    "export": Role.VIEWER,  # accounts and passwords are in no export
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
    "keep_evaluation": Role.EXPERT,  # with its model
    "reevaluate": Role.ADMIN,
    "delete_run": Role.ADMIN,
    "import_data": Role.ADMIN,  # may also export what a second opinion must not be swayed by
    "users": Role.ADMIN,
}

ANONYMOUS = "anonymous"


@dataclass(frozen=True)
class Account:
    """Who acts: a person's account, or the anonymous one.

    Attributes:
        name: what `by` fields hold.
        role: None where it may do nothing at all.
        stamp: what a session must know to go on; a new one ends the sessions that there are.
    """

    name: str
    role: Role | None
    disabled: bool = False
    has_password: bool = False
    created_at: datetime | None = None
    created_by: str = ""
    signed_in: bool = True  # or may act by its name alone, as at a command line
    stamp: str = field(default="", repr=False, compare=False)

    def may(self, action: str) -> bool:
        """Whether this account may do something that `ACTIONS` names.

        >>> Account("ann", Role.SHIFTER).may("label"), Account("ann", Role.SHIFTER).may("fetch")
        (True, False)
        """
        return self.role is not None and not self.disabled and self.role >= ACTIONS[action]

    def check(self, action: str) -> None:
        """Refuse what this account may not do.

        Raises:
            SignInNeeded: nobody is signed in.
            Forbidden: its role is too low.
        """
        if self.may(action):
            return
        needed = ACTIONS[action]
        if not self.signed_in:
            raise SignInNeeded(f"Sign in first: this takes the role {needed}.")
        if self.disabled:
            raise Forbidden(f"The account {self.name} is disabled.")
        raise Forbidden(f"This takes the role {needed}; {self.name} has the role {self.role}.")
