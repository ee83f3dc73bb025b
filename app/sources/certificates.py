"""Who we are and whom we trust over TLS: an authority bundle, and a client certificate or a grid proxy.

The server's certificate is always verified; there is no setting to switch that off.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import Reason, SourceDown
from config import Settings

log = logging.getLogger(__name__)

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")


@dataclass(frozen=True)
class Certificates:
    """The certificates used with one server.

    Attributes:
        authorities: PEM file of the trusted authorities, replacing the public ones, or a folder of such files, each
            named by the hash of its subject; None for the public ones.
        certificate: PEM file of the client certificate, or a grid proxy that includes the key; None for no certificate.
        key: PEM file of the key, if it is in a separate file.
    """

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, settings: Settings, url: str, environment: Mapping[str, str] | None = None) -> Certificates:
        """The certificates for `url`.

        A server without TLS gets none. Without DQM_CERT and DQM_PROXY, the grid's convention applies: the proxy named
        by X509_USER_PROXY, otherwise /tmp/x509up_u<uid>, if the file is ours.
        """
        if not url.startswith("https://"):
            return cls()
        if settings.dqm_cert:
            return cls(settings.dqm_ca_bundle, settings.dqm_cert, settings.dqm_key)
        environment = os.environ if environment is None else environment
        return cls(settings.dqm_ca_bundle, settings.dqm_proxy or _grid_proxy(environment))

    def check(self) -> None:
        """Load the files once, to report a mistake in them as a sentence and not as a failed handshake.

        Raises:
            SourceDown: a file is missing or not PEM, certificate and key do not match, the key has a passphrase, or
                the folder has no file named by a hash.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authorities and self.authorities.is_dir():
            self._check_folder(self.authorities)
        elif self.authorities:
            try:
                context.load_verify_locations(self.authorities)
            except OSError as error:
                raise SourceDown(
                    Reason.NO_ANSWER,
                    f"The authorities in {self.authorities} cannot be read ({_why(error)}): "
                    "DQM_CA_BUNDLE must be a PEM file of certificates, or a folder of such files with their hashes.",
                ) from None
        if self.certificate:
            try:
                # without a password function, OpenSSL would prompt on the terminal and wait for ever
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")
            except OSError as error:
                raise SourceDown(
                    Reason.REFUSED,
                    f"The client certificate in {self.certificate} cannot be used ({_why(error)}): a PEM certificate "
                    "and its key without a passphrase are needed; set DQM_CERT and DQM_KEY, or DQM_PROXY.",
                ) from None

    @staticmethod
    def _check_folder(folder: Path) -> None:
        """OpenSSL looks up certificates here by the hash of their subject, and does not report a folder without any."""
        try:
            hashed = any(_HASHED.fullmatch(file.name) and os.access(file, os.R_OK) for file in folder.iterdir())
        except OSError as error:
            raise SourceDown(
                Reason.NO_ANSWER, f"The authorities in {folder} cannot be read ({_why(error)}); correct DQM_CA_BUNDLE."
            ) from None
        if not hashed:
            raise SourceDown(
                Reason.NO_ANSWER,
                f"The folder {folder} has no certificate named by its hash, such as 5443e9e3.0: "
                f"create these names with openssl rehash {folder}, or set DQM_CA_BUNDLE to a PEM file.",
            )

    @property
    def verify(self) -> str | bool:
        """In the form that requests expects."""
        return str(self.authorities) if self.authorities else True

    @property
    def cert(self) -> str | tuple[str, str] | None:
        """In the form that requests expects."""
        if self.certificate is None:
            return None
        return (str(self.certificate), str(self.key)) if self.key else str(self.certificate)


def _grid_proxy(environment: Mapping[str, str]) -> Path | None:
    named = environment.get("X509_USER_PROXY")
    path = Path(named) if named else Path(f"/tmp/x509up_u{os.getuid()}")
    # anybody can put a file into /tmp: use only one that is ours
    if path.is_file() and path.stat().st_uid == os.getuid() and os.access(path, os.R_OK):
        return path
    if named:
        log.warning("X509_USER_PROXY names %s, which is not a readable file of this user: no proxy is used", path)
    return None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror or str(error)).lower()
