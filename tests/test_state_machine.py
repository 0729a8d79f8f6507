"""Whatever happens to a board, in whatever order: it runs one release whole, and never an older one."""

import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from littlefs_board import Board, boot, confirm, cut, objects, rollback, status, updater
from strategies import application_files
DAY_0 = 1800000000  # seconds since 1970
PUBLICATIONS = st.tuples(application_files(), st.sampled_from([9, 9, 9, 4])) | st.none()  # with its last day
DAYS = st.sampled_from([0, 6, 3])
CUTS = st.none() | st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([0, 0.01, 0.5, 0.99, 1]))


class Life(RuleBasedStateMachine):
    """The model: `releases` {seq: files}, `expires` {seq: day}, `refused` seqs, the highest `floor` seen."""

    def __init__(self):
        super().__init__()
        self.board = Board(prog=32)
        self.releases, self.refused, self.floor = {}, set(), 0
        self.newest, self.day, self.expires = 0, 0, {}
        self.seq, self.phase, self.boots = 0, "", 0
        self.publish({"boot.py": b"boot"}, 9)
        for job in (self._update, boot, boot, confirm):
            self.board.run(job)
        self.check()

    def offer(self):
        with pytest.MonkeyPatch.context() as patch:
            # Day 0 is a clock that nobody has set.
            patch.setattr(time, "time", lambda: self.day and DAY_0 + self.day * 86400)
            expires = DAY_0 + self.expires[self.newest] * 86400
            yield updater(objects(self.newest, self.releases[self.newest], expires=expires))

    def _update(self):
        for up in self.offer():
            up.run(reset=False)

    def do(self, job, where):
        image, journal = self.board.run(job)
        if where and journal:
            self.board.power_on(cut(image, journal, int(where[0] * len(journal)), where[1]))

    def check(self):
        """Power on, boot, look."""
        self.board.power_on(bytes(self.board.flash.buffer))
        self.board.run(boot)
        with self.board:
            told = status()
        tree = {p: d for p, d in self.board.tree().items() if p != "app.log"}
        live = {p: d for p, d in tree.items() if not p.endswith((".ota-new", ".ota-old"))}
        assert live == self.releases[told["seq"]], told
        assert told["phase"] != "idle" or tree == live
        assert told["floor"] >= self.floor
        assert told["phase"] != "idle" or told["floor"] == told["seq"]
        assert told["phase"] != "trial" or self.seq != told["seq"] or told["boots"] > self.boots
        if told["seq"] < self.seq:
            self.refused.add(self.seq)
        assert told["seq"] not in self.refused
        assert told["problem"] is None or "no room" in told["problem"]
        self.floor = told["floor"]
        self.seq, self.phase, self.boots = told["seq"], told["phase"], told["boots"]

    def publish(self, files, day):
        self.newest += 1
        self.releases[self.newest] = files
        self.expires[self.newest] = day

    @rule(new=PUBLICATIONS, day=DAYS, where=CUTS, job=st.sampled_from([confirm, rollback, None]), then=CUTS)
    def update(self, new, day, where, job, then):
        self.day = day
        self.publish(*new) if new else None
        seq, begun = self.seq, self.phase != "idle"
        self.do(self._update, where)
        self.check()
        if day > self.expires[self.newest] and not begun:
            assert self.seq == seq, "a release installed after its time"
        if job:
            self.judge(job, then)

    @rule(new=PUBLICATIONS, chunks=st.integers(0, 12), where=CUTS)
    def stop_an_update(self, new, chunks, where):
        self.publish(*new) if new else None

        def some():
            for up in self.offer():
                steps = up.steps()
                for _ in zip(range(chunks), steps):
                    pass
                steps.close()

        self.do(some, where)
        self.check()

    @rule(where=CUTS)
    def reset(self, where):
        self.do(boot, where)
        self.check()

    def judge(self, job, where):
        """The application says what it thinks of the release; on a full flash it is told so."""
        try:
            self.do(job, where)
        except OSError as e:
            assert e.errno == 28
        self.check()

    @rule(seq=st.integers(1, 3))
    def offer_an_old_release(self, seq):
        old = min(seq, self.newest)
        with self.board:
            live = status()["seq"]
        if old < live:
            self.board.run(lambda: updater(objects(old, self.releases[old])).run(reset=False) and 1 / 0 if old < self.floor else None)
            self.check()

    @rule(blocks=st.integers(0, 12))
    def fill_the_flash(self, blocks):
        """The application leaves so many blocks."""
        free = self.board._statvfs("")[3]
        if free > blocks:
            try:
                self.board.write("app.log", bytes(4096 * (free - blocks)))
            except OSError as e:  # the file's own index takes room, too
                assert e.errno == 28

    @rule()
    def free_the_flash(self):
        if "app.log" in self.board.tree():
            self.board.fs.remove("app.log")

    def teardown(self):
        """In the end a good release installs, whatever was before."""
        self.free_the_flash()
        self.board.run(confirm)
        self.publish({"boot.py": b"last", "main.py": b"last"}, 9)
        for job in (self._update, boot, boot, confirm):
            self.board.run(job)
        assert self.board.tree() == self.releases[self.newest]


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


def test_a_board_survives_any_order_of_events():
    run_state_machine_as_test(Life, settings=settings(max_examples=100, stateful_step_count=16, **QUIET))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_board_survives_many_orders_of_events():
    run_state_machine_as_test(Life, settings=settings(max_examples=1000, stateful_step_count=25, **QUIET))
