"""The entry point: `flask` finds its commands here, and a WSGI server the application (`wsgi:create_app()`)."""

from flask import Flask

from app.errors import SettingsError
from config import Settings


def create_app() -> Flask:
    """The application with the settings of the environment; what the commands use."""
    import app
    from app.cli.terminal import let_output_take_everything

    let_output_take_everything()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        raise SystemExit(f"Driftwatch cannot start:\n{error}") from None
    return app.create_app(settings)
