"""The benchmark: its quick form runs, and what it writes says what was measured."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from missing import needs
from support import ROOT

from bench import pico, report, targets, workloads
from bench.boards import Cost, Failed
from bench.rows import Rows
from ota_host.boards import BoardError


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs("nginx")
def test_the_quick_benchmark_measures_ours_the_peers_that_are_there_and_the_limit(tmp_path):
    done = subprocess.run([sys.executable, "bench", "--quick", "--out", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {"ours", "mip", "limit"} <= {row["subject"] for row in rows}
    assert {"a", "b"} == {row["workload"] for row in rows}
    assert all({"workload", "rtt_ms", "subject", "metric", "value", "unit"} <= row.keys() for row in rows)
    metrics = {row["metric"] for row in rows if row["subject"] == "ours"}
    assert {"wire_both", "flash_programmed", "flash_erased", "flash_read", "flash_time", "wall", "smallest_heap"} <= metrics
    assert not [row for row in rows if row["metric"] == "fails"]
    assert "| what | target | measured | met |" in done.stdout


def rows(**values):
    """Rows in which every figure of every workload is there: 1, or what `values` says of ours."""
    made = Rows()
    for workload in "abcdf":
        made.add(workload, "workload", "changed_bytes", 100, "B")
        for subject in report.SUBJECTS:
            for metric, _, where in report.FIGURES:
                for prog in (32, 256) if "prog" in where else (0,):
                    rest = {k: v for k, v in where.items() if k != "prog"}
                    value = values.get(metric, 1) if subject == "ours" else 100
                    made.add(workload, subject, metric, value, "", **rest, **({"prog": prog} if prog else {}))
    return made


def met(made):
    return {what: met for what, _, _, met in targets.targets(made)}


def test_a_ratio_says_how_many_times_as_much_the_other_takes(capsys):
    table = report.table(rows(wire_both=4))
    assert "| (a) 20 files of 10 KB, all changed | bytes on the wire | 25× | 25× | 25× | 25× |" in table


def test_a_figure_with_a_spread_shows_its_ends(capsys):
    made = Rows()
    made.add_spread("a", "ours", "wall", [3.0, 1.0, 2.0], "ms")
    assert "| (a) | wall time, ms | 2 (1–3) | – | – | – | – |" in report.figures(made)


def test_what_an_updater_cannot_do_is_said_in_the_table(capsys):
    made = Rows()
    made.add("d", "micropython_ota", "fails", "ENOENT", "")
    assert "- (d) micropython_ota: ENOENT" in report.figures(made)


@pytest.mark.parametrize(
    "values, what, right",
    [
        ({"flash_programmed": 110, "flash_erased": 135}, "flash a changed byte, (a), 32 B programs: programmed, erased", True),
        ({"flash_programmed": 111, "flash_erased": 135}, "flash a changed byte, (a), 32 B programs: programmed, erased", False),
        ({"flash_programmed": 110, "flash_erased": 136}, "flash a changed byte, (a), 32 B programs: programmed, erased", False),
        ({"flash_time": 130}, "modelled flash time of (a), 256 B programs, times the limit", True),
        ({"flash_time": 131}, "modelled flash time of (a), 256 B programs, times the limit", False),
        ({"wall": 10}, "time of (b) at 100 ms, times faster than micropython_ota", True),
        ({"wall": 11}, "time of (b) at 100 ms, times faster than micropython_ota", False),
        ({"wall": 150}, "wall time of (c) at 0 ms, times the limit", True),
        ({"wall": 151}, "wall time of (c) at 0 ms, times the limit", False),
        ({"smallest_heap": 40}, "smallest heap, signed, .mpy, with the boots, KB: (a), (c)", True),
        ({"smallest_heap": 41}, "smallest heap, signed, .mpy, with the boots, KB: (a), (c)", False),
    ],
)
def test_a_target_is_met_up_to_its_limit(capsys, values, what, right):
    assert met(rows(**values))[what] is right


@pytest.mark.parametrize("total, programmed, right", [(400, 0, True), (401, 0, False), (400, 1, False)])
def test_an_idle_poll_is_one_request_of_400_bytes_and_no_write(capsys, total, programmed, right):
    made = rows(wire_both=total, flash_programmed=programmed, flash_erased=0)
    assert met(made)["idle poll: requests, bytes, flash programmed, erased"] is right


@pytest.mark.parametrize("heap, right", [(40, True), (41, False)])
def test_a_form_of_the_library_meets_the_target_when_both_of_its_heaps_do(capsys, heap, right):
    made = Rows()
    for workload, value in (("a", 40), ("c", heap)):
        made.add(workload, "ours", "smallest_heap_of_form", value, "KB", form="core")
    assert met(made) == {"the same of the update alone, core, KB: (a), (c)": right}


@pytest.mark.parametrize("sum_of_all, pair, right", [(40, 40, True), (39, 41, False), (41, 39, False)])
def test_the_times_fewer_bytes_hold_for_the_sum_and_for_the_median_pair(capsys, sum_of_all, pair, right):
    made = Rows()
    of = {"kind": "py", "pairs": 1, "projects": 1}
    made.add("e", "ours", "share_of_changed", 1, "%", of="the same, and the manifest", **of)
    made.add("e", "micropython_ota", "share_of_changed", sum_of_all, "%", of="files that changed or came", **of)
    made.add("e", "ours", "times_fewer_than_micropython_ota_a_pair", pair, "", **of)
    assert [m for what, m in met(made).items() if "times fewer" in what] == [right]


def test_what_was_not_measured_is_no_target(capsys):
    assert targets.targets(Rows()) == []


def test_pictures_are_svg_and_none_is_made_of_nothing(capsys):
    assert report.pictures(Rows()) == {}
    made = rows()
    for count in (1, 10):
        made.add("growth", "ours", "peak_heap", 5000 * count, "B", files=count)
    pictures = report.pictures(made)
    assert set(pictures) == {"wire.svg", "flash-time.svg", "wall-100.svg", "pico-w.svg", "heap.svg", "growth-files-peak-heap.svg"}
    for svg in pictures.values():
        assert ET.fromstring(svg).tag.endswith("svg")


def measured(rows, monkeypatch, **updaters):
    """What `pico.run` makes of `rows` when its updaters give what is said here, or raise it."""

    def one(took):
        def measure(temp, load, layout):
            if isinstance(took, Exception):
                raise took
            return took

        return measure

    monkeypatch.setattr(pico, "UPDATERS", {name: one(took) for name, took in updaters.items()})
    steps = []
    for done in pico.run(rows, [workloads.make("a")], None, None):
        steps.append((done, len(rows)))
    return steps


def test_an_update_on_the_pico_w_is_two_rows_in_emulated_seconds(monkeypatch, capsys):
    made = Rows()
    assert measured(made, monkeypatch, ours=pico.Took(2684, erased=10, programmed=100)) == [(("a", "ours"), 2)]
    rest = {"workload": "a", "rtt_ms": 0, "subject": "ours", "unit": "s", "emulated": True, "real_s": 0}
    assert made == [{**rest, "metric": "emulated_time", "value": 2.68}, {**rest, "metric": "emulated_flash_time", "value": 0.5}]
    text = report.figures(made)
    assert "| (a) | time on a Pico W without its flash, emulated s | 2.68 | – | – | – | – |" in text
    assert "| (a) | flash time on a Pico W, modelled s | 0.5 | – | – | – | – |" in text
    assert list(report.pictures(made)) == ["pico-w.svg"]


class Board:
    """An emulated board whose serial port fails as `errors` say (text, whether the program had begun)."""

    def __init__(self, flash, *errors):
        self.flash, self.errors, self.heard = flash, list(errors), ""

    def ops(self):
        return 1

    def output(self):
        return self.heard

    def exec(self, code, timeout):
        if self.errors:
            why, begun = self.errors.pop(0)
            self.heard += "BEGUN program\n" if begun else ""
            raise BoardError(why)
        Path(f"{self.flash}.ops").write_bytes(b"peep")
        return "BEGUN program\nDone\nTOOK 7\n"


def test_a_serial_port_that_fails_before_the_program_begins_is_tried_again(tmp_path, capsys):
    board = Board(tmp_path / "flash", ("no raw repl", False), ("no raw paste", False))
    assert pico._took(board, "program") == pico.Took(7, erased=2, programmed=1)
    assert board.said == ["Done"]
    with pytest.raises(BoardError, match="no raw repl"):
        pico._took(Board(tmp_path / "flash", *[("no raw repl", False)] * pico.TRIES), "program")


def test_a_program_that_fails_on_the_pico_w_is_not_run_again(tmp_path, capsys):
    with pytest.raises(Failed, match="^MemoryError$"):
        pico._took(Board(tmp_path / "flash", ("Traceback\nMemoryError", True)), "program")


def test_an_update_that_the_pico_w_cannot_do_is_a_row_that_says_why(monkeypatch, capsys):
    made = Rows()
    measured(made, monkeypatch, micropython_ota=Failed("memory allocation failed"))
    assert [(r["metric"], r["value"]) for r in made] == [("fails", "on the emulated Pico W: memory allocation failed")]
    assert "- (a) micropython_ota: on the emulated Pico W: memory allocation failed" in report.figures(made)


def test_the_pico_w_takes_the_place_of_its_own_rows_and_of_no_others(tmp_path, monkeypatch, capsys):
    made = Rows()
    made.add("a", "ours", "wall", 1, "ms")
    made.add("a", "ours", "fails", "once", "", emulated=True)
    made.add("b", "ours", "emulated_time", 1, "s", emulated=True)
    made.save(tmp_path / "results.json")
    kept = Rows.load(tmp_path / "results.json")
    measured(kept, monkeypatch, ours=pico.Took(1), micropython_ota=None)
    assert kept[:2] == [made[0], made[2]]
    assert [r["metric"] for r in kept[2:]] == ["emulated_time", "emulated_flash_time"]
    assert Rows.load(tmp_path / "none.json") == []


@pytest.mark.parametrize("workload", ["a", "b"])
def test_the_page_has_the_pico_w_figures_of_the_results(workload):
    found = Rows.load(ROOT / "bench" / "results.json")
    page = (ROOT / "docs/explanation/benchmark.md").read_text()
    metrics = ("emulated_time", "emulated_flash_time")
    cells = [f"{found.get(workload, s, m):.3g}" for s in ("ours", "micropython_ota") for m in metrics]
    line = next(line for line in page.splitlines() if line.startswith(f"| ({workload})"))
    assert line.endswith("| " + " | ".join(cells) + " |")


def test_flash_time_is_45_ms_a_block_half_a_ms_a_page_and_10_mb_a_second():
    assert Cost(read=10_000_000, programmed=512, erased=8192).flash_ms == 1000 + 1 + 90


@pytest.mark.parametrize("name, files, changed", [("a", 20, 20), ("b", 20, 1), ("c", 1, 1), ("d", 500, 3), ("f", 20, 0)])
def test_a_workload_has_the_files_and_the_changes_that_it_says(name, files, changed):
    load = workloads.make(name)
    assert (len(load.new), len(load.changed), load.old.keys()) == (files, changed, load.new.keys())
    assert {len(d) for d in load.old.values()} == {{"c": 1 << 20, "d": 1024}.get(name, 10240)}
    for path, data in load.new.items():
        if path.endswith(".py"):
            compile(data, path, "exec")
