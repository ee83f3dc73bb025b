import re
from xml.etree import ElementTree

import numpy as np
import pytest
from queue_of_chambers import RUN, load, path
from waiting import wait_until

from app.domain.influence import Method
from app.domain.jobs import JobState
from app.jobs import explain
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.web.influence_map import InfluenceMap, InfluenceScale, logits, short_logits
from app.subsystems.dt.web.influence_steps import steps_of

DEAD = Chamber(wheel=2, station=2, sector=12)  # cells 8–39 of layers 1 to 4
LOW = Chamber(wheel=1, station=2, sector=11)  # layer 5
NO_THETA = Chamber(wheel=-2, station=4, sector=14)  # cells 5–35 of layer 3
GOOD = Chamber(wheel=0, station=2, sector=1)
ROW, CHAMBER = "row-cnn-1", "chamber-scan-1"
PUSH = re.compile(r'data-cell="(\d+)" data-influence="([^"]+)" fill="#([0-9a-f]{6})"')


@pytest.fixture(scope="module")
def explaining(_made_apps):
    """An application that explains what it is asked for."""
    app = _made_apps()
    driftwatch = app.extensions["driftwatch"]
    load(driftwatch, {place: {} for place in (DEAD, LOW, NO_THETA, GOOD)})
    driftwatch.start()
    return app


@pytest.fixture
def reader(explaining):
    return explaining.test_client()  # of somebody who is not signed in


def explained(app, place, model=CHAMBER, method=Method.OCCLUSION):
    driftwatch = app.extensions["driftwatch"]
    driftwatch.explain(RUN, place, model, method, by="tests")
    wait_until(lambda: driftwatch.influence(RUN, place, model, method))
    return driftwatch.store.items.get(RUN, place), driftwatch.influence(RUN, place, model, method)


def overlaid(page):
    """(layer, cell) → (influence as written, colour)."""
    layers = page.split('<svg data-layer="')[1:]
    return {
        (int(layer.split('"')[0]), int(cell)): (written, fill)
        for layer in layers
        for cell, written, fill in PUSH.findall(layer)
    }


def test_without_a_run_the_page_says_so(client):
    answer = client.get("/saliency/")
    assert answer.status_code == 200
    assert "No run yet" in answer.text


def test_the_page_leads_to_the_newest_run(reader):
    answer = reader.get("/saliency/?method=smoothgrad")
    assert (answer.status_code, answer.location) == (303, f"/saliency/{RUN}/?method=smoothgrad")


def test_a_run_is_explained_when_first_looked_at_and_shown_the_strongest_first(reader):
    first = reader.get(f"/saliency/{RUN}/?part=list&model={ROW}")
    assert f'data-coming="/saliency/{RUN}/?part=list&amp;model={ROW}"' in first.text
    assert re.search(r"\d of 4 chambers", first.text)

    def listed():
        page = reader.get(f"/saliency/{RUN}/?part=list&model={ROW}").text
        return page if "data-coming" not in page else None

    wait_until(listed)
    page = reader.get(f"/saliency/{RUN}/?model={ROW}").text
    shown = re.findall(r'href="(/eval/[^"]+influence=1[^"]*)"', page)
    assert f"{path(DEAD)}?influence=1&amp;model={ROW}" in shown
    strengths = [float(text) for text in re.findall(r'in logits">\+([\d.]+)</span>', page)]
    assert len(strengths) == len(shown) == page.count("/influence/small.svg?")
    assert strengths == sorted(strengths, reverse=True)
    assert "<span>layers 1–4</span>" in page


