import json
import re

import numpy as np
import pytest

from app import cli
from app.domain.influence import Method
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.learning.explanation_quality import RANDOM
from app.subsystems.dt.simulate import simulate_run

RUN = 302650


@pytest.fixture
def run_command(app):
    def run(*arguments, **more):
        return app.test_cli_runner().invoke(args=list(arguments), **more)

    return run


@pytest.fixture(scope="module")
def lines():
    return [line_of(simulated.occupancy) for simulated in list(simulate_run(RUN).values())[:20]]


def line_of(occupancy):
    c = occupancy.chamber
    return {"wheel": c.wheel, "sector": c.sector, "station": c.station, "occupancy": occupancy.counts.tolist()}


def test_fetch_wait_fetches_here_and_runs_lists_it(run_command, app, make_app):
    assert (
        run_command("fetch", str(RUN), "--wait").output
        == f"run {RUN} (simulated): finished, 250 chambers, " + (run_command("runs").output.split("250 chambers, ")[1])
    )
    listed = json.loads(run_command("runs", "--json").output)
    assert (listed["number"], listed["state"], listed["done"]) == (RUN, "finished", 250)
    assert run_command("fetch", str(RUN)).output == f"run {RUN}: already there\n"


def test_fetch_of_several_runs_without_wait_only_asks(run_command, driftwatch):
    result = run_command("fetch", "302650-302651", "302660")
    assert result.exit_code == 0
    assert [job.run for job in driftwatch.store.jobs.active()] == [302650, 302651, 302660]


def test_a_run_that_is_not_on_the_server_is_told_by_the_exit_status(run_command):
    result = run_command("fetch", "7", "--wait")
    assert result.exit_code == 1
    assert "run 7: not found on the server" in result.output


@pytest.mark.parametrize("wrong", ["0", "-5", "1000000000", "abc", "9-3"])
def test_a_wrong_run_number_is_an_error_and_nothing_is_stored(run_command, driftwatch, wrong):
    result = run_command("fetch", "--", wrong)
    assert result.exit_code != 0
    assert "must be" in result.output
    assert driftwatch.store.runs.count() == 0


def test_delete_asks_whoever_can_answer_and_then_leaves_nothing(run_command, driftwatch, monkeypatch):
    monkeypatch.setattr(cli, "_at_a_terminal", lambda: True)
    run_command("fetch", str(RUN), "--wait")
    assert run_command("delete", str(RUN), input="n\n").exit_code == 1
    assert driftwatch.store.runs.get(RUN).done == 250
    assert run_command("delete", str(RUN), input="y\n").exit_code == 0
    assert run_command("runs", "--json").output == ""
    assert driftwatch.store.items.of_run(RUN) == []
    assert run_command("delete", str(RUN)).exit_code == 1  # it is not there any more


def test_delete_in_a_script_does_not_wait_for_an_answer(run_command, driftwatch):
    driftwatch.store.runs.request(RUN, "ann", 250)
    assert run_command("delete", str(RUN)).output == f"run {RUN}: deleted\n"


def test_score_writes_for_each_line_the_chamber_twelve_scores_and_verdicts(run_command, lines, tmp_path):
    file = tmp_path / "chambers.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run_command("score", str(file))
    assert result.exit_code == 0
    written = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(w["wheel"], w["sector"], w["station"]) for w in written] == [
        (line["wheel"], line["sector"], line["station"]) for line in lines
    ]
    for judged in written:
        known = [abs(0.5 - score) for score in judged["scores"] if score is not None]
        assert judged["certainty"] == pytest.approx(min(known))
        assert len(judged["scores"]) == len(judged["verdicts"]) == 12
        for score, verdict in zip(judged["scores"], judged["verdicts"], strict=True):
            assert (score is None) == (verdict in ("absent", "unjudged"))


def test_score_reads_standard_input_and_gives_what_the_database_has(run_command, driftwatch):
    run_command("fetch", str(RUN), "--wait")
    items = [driftwatch.store.items.get(RUN, chamber) for chamber in all_chambers()[::10]]
    text = "".join(json.dumps(line_of(item.histogram)) + "\n" for item in items)
    written = [json.loads(line) for line in run_command("score", "-", input=text).stdout.splitlines()]
    for item, judged in zip(items, written, strict=True):
        assert judged["verdicts"] == list(item.judgement.verdicts)
        for given, stored in zip(judged["scores"], item.judgement.scores, strict=True):
            assert given == (None if stored is None else pytest.approx(stored, abs=1e-6))


def test_a_bad_line_is_reported_with_its_number_and_does_not_stop_the_others(run_command, lines):
    wrong_wheel = lines[0] | {"wheel": 3}
    wrong_sector = lines[0] | {"station": 2, "sector": 13}
    missing_key = {key: value for key, value in lines[0].items() if key != "occupancy"}
    wrong_shape = lines[0] | {"occupancy": [[1, 2]]}
    negative = lines[0] | {"occupancy": np.where(np.array(lines[0]["occupancy"]) > 0, -3, -1).tolist()}
    bad = ["{", "[1]", *map(json.dumps, (wrong_wheel, wrong_sector, missing_key, wrong_shape, negative))]
    text = "\n".join([json.dumps(lines[0]), *bad, "", json.dumps(lines[1] | {"comment": "is passed over"})]) + "\n"
    result = run_command("score", "-", input=text)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    told = result.stderr.splitlines()
    expected = ["a JSON object", "a JSON object", "-2 to 2", "1 to 12 in station 2", "occupancy", "12 rows", "is -3"]
    for number, (line, text) in enumerate(zip(told, expected, strict=False), start=2):
        assert line.startswith(f"line {number}: ")
        assert text in line
    assert told[-1] == "Error: 7 lines could not be judged."


