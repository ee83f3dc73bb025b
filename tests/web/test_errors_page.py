import pytest


@pytest.fixture(scope="module")
def away(_made_apps):
    """An application whose database cannot be reached."""
    return _made_apps(mongodb_uri="mongodb://127.0.0.1:9/driftwatch").test_client()


@pytest.mark.parametrize("path", ["/", "/fetch/", "/eval/302635/0/1/1/", "/data/net_scores/"])
def test_a_page_says_that_the_database_is_away(away, path):
    answer = away.get(path)
    assert answer.status_code == 503
    assert "The database is away" in answer.text
    assert f'<a class="button" href="{path}">Try again</a>' in answer.text


def test_an_address_that_does_not_exist_leads_back(client):
    answer = client.get("/nowhere/%3Cscript%3Ealert(1)%3C/script%3E")
    assert answer.status_code == 404
    assert "This is not here" in answer.text
    assert "<script>alert" not in answer.text
