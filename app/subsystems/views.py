"""A subsystem's own pages, parts of the API and commands, which the program adds to the common ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from flask import Blueprint


@dataclass(frozen=True)
class ItemPages:
    """The pages of one item.

    Attributes:
        show: endpoint of its page, for `url_for` with the run and the keys of its place; `?part=item` is the part
            that differs between items.
        picture: endpoint of its thumbnail.
        find: endpoint of the form that finds one.
        show_again: (run, place, `StaleLabel`, refused answer, comment) → the page of an item that changed while
            somebody looked at it, with that answer to be confirmed or changed.
        scripts: further scripts in `static` for the labelling page.
        answer_keys, look_keys: the keys for answering, and for looking: (keys, what they do).
    """

    show: str
    picture: str
    find: str
    show_again: Callable[[int, Any, Any, Mapping[int, str], str], tuple[str, int]]
    scripts: Sequence[str] = ()
    answer_keys: Sequence[tuple[str, str]] = ()
    look_keys: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class RunPicture:
    """The picture of a run's items.

    Attributes:
        template: draws what `make` gave, as `map`, which has a `title`.
        views: what it can show → in words; the first unless asked otherwise.
        make: (run, its items, view, `Reader`, `RunReport` or None) → the picture.
    """

    template: str
    views: Mapping[str, str]
    make: Callable[[Any, Sequence[Any], str, Any, Any], Any]


@dataclass(frozen=True)
class Views:
    """The views that a subsystem adds.

    Attributes:
        pages: of its own, at addresses that no other has.
        instead: endpoint → what answers it for this subsystem, in place of what answers it for the others.
        item: the pages of its items, in place of the plain ones.
        run_picture: of a run's items, beside the list of those that are bad; None where there is none.
        styles: sheets of `static` that its pages need.
        api: parts of the API.
        commands: commands of the command line.
    """

    pages: Sequence[Blueprint] = ()
    instead: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    item: ItemPages | None = None
    run_picture: RunPicture | None = None
    styles: Sequence[str] = ()
    api: Sequence[Blueprint] = ()
    commands: Sequence[click.Command] = ()
