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
class ModelPages:
    """What the pages of the models show of a subsystem, in place of the plain tables of figures.

    Attributes:
        templates: the folder of `templates` with its `models.html`, `model.html`, `comparison.html`, `training.html`,
            `training_progress.html`; each extends the plain one in `models` and fills its blocks.
        of_model: (all that is known of a model, fields of the address or the form) → what `model.html` needs besides.
        of_comparison: (stored figures, as JSON) → what `comparison.html` needs besides.
        of_form: () → what `models.html` needs for the form that asks for a training.
        read_plan: (form) → the plan; None where something in it is wrong, then the form has it.
        of_training: (job) → what `training.html` and `training_progress.html` need besides.
        comparison_text: (stored figures, as JSON) → the same as tables for a terminal.
    """

    templates: str
    of_model: Callable[[Any, Any], dict[str, Any]]
    of_comparison: Callable[[str], dict[str, Any]]
    of_form: Callable[[], dict[str, Any]]
    read_plan: Callable[[Any], Any | None]
    of_training: Callable[[Any], dict[str, Any]]
    comparison_text: Callable[[str], str]


def no_commands() -> Sequence[click.Command]:
    return ()


@dataclass(frozen=True)
class Views:
    """The views that a subsystem adds.

    Attributes:
        pages: its own pages, at addresses used by no other subsystem.
        instead: endpoint → the view for this subsystem, replacing the common one.
        item: the pages of its items, replacing the plain ones.
        run_picture: of a run's items, beside the list of those that are bad; None where there is none.
        styles: sheets of `static` that its pages need.
        models: what the pages of its models show, in place of the plain figures.
        api: parts of the API.
        commands: makes those of the command line; one of the name of a plain command is used in its place.
    """

    pages: Sequence[Blueprint] = ()
    instead: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    item: ItemPages | None = None
    run_picture: RunPicture | None = None
    styles: Sequence[str] = ()
    models: ModelPages | None = None
    api: Sequence[Blueprint] = ()
    commands: Callable[[], Sequence[click.Command]] = no_commands
