"""The connection to MongoDB, and one sentence for each way in which it fails: what is wrong, and how to correct it.

Nothing here reveals the password in MONGODB_URI. Not for starting the embedded server: see `embedded`.
"""

from __future__ import annotations

import os
import re
import ssl
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pymongo
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
)
from pymongo.uri_parser import split_options

from app.errors import SettingsError, StoreUnavailable

SELECTION_MS = 3_000  # how long a database that is away is waited for
OPERATION_MS = 5_000  # of a request, for which somebody waits
UNHURRIED_MS = 600_000  # of what runs in the background: no query is as slow, a connection that is dead is given up
CERTIFICATE, PASSPHRASE = "tlscertificatekeyfile", "tlscertificatekeyfilepassword"
FILES = {"tlscafile", "tlscrlfile", CERTIFICATE}  # options of MONGODB_URI, case-insensitive

_AGAIN = "Nothing was changed; try again in a moment."
_NO_RIGHT, _NO_ACCOUNT, _NO_SPACE = 13, {11, 18, 8000}, 14031  # MongoDB's codes; 8000 is that of its cloud
# pymongo's message when it finds no usable server → our message, with the groups filled in.
_NO_SERVER = (
    (
        r"certificate verify failed: (?P<why>Hostname mismatch[^(]*?|IP address mismatch[^(]*?)\.? *\(",
        "The database's certificate is that of another host ({why}); correct the host in MONGODB_URI.",
    ),
    (
        r"certificate verify failed: (?P<why>[^(]*?) *\(",
        "The database's certificate cannot be verified ({why}); set tlsCAFile in MONGODB_URI to a PEM file of the "
        "authority that signed it.",
    ),
    (
        r"SSL handshake failed|\[SSL",
        "The database does not speak TLS, or ends its handshake; correct tls or tlsCertificateKeyFile in MONGODB_URI.",
    ),
    (
        r"replica set named '(?P<named>[^']*)' but this node belongs to a set named '(?P<set>[^']*)'",
        "The database belongs to the replica set {set}, not to {named}; correct replicaSet in MONGODB_URI.",
    ),
    (
        r'members available for replica set name "(?P<named>[^"]*)"|replica set named \'(?P<set>[^\']*)\'',
        "No server in MONGODB_URI belongs to the replica set {named}{set}; correct replicaSet there.",
    ),
    (
        r"server_type: RSGhost",
        "The database's replica set has not been initiated, or leaves the server out; initiate it (rs.initiate()), "
        "or correct the host in MONGODB_URI.",
    ),
    (
        r"connection closed",
        "The database closes every connection: it is starting or stopping, or requires TLS (tls=true in MONGODB_URI) "
        "or a client certificate (tlsCertificateKeyFile).",
    ),
    (
        r"(?P<host>[^\s,':]+):\d+: \[Errno -[25]\]",
        "There is no host {host}; correct MONGODB_URI.",
    ),
    (r"available for writes", f"The database's replica set currently has no primary. {_AGAIN}"),
)  # fmt: skip


def connected(uri: str) -> MongoClient:
    """A client that has not contacted the server yet.

    Raises:
        SettingsError: MONGODB_URI cannot be used, for example because it names a missing file.
    """
    try:
        _check_files(uri)
        split_options(urlsplit(uri).query or "appname=driftwatch", warn=False)  # MongoClient would ignore odd ones
        return MongoClient(
            uri,
            appname="driftwatch",
            tz_aware=True,
            w="majority",
            journal=True,  # acknowledged writes survive a power cut
            serverSelectionTimeoutMS=SELECTION_MS,
            timeoutMS=OPERATION_MS,
            socketTimeoutMS=UNHURRIED_MS,  # counts in place of timeoutMS where this is lifted: see `unhurried`
        )
    except (ConfigurationError, ValueError, OSError) as error:  # OSError: from a file that TLS needs
        raise SettingsError(f"MONGODB_URI cannot be used: {_words(error, uri)}.") from None


def unhurried() -> AbstractContextManager[None]:
    """A block of this thread in which an operation may take UNHURRIED_MS, for jobs and for commands."""
    return pymongo.timeout(0)


def unavailable(error: PyMongoError) -> StoreUnavailable:
    """The sentence for a database that is down, refuses, or fails."""
    return StoreUnavailable(_sentence(error))


def _sentence(error: PyMongoError) -> str:
    said = str(error)
    if isinstance(error, NotPrimaryError):
        return (
            "The database server is not the primary of its replica set; name the set's hosts and replicaSet in "
            "MONGODB_URI, without directConnection."
        )
    if isinstance(error, ConnectionFailure):
        for pattern, sentence in _NO_SERVER:
            if found := re.search(pattern, said):
                return sentence.format(**{name: value or "" for name, value in found.groupdict().items()})
    elif isinstance(error, ConfigurationError):
        return f"MONGODB_URI cannot be used: {_words(error)}."
    elif isinstance(error, OperationFailure) and not error.timeout:
        return _refusal(error)
    return f"The database does not answer ({type(error).__name__}). {_AGAIN}"


def _refusal(error: OperationFailure) -> str:
    details = error.details or {}
    said = str(details.get("errmsg", ""))
    if error.code in _NO_ACCOUNT:
        return (
            "The database refuses the name or the password in MONGODB_URI; correct them, or authSource, "
            "the database that holds the account."
        )
    if error.code == _NO_RIGHT and "requires authentication" in said:
        return "The database requires a name and a password; MONGODB_URI has none."
    if error.code == _NO_RIGHT:
        place = re.match(r"not authorized on (\S+)", said)
        return (
            f"The account in MONGODB_URI may not do what Driftwatch does in the database {place[1] if place else ''}; "
            "give it the role readWrite there."
        )
    if error.code == _NO_SPACE or "No space left on device" in said:
        return "The database's disk is full. Nothing was changed; make room there, then try again."
    name = details.get("codeName") or f"{type(error).__name__}, code {error.code}"
    return f"The database failed to carry out an operation ({name}). Nothing was changed; see the log."


def _check_files(uri: str) -> None:
    options = {name.lower(): value for name, value in parse_qsl(urlsplit(uri).query)}
    for name in FILES & options.keys():
        path = Path(options[name])
        if not path.is_file() or not os.access(path, os.R_OK):
            raise ConfigurationError(f"its {name} is {path}, but must be the path of a file that can be read")
    if CERTIFICATE in options and PASSPHRASE not in options:
        # without a password function, OpenSSL would prompt on the terminal and wait for ever
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(options[CERTIFICATE], password=lambda: "")
        except ssl.SSLError:
            raise ConfigurationError(
                f"its {CERTIFICATE} is {options[CERTIFICATE]}, but must be a PEM file with a certificate and its key, "
                f"without a passphrase where {PASSPHRASE} is not set"
            ) from None


def _words(error: Exception, uri: str = "") -> str:
    """A library's message, without line numbers, and without quotations from a URI with a password."""
    said = re.sub(r" *\(_ssl\.c:\d+\)| Refer to docstring", "", str(error)).rstrip(".")
    return re.sub(r"(\"|').*\1", "…", said) if "@" in uri else said