@pytest.mark.parametrize("query", ["method=lime", "model=nobody", "size=7", "page=99", "page=x"])
def test_what_cannot_be_chosen_is_refused_with_what_can(explaining, reader, query):
    driftwatch = explaining.extensions["driftwatch"]
    wait_until(lambda: driftwatch.explain(RUN, None, CHAMBER, Method.OCCLUSION, by="tests") is None)
    answer = reader.get(f"/saliency/{RUN}/?{query}")
    assert answer.status_code == 400
    assert "is not possible here: it must be" in answer.text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/saliency/77/", 404),
        ("/saliency/0/", 400),
        (f"{path(DEAD)}influence/?method=lime", 400),
        (f"{path(DEAD)}influence/?model=nobody", 404),
        (f"/eval/{RUN}/0/13/1/influence/", 400),
        (f"/eval/{RUN}/0/7/1/influence/", 404),
        (f"{path(DEAD)}influence.svg?method=gradient_input", 404),  # nobody asked for it yet
        (f"{path(DEAD)}influence/steps?method=gradient_input", 404),
    ],
)
def test_what_is_not_there_is_said(reader, address, status):
    assert reader.get(address).status_code == status


def test_the_layers_for_the_map_are_asked_for_and_come(explaining, reader):
    address = f"{path(LOW)}influence/?model={ROW}&method=integrated_gradients"
    coming = reader.get(address)
    assert coming.status_code == 200
    assert 'data-state="coming"' in coming.text
    wait_until(lambda: 'data-state="ready"' in reader.get(address).text)
    item, one = explained(explaining, LOW, ROW, Method.INTEGRATED_GRADIENTS)
    shown = overlaid(reader.get(address).text)
    assert set(shown) == {(row + 1, column + 1) for row, column in np.argwhere(item.histogram.cells).tolist()}
    for (layer, cell), (written, _) in shown.items():
        assert written == logits(float(one.influence.cells[layer - 1, cell - 1]))


def test_what_pushes_to_bad_is_orange_and_what_pushes_to_good_is_blue(explaining, reader):
    _, one = explained(explaining, NO_THETA)
    shown = overlaid(reader.get(f"{path(NO_THETA)}influence/").text)
    cells = one.influence.cells
    layer, cell = np.unravel_index(cells.argmax(), cells.shape)
    assert layer + 1 == 3
    assert 5 <= cell + 1 <= 35
    assert shown[layer + 1, cell + 1][1] == "ca6719"
    top = np.abs(cells).max()
    for (at, number), (_, fill) in shown.items():
        red, blue = int(fill[:2], 16), int(fill[4:], 16)
        value = cells[at - 1, number - 1] / top
        assert red > blue if value > 0.02 else blue > red if value < -0.02 else abs(red - blue) < 12
    assert not {layer for layer, _ in shown} & {5, 6, 7, 8}


def test_what_came_through_the_siblings_is_told_apart(explaining, reader):
    _, one = explained(explaining, DEAD, method=Method.INTEGRATED_GRADIENTS)
    page = reader.get(f"{path(DEAD)}influence/?method=integrated_gradients").text
    for row in (0, 3, 8):
        by_cells, around = one.influence.cells[row].sum(), one.influence.around[row]
        words = f"{short_logits(float(by_cells))} by its cells, {short_logits(float(around))} through its siblings"
        assert f'data-layer="{row + 1}" data-pushed="{words}"' in page


def test_an_attempt_that_failed_is_told_and_not_repeated_at_once(make_app):
    app = make_app()
    driftwatch = app.extensions["driftwatch"]
    load(driftwatch, {GOOD: {}})
    client = app.test_client()
    assert 'data-state="coming"' in client.get(f"{path(GOOD)}influence/").text
    assert "data-coming" in client.get(f"/saliency/{RUN}/").text
    for _ in range(2):
        job = driftwatch.store.jobs.claim("tests")
        assert job.kind == explain.KIND
        driftwatch.store.jobs.end(job, JobState.FAILED, "the model is broken")
    for address in (f"{path(GOOD)}influence/", f"/saliency/{RUN}/"):
        page = client.get(address).text
        assert "could not be worked out: the model is broken" in page
        assert "coming" not in page.replace("saliency-coming", "")


@pytest.mark.parametrize("place", [DEAD, NO_THETA])
def test_the_picture_has_every_cell_once_and_says_what_it_is(explaining, reader, place):
    item, _ = explained(explaining, place)
    answer = reader.get(f"{path(place)}influence.svg?download=1")
    assert answer.mimetype == "image/svg+xml"
    name = f"influence_{RUN}_W{place.wheel}_S{place.sector}_St{place.station}.svg"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    titles = [element.text for element in ElementTree.fromstring(answer.data).iter() if element.tag.endswith("title")]
    assert len(titles) == len(set(titles)) == item.histogram.cells.sum()
    assert "occlusion, model chamber-scan-1" in answer.text


