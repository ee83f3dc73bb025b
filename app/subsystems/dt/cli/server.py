"""The command `flask demo-dqm`."""

from __future__ import annotations

import sys
import threading

import click

from app.cli.command import Number, Whole, command
from app.driftwatch import Driftwatch


@command("demo-dqm")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=Whole(0, 65_535), default=8081, show_default=True, help="0 takes a free one.")
@click.option("--latency", type=Number(), default=0.0, show_default=True, help="Seconds from a request to its reply.")
@click.option("--jitter", type=Number(), default=0.0, show_default=True, help="Up to so many seconds more, at random.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=SHARE[:TRIES]]",
    help="Let this share of the chambers fail in this way, for so many tries or for ever; may be repeated. "
    "A wrong kind lists all.",
)
@click.option("--until-stdin-ends", is_flag=True, hidden=True)
def demo_dqm(
    driftwatch: Driftwatch,
    host: str,
    port: int,
    latency: float,
    jitter: float,
    faults: tuple[str, ...],
    until_stdin_ends: bool,
) -> None:
    """Serve simulated runs as the DQM server does. Prints its base URL first: what DQM_URL takes."""
    from app.subsystems.dt.sources.demo import DemoOptions, DemoServer, Fault

    options = DemoOptions(latency=latency, jitter=jitter, faults=tuple(Fault.parse(fault) for fault in faults))
    server = DemoServer(options, host, port)
    click.echo(server.url)

    def stop_when_stdin_ends() -> None:
        sys.stdin.read()
        server.stop()

    if until_stdin_ends:
        threading.Thread(target=stop_when_stdin_ends, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()
