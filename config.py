"""The settings, read once from the environment, typed and checked: one sentence for each mistake.

Every field is a variable of the same name in capitals; docs/settings.md lists them, and a test keeps that list true.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from app.errors import SettingsError
from app.given import Given

ROOT = Path(__file__).resolve().parent


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    try:
        has_host = urlsplit(value).hostname and urlsplit(value).port != 0  # asking for the port checks it
    except ValueError:
        has_host = False
    if not has_host:
        raise ValueError("must be a URL with a host, such as https://cmsweb.cern.ch/dqm/online")
    return value.rstrip("/")


def _mongodb_uri(value: str) -> str:
    if not value.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return value


def _readable_file(value: Path) -> Path:
    value = value.expanduser()
    if not os.access(value, os.R_OK) or not value.is_file():
        raise ValueError("must be the path of a file that can be read")
    return value


def _readable(value: Path) -> Path:
    value = value.expanduser()
    if not os.access(value, os.R_OK | (os.X_OK if value.is_dir() else 0)):
        raise ValueError("must be the path of a file, or of a folder, that can be read")
    return value


Url = Annotated[str, AfterValidator(_http_url)]
ReadableFile = Annotated[Path, AfterValidator(_readable_file)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(Given):
    """All settings. Frozen: read at start, and passed on."""

    model_config = ConfigDict(frozen=True)

    # where we serve and keep things
    host: str = Field("127.0.0.1", min_length=1, description="address that the pages are served on")
    port: int = Field(8080, ge=0, le=65_535, description="port that the pages are served on; 0 takes a free one")
    data_dir: Path = Field(ROOT / "data", description="folder of the embedded database and the logs")
    mongodb_uri: Annotated[str, AfterValidator(_mongodb_uri)] | None = Field(
        None,
        description="the database, such as mongodb://db.example.org/driftwatch; if not set, an embedded one is started",
    )
    model_dir: Path = Field(ROOT / "models", description="folder of the models that ship with the program")
    trusted_hosts: str = Field(
        "", description="further host names, separated by commas, that the pages answer to besides HOST and localhost"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="lowest severity that is logged"
    )

    # who may do what
    anonymous: Literal["viewer", "nobody"] = Field(
        "viewer", description="role of visitors who are not signed in: viewer, or nobody, who sees nothing"
    )
    secret_key: str | None = Field(
        None,
        min_length=32,
        repr=False,
        description="signs sessions; 32 characters or more, the same for all processes; if not set, a file in DATA_DIR",
    )
    driftwatch_user: str | None = Field(
        None, description="account that commands act for, if it is not named like the system's user"
    )

    # labelling
    uncertain_below: float = Field(
        0.4, gt=0, le=0.5, description="certainty below which a chamber counts as uncertain; 0.5 is fully certain"
    )
    control_share: float = Field(0.1, ge=0, le=1, description="share of the queue drawn at random as a control sample")
    second_opinions: float = Field(
        0.0, ge=0, le=1, description="share of chambers labelled by a second person who does not see the first label"
    )

    # models
    forgetting_tolerance: float = Field(
        0.05,  # 2.5 standard errors of low rate, the hardest kind, on 8,000 chambers
        ge=0,
        le=1,
        description="largest share of a kind of fault that a model from labels may lose against the active one",
    )
    forgetting_chambers: int = Field(
        8_000, ge=400, le=100_000, description="simulated chambers on which this loss is measured"
    )

    # the DQM server
    dqm_url: Url | None = Field(
        None,
        description="URL of the DQM server: https://cmsweb.cern.ch/dqm/online; if not set, a demonstration is started",
    )
    dqm_ca_bundle: Annotated[Path, AfterValidator(_readable)] | None = Field(
        None,
        description="PEM file of the authorities that sign the server's certificate, or a hashed folder (c_rehash) "
        "of such files, such as /etc/grid-security/certificates",
    )
    dqm_cert: ReadableFile | None = Field(None, description="PEM file of the client certificate")
    dqm_key: ReadableFile | None = Field(
        None, description="PEM file of the client certificate's key, without a passphrase"
    )
    dqm_proxy: ReadableFile | None = Field(
        None, description="PEM file of a grid proxy (certificate and key in one), instead of DQM_CERT and DQM_KEY"
    )
    dqm_parallel: int = Field(16, ge=1, le=16, description="parallel requests; the server tolerates at most 16")
    dqm_connect_timeout: Seconds = Field(5, description="seconds to wait for a connection")
    dqm_read_timeout: Seconds = Field(
        30, description="seconds for one request, from sending it to the last byte of its reply"
    )
    dqm_retries: int = Field(4, ge=0, le=20, description="retries of a request that failed in a way that may pass")
    dqm_backoff: float = Field(
        0.5, ge=0, le=60, description="seconds before the first retry, doubled for each further one, with jitter"
    )
    dqm_retry_after_max: Seconds = Field(30, description="longest Retry-After, in seconds, that is obeyed in full")
    dqm_run_deadline: Seconds = Field(900, description="seconds allowed for fetching one run")
    dqm_max_reply_bytes: int = Field(
        2_000_000, ge=1_000, le=100_000_000, description="largest reply accepted, in bytes"
    )
    dqm_poll_minutes: int = Field(
        0,
        ge=0,
        le=10_080,
        description="minutes between two looks for runs that are new on the server or may have more data by now; "
        "0 is off",
    )

    @model_validator(mode="after")
    def _pairs(self) -> Settings:
        if (self.dqm_cert is None) != (self.dqm_key is None):
            missing = "DQM_KEY" if self.dqm_key is None else "DQM_CERT"
            raise ValueError(f"{missing} is not set, but a client certificate needs both DQM_CERT and DQM_KEY")
        if self.dqm_cert and self.dqm_proxy:
            raise ValueError("DQM_PROXY and DQM_CERT are both set; give only one of them")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; an empty variable counts as not set.

        Raises:
            SettingsError: one line for each mistake, naming the variable, its value and what is accepted.

        >>> Settings.from_environment({"PORT": "99999"})
        Traceback (most recent call last):
        ...
        app.errors.SettingsError: PORT is '99999': input should be less than or equal to 65535.
        """
        environment = os.environ if environment is None else environment
        given: dict[str, Any] = {
            name: environment[name.upper()] for name in cls.model_fields if environment.get(name.upper())
        }
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError("\n".join(_sentence(e, given) for e in error.errors())) from None


def _sentence(error: Mapping[str, Any], given: Mapping[str, str]) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return f"{message}."
    name = str(error["loc"][0])
    value = "not shown" if name == "secret_key" else repr(_without_password(given.get(name, "")))
    return f"{name.upper()} is {value}: {message[0].lower()}{message[1:]}."


def _without_password(value: str) -> str:
    """Hide what precedes the last @ of a URL, or of an attempt at one: it may be a name and a password.

    >>> _without_password("mongo://me:secret@db.example.org/x")
    'mongo://…@db.example.org/x'
    """
    return re.sub(r"^([a-z+]*://)?.*@", r"\1…@", value, flags=re.DOTALL)
