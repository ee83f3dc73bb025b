"""Debian's Firefox, driven by the protocol that it brings along (Marionette): it restores what was in a form.

Playwright drives a Firefox of its own only, which Debian has not, and geckodriver is in no Debian release for ESR. What
a test needs is a few commands of WebDriver; see remote/marionette/driver.sys.mjs of Firefox for all there are.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waiting import wait_until

PREFERENCES = {
    "marionette.port": 0,  # a free one, which it writes into its profile
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "",
}


def binary() -> str | None:
    """Where Firefox is; None where there is none."""
    return os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


class Firefox:
    """A Firefox without windows, with a profile of its own. What it shows is the tab that was gone to last."""

    def __init__(self, folder: Path) -> None:
        given = "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        (folder / "user.js").write_text(given)
        environment = {**os.environ, "MOZ_HEADLESS": "1", "HOME": str(folder)}
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [binary(), "--marionette", "--no-remote", "--profile", str(folder)],
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        port = folder / "MarionetteActivePort"
        wait_until(lambda: (port.exists() and port.read_text()) or self._process.poll() is not None)
        self._socket = socket.create_connection(("127.0.0.1", int(port.read_text())))
        self._reader = self._socket.makefile("rb")
        self._next = 0
        self._read()  # it says who it is
        self.ask("WebDriver:NewSession", capabilities={"pageLoadStrategy": "normal"})

    # --- what a person does ---

    def go(self, url: str) -> None:
        self.ask("WebDriver:Navigate", url=url)

    def reload(self) -> None:
        """As its button does: WebDriver's own command leaves out that Firefox restores what was in forms."""
        self.run("window.before = true; location.reload()")
        self.wait("return !window.before && document.readyState === 'complete'")

    def click(self, selector: str) -> None:
        self.ask("WebDriver:ElementClick", id=self._element(selector))

    def write(self, selector: str, text: str) -> None:
        self.ask("WebDriver:ElementSendKeys", id=self._element(selector), text=text)

    def new_tab(self, url: str) -> str:
        """Open another tab and look at it; its name, for `look_at`."""
        name = self.ask("WebDriver:NewWindow", type="tab")["handle"]
        self.look_at(name)
        self.go(url)
        return name

    def look_at(self, tab: str) -> None:
        self.ask("WebDriver:SwitchToWindow", handle=tab)

    def tabs(self) -> list[str]:
        return self.ask("WebDriver:GetWindowHandles")

    # --- what a test needs ---

    def run(self, script: str, *args: object) -> Any:
        """What a script of a page returns: `run("return document.title")`."""
        return self.ask("WebDriver:ExecuteScript", script=script, args=list(args))

    def wait(self, script: str) -> None:
        """Wait until a script returns what counts as true."""
        wait_until(lambda: self.run(script))

    def add_cookie(self, name: str, value: str, at: str) -> None:
        """Have a cookie of an address, as if it had set it."""
        self.go(f"{at}/static/app.css")
        self.ask("WebDriver:AddCookie", cookie={"name": name, "value": value, "path": "/"})

    def forget(self) -> None:
        """Close all tabs but one, and forget all cookies, for the next test."""
        for tab in self.tabs()[1:]:
            self.look_at(tab)
            self.ask("WebDriver:CloseWindow")
        self.look_at(self.tabs()[0])
        self.ask("WebDriver:DeleteAllCookies")
        self.go("about:blank")

    def close(self) -> None:
        try:
            self.ask("Marionette:Quit", flags=["eForceQuit"])
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.close()
            self._socket.close()
            self._log.close()

    def ask(self, command: str, **parameters: object) -> Any:
        """Have a command done.

        Raises:
            AssertionError: it could not be done; says why.
        """
        self._next += 1
        message = json.dumps([0, self._next, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, f"{command} {parameters}: {error['error']}: {error['message']}"
        return result["value"] if isinstance(result, Mapping) and result.keys() == {"value"} else result

    def _element(self, selector: str) -> str:
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)
        return next(iter(found.values()))

    def _read(self) -> Any:
        length = b""
        while (byte := self._reader.read(1)) != b":":
            assert byte, "Firefox has ended"
            length += byte
        return json.loads(self._reader.read(int(length)))
