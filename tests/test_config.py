import re

import pytest

from app.errors import SettingsError
from config import Settings


def test_without_any_variable_the_defaults_hold():
    settings = Settings.from_environment({})
    assert (settings.host, settings.port, settings.mongodb_uri, settings.dqm_url) == ("127.0.0.1", 8080, None, None)


def test_an_empty_variable_counts_as_not_set():
    assert Settings.from_environment({"PORT": "", "DQM_URL": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("PORT", "80801", "less than or equal to 65535"),
        ("PORT", "http", "valid integer"),
        ("DQM_PARALLEL", "17", "less than or equal to 16"),
        ("DQM_PARALLEL", "0", "greater than or equal to 1"),
        ("DQM_READ_TIMEOUT", "nan", "finite number"),
        ("DQM_READ_TIMEOUT", "-1", "greater than 0"),
        ("DQM_URL", "cmsweb.cern.ch", "must begin with http:// or https://"),
        ("MONGODB_URI", "localhost:27017", "must begin with mongodb://"),
        ("DQM_CA_BUNDLE", "/nowhere/ca.pem", "path of a file, or of a folder, that can be read"),
        ("DQM_CERT", "/", "path of a file that can be read"),
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_variable_the_value_and_what_is_accepted(name, value, accepted):
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({name: value})
    assert re.fullmatch(rf"{name} is {re.escape(repr(value))}: .*{re.escape(accepted)}.*\.", str(error.value))


def test_every_mistake_is_told_at_once():
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"PORT": "x", "DQM_PARALLEL": "99"})
    assert len(str(error.value).splitlines()) == 2


def test_a_certificate_without_its_key_is_a_mistake(tmp_path):
    certificate = tmp_path / "cert.pem"
    certificate.touch()
    with pytest.raises(SettingsError, match=r"^DQM_KEY is not set, but"):
        Settings.from_environment({"DQM_CERT": str(certificate)})
