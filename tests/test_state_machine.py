"""Whatever happens to a board, in whatever order: it runs one release whole, and never an older one."""

import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from littlefs import LittleFSError
from littlefs_board import Board, boot, confirm, cut, objects, rollback, status, updater
from strategies import OBSTACLES, application_files

DAY_0 = 1800000000  # seconds since 1970
PUBLICATIONS = st.tuples(application_files(), st.sampled_from([9, 9, 9, 4])) | st.none()  # with its last day
DAYS = st.sampled_from([0, 6, 3])
CUTS = st.none() | st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([0, 0.01, 0.5, 0.99, 1]))
ASIDE = ".ota-aside"
SAID = ("no room", "is gone", "is in the way of", "was in the way", "holds what was in the way")


def of_an_update(path):
    return any(part.endswith((".ota-new", ".ota-old")) for part in path.split("/"))


class Life(RuleBasedStateMachine):
    """The model: `releases` {seq: files}, `expires` {seq: day}, `refused` seqs, the highest `floor` seen, the application's `own` files."""

    def __init__(self):
        super().__init__()
        self.board = Board(prog=32)
        self.releases, self.refused, self.floor = {}, set(), 0
        self.newest, self.day, self.expires = 0, 0, {}
        self.seq, self.phase, self.boots = 0, "", 0
        self.own = {}
        self.tidied = False  # whether the application has deleted what a revert needs
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
        release = self.releases[told["seq"]]
        asides = {p: d for p, d in tree.items() if ASIDE in p}
        live = {p: d for p, d in tree.items() if p not in asides and not of_an_update(p)}
        for path, data in self.own.items():
            if path not in release:
                there = [p for p in (path, *asides) if p.replace(ASIDE, "") == path and tree.get(p) == data]
                assert there, (path, told)
                live.pop(path, None)
        assert live == release, told
        assert told["phase"] != "idle" or not any(map(of_an_update, tree)), sorted(tree)
        self.judge_status(told)
        if told["phase"] == "idle" and told["seq"] == told["floor"]:
            # What was put there by hand is the release's from here on.
            self.own = {p: d for p, d in self.own.items() if p not in release}
        self.seq, self.phase, self.boots = told["seq"], told["phase"], told["boots"]
        self.floor = told["floor"]

    def judge_status(self, told):
        assert told["floor"] >= self.floor
        stays = told["seq"] == told["refused"]
        assert not stays or self.tidied, told
        assert told["phase"] != "idle" or stays or told["floor"] == told["seq"]
        assert told["phase"] != "trial" or self.seq != told["seq"] or told["boots"] > self.boots
        if told["seq"] < self.seq:
            self.refused.add(self.seq)
        assert told["seq"] not in self.refused
        assert told["problem"] is None or any(words in told["problem"] for words in SAID), told

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

    @rule(new=PUBLICATIONS, chunks=st.integers(0, 12), where=CUTS, again=st.booleans())
    def stop_an_update(self, new, chunks, where, again):
        """It is closed; or it is let go of, another one runs, and then the collector closes what the first had open."""
        self.publish(*new) if new else None

        def some():
            for up in self.offer():
                steps = up.steps()
                for _ in zip(range(chunks), steps):
                    pass
                open_then = self.board.files[:]
                if again:
                    try:
                        self._update()
                    finally:
                        for f in open_then:
                            f.close()
                steps.close()

        self.do(some, where)
        self.check()

    @rule(path=OBSTACLES, new=PUBLICATIONS, when=st.sampled_from(["now", "staged", "on trial"]))
    def make_an_obstacle(self, path, new, when):
        """The application makes a file, with the folders to it, where a release may have, or have had, something else."""
        if when != "now":
            self.publish(*new) if new else None
            self.board.run(self._update)
        if when == "on trial":
            self.check()
        # It does not write over what is there, nor where something is staged.
        tree = self.board.tree()
        free = not any(p == path or p.startswith((path + "/", path + ".ota-")) or path.startswith(p + "/") for p in tree)
        if free and not (when == "staged" and path in self.releases[self.newest]):
            try:
                self.board.write_below(path, b"own")
                self.own[path] = b"own"
            except (OSError, LittleFSError):
                pass  # the flash is full
        self.check()

    @rule()
    def take_obstacles_away(self):
        for path in [p for p in self.board.tree() if p in self.own and p not in self.releases[self.seq]]:
            self.board.remove_with_folders(path)
        for path in [p for p in self.board.tree() if ASIDE in p]:
            self.board.remove_with_folders(path)
        self.own = {p: d for p, d in self.own.items() if p in self.releases[self.seq]}
        self.check()

    @rule()
    def tidy_up(self):
        """The application deletes what it does not know: what a revert would need."""
        for path in [p for p in self.board.tree() if p.endswith(".ota-old")]:
            self.board.remove_with_folders(path)
            self.tidied = True
        self.check()

    @rule(where=CUTS)
    def reset(self, where):
        self.do(boot, where)
        self.check()

    def judge(self, job, where):
        """The application says what it thinks of the release; on a full flash, or with nothing to go back to, it is told so."""
        try:
            self.do(job, where)
        except (OSError, ValueError) as e:
            assert getattr(e, "errno", 28) == 28
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
        """In the end a good release installs, whatever was before, once nothing of the application's is in its way."""
        self.free_the_flash()
        self.take_obstacles_away()
        self.board.run(confirm)
        self.publish({"boot.py": b"last", "main.py": b"last"}, 9)
        for job in (self._update, boot, boot, confirm):
            self.board.run(job)
        mine = {p: d for p, d in self.own.items() if p not in self.releases[self.newest]}
        tree = self.board.tree()
        assert {p: d for p, d in tree.items() if p not in mine} == self.releases[self.newest]


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


def test_a_board_survives_any_order_of_events():
    run_state_machine_as_test(Life, settings=settings(max_examples=30, stateful_step_count=14, **QUIET))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_board_survives_many_orders_of_events():
    run_state_machine_as_test(Life, settings=settings(max_examples=1000, stateful_step_count=25, **QUIET))