def test_small_pictures_mark_the_bad_layers_beside_them(explaining, reader):
    _, one = explained(explaining, NO_THETA)
    picture = reader.get(f"{path(NO_THETA)}influence/small.svg")
    assert "immutable" in picture.headers["Cache-Control"]
    (marks,) = re.findall(r'fill="url\(#bad\)" d="([^"]+)"', picture.text)
    assert one.bad == (3,)
    assert re.findall(r"M(-?\d+) ([\d.]+)h", marks) == [("-3", "10"), ("62", "10")]
    explained(explaining, GOOD)
    good = reader.get(f"{path(GOOD)}influence/small.svg")
    assert "#bad" not in good.text
    ElementTree.fromstring(good.data)


STEPS = {
    (ROW, Method.INTEGRATED_GRADIENTS): ["47 bins", "Scaled", "Influence in 47 bins"],
    (ROW, Method.OCCLUSION): ["47 bins", "Scaled", "Expected hits per cell"],
    (CHAMBER, Method.SMOOTHGRAD): [
        "Against its siblings, in 47 bins",
        "Against its superlayer's shape, in 47 bins",
        "Influence in 47 bins",
    ],
}


@pytest.mark.parametrize(("model", "method"), STEPS)
def test_the_steps_are_those_of_this_very_layer(explaining, reader, model, method):
    item, one = explained(explaining, LOW, model, method)
    page = reader.get(f"{path(LOW)}influence/steps?model={model}&method={method}&layer=5").text
    titles = re.findall(r"<h3>\d\. (.*?)</h3>", page.replace("&#39;", "'"))
    assert titles == ["Row as served", "Cells", *STEPS[model, method], "Back on the cells"]
    made = {
        step.title: step for step in steps_of(item.histogram, one, 5, "row-cnn" if model == ROW else "chamber-scan")
    }
    row = item.histogram.counts[4]
    served = [written.replace("−", "-") for written, _ in made["Row as served"].squares]
    assert served == [str(count) for count in row.tolist()]
    assert [bool(fill) for _, fill in made["Row as served"].squares] == item.histogram.cells[4].tolist()
    kept = [int(written) for written, _ in made["Cells"].squares]
    assert kept == item.histogram.row(5).tolist()
    assert all(len(step.squares) == 47 for title, step in made.items() if "47" in title)
    if model == ROW:
        assert max(float(written) for written, _ in made["Scaled"].squares) == 1
    last = [written for written, _ in made["Back on the cells"].squares]
    assert last == [logits(value) for value in one.influence.cells[4][item.histogram.cells[4]].tolist()]


def test_the_layer_explained_first_is_the_worst(explaining, reader):
    item, one = explained(explaining, NO_THETA)
    assert InfluenceMap(one, item.histogram).first_to_explain == 3
    assert "Layer 3: logit of bad" in reader.get(f"{path(NO_THETA)}influence/steps").text
    assert reader.get(f"{path(NO_THETA)}influence/steps?layer=6").status_code == 400


@pytest.mark.parametrize("top", [0.5, 0.73, 1, 1.9, 4.4, 9.99, 10, 58.3, 999])
def test_the_scale_is_the_same_on_both_sides_and_its_numbers_do_not_collide(top):
    ticks = InfluenceScale(top).ticks
    places = [place for _, place in ticks]
    assert places[0] == 0
    assert places[-1] == 1
    assert np.allclose(np.array(places) + places[::-1], 1)
    assert np.diff(places).min() >= 0.1
    assert [words for words, place in ticks if place == 0.5] == ["0"]


def test_pages_lead_to_it(loaded):
    client = loaded.test_client()
    assert '/saliency/302635/">' in client.get("/?run=302635").text
    assert '<a href="/saliency/">' in client.get("/models/").text