def test_a_file_that_begins_with_a_byte_order_mark_is_read_and_a_byte_that_is_no_utf_8_costs_its_line(
    run_command, lines, tmp_path
):
    file = tmp_path / "chambers.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(lines[0]).encode() + b"\n\xff\xfe\n")
    result = run_command("score", str(file))
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr.startswith("line 2: ")


def test_an_unknown_model_is_an_error_that_names_those_there_are(run_command, driftwatch):
    result = run_command("score", "-", "--model", "no-such", input="")
    assert result.exit_code == 1
    assert driftwatch.model in result.output


def test_fetch_from_a_root_file(run_command, driftwatch, tmp_path):
    import uproot

    simulated = simulate_run(RUN)
    path = tmp_path / f"DQM_V0001_DT_R000{RUN}.root"
    with uproot.recreate(path) as file:
        for c in all_chambers():
            counts = simulated[c].occupancy.counts.astype(np.float64)
            name = f"OccupancyAllHits_perCh_W{c.wheel}_St{c.station}_Sec{c.sector}"
            folder = f"DQMData/Run {RUN}/DT/Run summary/01-Digi/Wheel{c.wheel}/Sector{c.sector}/Station{c.station}"
            file[f"{folder}/{name}"] = (counts.T, np.arange(1.0, c.columns + 2), np.arange(13.0))
    result = run_command("fetch", "--root", str(path))
    assert result.exit_code == 0, result.output
    for chamber in all_chambers()[::50]:
        item = driftwatch.store.items.get(RUN, chamber)
        assert item.histogram.counts.tolist() == simulated[chamber].occupancy.counts.tolist()
        assert item.judgement is not None
    other = run_command("fetch", "--root", str(path), "5")
    assert other.exit_code == 1
    assert f"a run that {path.name} holds: {RUN}" in other.output


def test_asking_for_a_year_of_runs_asks_for_each_once(run_command, driftwatch):
    assert run_command("fetch", "302000-302499").exit_code == 0
    assert driftwatch.store.runs.count() == len(driftwatch.store.jobs.active()) == 500


def test_evaluate_saliency_prints_for_every_method_how_true_it_is(run_command):
    result = run_command("evaluate-saliency", "row-cnn-1", "--chambers", "24")
    assert result.exit_code == 0, result.output
    table = result.stdout.splitlines()
    assert re.match(r"row-cnn-1: [0-9]+ layers with a block that it finds", table[0])
    methods = {line.split("  ")[0] for line in table[3:]}
    assert methods == {*map(str, Method), RANDOM}


def test_evaluate_saliency_as_json_is_one_object_a_method_and_the_same_each_time(run_command):
    first, second = (
        run_command("evaluate-saliency", "row-cnn-1", "--chambers", "24", "--seed", "7", "--json") for _ in range(2)
    )
    lines, again = ([json.loads(line) for line in result.stdout.splitlines()] for result in (first, second))
    for line in (*lines, *again):
        line.pop("seconds")
    assert lines == again
    assert {line["method"] for line in lines} >= {"occlusion", "random order"}
    assert all(0 <= line["deletion"] <= 1 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--chambers", "0"], "--chambers"),
        (["--seed", "-1"], "--seed"),
        (["row-cnn-1", "--chambers", "1", "--seed", "0"], "finds no block"),
        (["lime"], "lime"),
    ],
)
def test_evaluate_saliency_refuses_what_it_cannot_measure(run_command, arguments, says):
    result = run_command("evaluate-saliency", *arguments)
    assert result.exit_code != 0
    assert says in result.output
    assert "Traceback" not in result.output


def test_fetching_from_a_root_file_without_runs_says_what_is_in_it_and_fails(run_command, driftwatch, tmp_path):
    import uproot

    with uproot.recreate(tmp_path / "other.root") as file:
        file["histogram"] = np.histogram(np.arange(9.0))
    for runs in ((), (str(RUN),)):
        result = run_command("fetch", "--root", str(tmp_path / "other.root"), *runs)
        assert result.exit_code == 1
        assert "must be a DQM file with DQMData/Run <number>/DT in it" in result.output
        assert "this one holds histogram (TH1D)." in result.output
    assert driftwatch.store.runs.count() == 0


@pytest.mark.parametrize("name", ["no-runs-dqmio.root", "no-runs-empty.root"])
def test_fetching_from_the_files_without_runs_that_were_reported_fails_with_a_sentence(run_command, shared_data, name):
    result = run_command("fetch", "--root", str(shared_data.parent / "cases" / name))
    assert result.exit_code == 1
    assert re.search(r"this one holds (nothing|Indices .*DQMIO)", result.output)


def test_chambers_in_a_file_with_a_byte_order_mark_or_a_line_without_end_are_judged(run_command, tmp_path):
    chamber, simulated = next(iter(simulate_run(RUN).items()))
    place = {"wheel": chamber.wheel, "sector": chamber.sector, "station": chamber.station}
    line = json.dumps({**place, "occupancy": simulated.occupancy.counts.tolist()}).encode()
    path = tmp_path / "chambers.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\n" + b"x" * 2_000_000 + b"\n\xff\n" + line)
    result = run_command("score", str(path))
    assert result.exit_code == 1
    assert result.output.count('"scores"') == 2
    assert "line 2: the line is '…', but must be at most 1,000,000 bytes." in result.output
    assert "line 3: the line is" in result.output
    assert "2 lines could not be judged" in result.output
