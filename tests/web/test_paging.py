import pytest

from app.errors import InvalidInput
from app.web.shared.fields import Fields, fraction
from app.web.shared.paging import ListPage


@pytest.mark.parametrize("wanted", ["0", "-1", "4", "1000000000", "two", "1.5", "9" * 5000])
def test_only_pages_that_exist_can_be_asked_for(wanted):
    with pytest.raises(InvalidInput, match="from 1 to 3"):
        ListPage.of(wanted, 20, 45)


def test_an_empty_list_has_one_page_without_rows():
    page = ListPage.of("1", 20, 0)
    assert (page.pages, page.rows) == (1, (0, 0))


@pytest.mark.parametrize("number", range(1, 31))
def test_links_lead_to_the_first_the_last_and_the_pages_beside(number):
    nearby = ListPage(number, 20, 600).nearby
    assert nearby[0] == 1
    assert nearby[-1] == 30
    assert {number - 1, number, number + 1} & set(range(1, 31)) <= set(nearby)


@pytest.mark.parametrize("text", ["nan", "inf", "-0.1", "1.01", "1e-3", ".", "0.5.5", "½"])
def test_a_score_is_a_plain_number_from_0_to_1(text):
    fields = Fields({"least": text})
    assert fields.read("least", fraction("least"), None) is None
    assert "a number from 0 to 1" in fields.errors["least"]


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("1.0", 1), (".5", 0.5), ("0,25", 0.25), (" 1 ", 1)])
def test_a_score_may_be_written_with_a_comma(text, value):
    assert Fields({"least": text}).read("least", fraction("least"), None) == value
