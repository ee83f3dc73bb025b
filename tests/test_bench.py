"""What the measurements in bench/ promise to measure."""

from __future__ import annotations

from bench.pages import LEFT_OUT, PAGES, complain_of_forgotten


def test_every_page_is_measured_or_left_out_with_a_reason(app):
    complain_of_forgotten(app)
    assert not PAGES.keys() & LEFT_OUT.keys()
