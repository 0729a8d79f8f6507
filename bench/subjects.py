"""The updaters side by side: how each is set up and made to update, with one way to measure them all."""

from . import boards
from .boards import Cost, Failed

OURS, LIMIT = "ours", "limit"
PEERS = ("micropython_ota", "senko", "mip")
SUBJECTS = (OURS, *PEERS, LIMIT)
OLD, NEW = "v1.0.0", "v1.0.1"
PROGS = (32, 256)


class Bench:
    """The boards of one workload: an image with its old release for each updater, and the servers' trees.

    Args:
        load (Workload): what is updated. web (Web): the server. layout (Layout): who writes its trees.
        mpy (Path): the folder of compiled modules. temp (Path): on which images lie, best in RAM.
        subjects: those that are there. progs: bytes that the flash programs at a time.
    """

    def __init__(self, load, web, layout, mpy, temp, subjects=SUBJECTS, progs=PROGS):
        self.load, self.web, self.layout, self.mpy = load, web, layout, mpy
        self.temp = temp / load.name
        self.temp.mkdir(parents=True, exist_ok=True)
        self.subjects = tuple(subjects)
        self.failed = {}  # subject: why it cannot do this at all
        self._prepare_boards(progs)
        self._prepare_servers()

    def place(self, subject):
        return f"{self.load.name}/{subject}"

    def url(self, subject, host="127.0.0.1"):
        return self.web.url(self.place(subject) + ("/sample" if subject == OURS else ""), host)

    def image(self, subject, prog):
        return self.temp / f"{'ours' if subject == OURS else 'bare'}-{prog}"

    def _prepare_boards(self, progs):
        load = self.load
        self.layout.ours(self.place(OURS), load.old, OLD)
        write = "import board, fill; board.run(fill.main)"
        for prog in progs:
            boards.blank(self.image(OURS, prog), self.mpy, prog, load.blocks)
            self._three_lives(self.image(OURS, prog), prog, self.url(OURS))
            if not load.changed:  # with its first check after an update a board learns the tag
                self._ours(self.image(OURS, prog), prog, self.url(OURS))
            if self.subjects == (OURS,):
                continue
            boards.blank(self.image(LIMIT, prog), self.mpy, prog, load.blocks)
            folder = self.temp / "old"
            for path, data in {**load.old, "version": OLD.encode()}.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            names = "\n".join([*load.old, "version"])
            boards.live(write, self.mpy, IMAGE=self.image(LIMIT, prog), PROG=prog, NAMES=names, URL=folder)

    def _prepare_servers(self):
        load, layout = self.load, self.layout
        version = OLD
        if load.changed:
            version = NEW
            layout.ours(self.place(OURS), load.new, NEW)
        self.etag = ""
        if self.subjects == (OURS,):
            return
        layout.micropython_ota(self.place("micropython_ota"), load.new, version)
        layout.senko(self.place("senko"), load.new)
        layout.mip(self.place("mip"), load.new)
        layout.limit(self.place(LIMIT), load.changed)
        if not load.changed:
            import urllib.request

            with urllib.request.urlopen(self.url(LIMIT) + "/list") as answer:
                self.etag = answer.headers["ETag"]

    def _three_lives(self, image, prog, url, **options):
        env = dict(IMAGE=image, PROG=prog, URL=url, KEY=self.layout.signer.board_key, **options)
        steps = ("stage", "boot", "settle")
        self.lives = [boards.live(f"import ours; ours.main('{step}')", self.mpy, **env) for step in steps]
        return sum(self.lives, Cost())

    def update(self, subject, prog=32, host="127.0.0.1", heap=boards.BIG, check=True, slot="", bundle=False, **options):
        """Make one update on a fresh copy of the board; gives its Cost.

        Args:
            heap (str): `40k`. host (str): by which address the server is reached. slot (str): of a parallel run.
            check (bool): compare the files afterwards. bundle (bool): the limit takes one response.
            options: COUNTED=1 for strict NOR, WATCH=1 for the peak of the heap.
        Raises:
            Failed: it did not come to its end, or left other files than it should.
        """
        image = boards.copy(self.image(subject, prog), self.temp / f"run{slot}")
        url = self.url(subject, host)
        if subject == OURS:
            cost = self._ours(image, prog, url, heap=heap, **options)
        else:
            program = "import limit; limit.main()" if subject == LIMIT else f"import peers; peers.main({subject!r})"
            more = {"NAMES": "\n".join(self.load.new), "ETAG": self.etag, "BUNDLE": bundle, **options}
            url += "/" if subject == LIMIT else ""
            cost = boards.live(program, self.mpy, heap, IMAGE=image, PROG=prog, URL=url, **more)
        if check:
            self.check(cost, slot)
        return cost

    def _ours(self, image, prog, url, **options):
        if self.load.changed:
            return self._three_lives(image, prog, url, **options)
        env = dict(IMAGE=image, PROG=prog, URL=url, KEY=self.layout.signer.board_key, **options)
        return boards.live("import ours; ours.main('stage')", self.mpy, **env)

    def check(self, cost, slot=""):
        """Compare the files of the board that made the update of `slot` at `cost`; raises Failed."""
        found = boards.files(self.temp / f"run{slot}")
        wrong = sorted(p for p in found.keys() | self.load.new.keys() if found.get(p) != self.load.new.get(p))
        if wrong:
            said = getattr(cost, "said", None) or [""]
            raise Failed(f"{len(wrong)} of {len(self.load.new)} files are not of the new release; {said[-1]}")

    def heap(self, subject, high=8192):
        """The smallest heap in KB in which the update completes (int), None when it does in none."""

        def works(kb):
            try:
                self.update(subject, heap=f"{kb}k")
                return True
            except Failed:
                return False

        return boards.smallest(works, high=high)
