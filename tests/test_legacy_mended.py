"""What `micropython_ota` gets wrong, and its drop-in must not: attacks, accidents, small boards."""

import datetime
import json
import ssl
import threading

import pytest
import trustme
from old_board import WRONG, OldBoard, Raw, Site
from support import run_mp

BOARD = {"boot.py": b"boot 1", "main.py": b"main 1", "version": b"v1", "mine.txt": b"mine"}
FILES = {"boot.py": b"boot 2", "main.py": b"main 2" * 99}
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"


@pytest.fixture
def site():
    """A server that offers v2."""
    with Site() as server:
        server.publish("v2", FILES)
        yield server
        server.shutdown()


@pytest.fixture
def board(tmp_path, site):
    return OldBoard(tmp_path / "board", site, BOARD)


def update(site, names=("boot.py", "main.py"), **options):
    return ["ota_update", [site.url, "sample", names], options]


def look(site, **options):
    return ["check_for_ota_update", [site.url, "sample"], options]


def ask(site, **options):
    return ["check_version", [site.url, "sample"], options]


def untouched(board):
    return board.files() == BOARD


def live(board, *calls, most=9):
    """Power-ons, one after the other as long as each ends in a reset; gives their lives."""
    lives = [board.run(*calls)]
    while lives[-1].resets and len(lives) < most:
        lives.append(board.run(*calls))
    return lives


class TestFiles:
    @pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "sub-directory"])
    def test_a_file_in_a_folder_is_installed_and_its_folder_made(self, site, board, prefix):
        """micropython_ota 2.x stops with ENOENT."""
        site.publish("v2", {"lib/net/wifi.py": b"wifi"}, separator="_" if prefix else "/")
        life = board.run(update(site, ["lib/net/wifi.py"], use_version_prefix=prefix))
        assert life.files == {**BOARD, "lib/net/wifi.py": b"wifi", "version": b"v2"}
        assert life.resets == ["hard"]

    @pytest.mark.parametrize(
        "name, data",
        [("m.mpy", b"M\x06\x00\x1f" + bytes(range(256)) * 9), ("i.png", b"\x89PNG\r\n\x1a\n\0"), ("a.py", b"\xff\r\n\0\r")],
        ids=["mpy", "picture", "not UTF-8, with carriage returns"],
    )
    def test_a_binary_file_arrives_to_the_byte(self, site, board, name, data):
        """micropython_ota decodes and encodes everything."""
        site.publish("v2", {name: data})
        assert board.run(update(site, [name])).files == {**BOARD, name: data, "version": b"v2"}

    def test_a_file_that_is_listed_no_more_is_removed_with_its_folder(self, site, board):
        """What no list ever named stays."""
        site.publish("v2", {**FILES, "lib/old/gone.py": b"gone"})
        board.run(update(site, ["main.py", "lib/old/gone.py"]))
        site.publish("v3", FILES)
        assert board.run(update(site, ["main.py"])).files == {**BOARD, "main.py": FILES["main.py"], "version": b"v3"}
        assert not (board.folder / "lib").exists()

    def test_boot_py_that_is_listed_no_more_stays(self, site, board):
        """No list takes a board's way to start."""
        board.run(update(site))
        site.publish("v3", FILES)
        assert board.run(update(site, ["main.py"])).files["boot.py"] == FILES["boot.py"]

    def test_the_files_of_another_project_stay(self, site, board):
        """Two projects on one board, which share the file `version`."""
        site.publish("v2", {"a.py": b"a"})
        site.publish("v3", {"b.py": b"b"}, project="other")
        board.run(update(site, ["a.py"]))
        files = board.run(["ota_update", [site.url, "other", ["b.py"]], {}]).files
        assert files == {**BOARD, "a.py": b"a", "b.py": b"b", "version": b"v3"}

    @pytest.mark.parametrize(
        "name, taken",
        [("mine.txt", False), ("new.py", False), ("new.mpy", False), ("new.txt", True)],
        ids=["a file with content", "a new program", "a compiled one", "a new file"],
    )
    def test_an_empty_answer_is_refused_where_it_does_harm(self, site, board, name, taken):
        """It empties nothing, and it is no program."""
        site.publish("v2", {name: b""})
        life = board.run(update(site, [name]))
        assert life.prints == (["Hard-resetting device..."] if taken else [f"{WRONG}{name} is empty"])
        assert life.files == ({**BOARD, name: b"", "version": b"v2"} if taken else BOARD)

    def test_an_empty_package_marker_is_installed(self, site, board):
        """The one kind of program that is rightly empty."""
        site.publish("v2", {"lib/x/__init__.py": b""})
        assert board.run(update(site, ["lib/x/__init__.py"])).files["lib/x/__init__.py"] == b""

    def test_a_path_outside_of_the_folder_is_not_written(self, site, board):
        """The request is not even made."""
        site.publish("v2", {"../x.py": b"x"})
        life = board.run(update(site, ["../x.py"]))
        (said,) = life.prints
        assert said.startswith("Something went wrong: Updater: files is '../x.py': write a path")
        assert (len(life.requests), life.files) == (1, BOARD)


def head(length, body=b"", status=b"200 OK"):
    return Raw(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, length, body))


# Name, the server's answers, and what is printed.
BAD = [
    ("a body cut short", {"v2_main.py": head(500, b"main 2")}, "connection closed"),
    ("an empty file for one with content", {"v2_main.py": b""}, "main.py is empty"),
    ("a page for one file", {"v2_main.py": PAGE}, "main.py begins with '<'"),
    ("a page for every file", {"v2_main.py": PAGE, "v2_boot.py": b" \n" + PAGE}, "boot.py begins with '<'"),
    ("a page for everything", {"version": PAGE, "v2_main.py": PAGE, "v2_boot.py": PAGE}, "invalid version"),
    ("an empty version", {"version": b""}, "version is 0 bytes"),
    ("a version of white space", {"version": b" \n"}, "version is 0 bytes"),
    ("a version with a line break", {"version": b"v2\r\nX: y"}, "invalid version"),
    ("a version that never ends", {"version": b"2" * 5000}, "5000 bytes"),
    ("a version outside of the project", {"version": b"../../x"}, "not relative and plain"),
    ("a version cut short", {"version": head(20, b"v2")}, "connection closed"),
    ("a length below zero", {"v2_main.py": Raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx")}, "length '-1'"),
    ("another protocol", {"version": Raw(b"SSH-2.0-x\r\n\r\n")}, "is not HTTP"),
    ("no answer", {"version": Raw(b"")}, "version"),
    ("a length beyond all flash", {"v2_main.py": head(1 << 50, b"m")}, "length '1125899906842624'"),
]


class TestOwnVersion:
    @pytest.mark.parametrize(
        "content", ["v1\r\n".encode("utf-16"), bytes(range(128, 200)), b"", b"\0" * 200], ids=["UTF-16", "garbage", "empty", "zeros"]
    )
    def test_one_that_cannot_be_read_is_an_unknown_one(self, site, tmp_path, content):
        """A7: the board updates."""
        board = OldBoard(tmp_path / "board", site, {**BOARD, "version": content})
        life = board.run(update(site))
        assert life.files == {**BOARD, **FILES, "version": b"v2"}


class TestBadAnswers:
    @pytest.mark.parametrize("name, answers, said", BAD, ids=[row[0] for row in BAD])
    def test_nothing_is_installed(self, site, board, name, answers, said):
        """The files stay, the print says why, nothing resets, and nothing is left lying about."""
        site.answers.update({"/sample/" + path: answer for path, answer in answers.items()})
        life = board.run(update(site))
        assert len(life.prints) == 1 and life.prints[0].startswith(WRONG)
        assert said in life.prints[0]
        assert life.calls == [{"returned": None}]
        assert life.files == BOARD

    @pytest.mark.parametrize("where", ["version", "v2_main.py"])
    @pytest.mark.parametrize("abort", [False, True], ids=["closed", "reset"])
    def test_a_connection_cut_at_any_byte_installs_nothing(self, site, board, where, abort):
        """In the status line, in the headers and in the body."""
        body = b"v2 and some" if where == "version" else b"main 2"
        answer = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        cuts = iter(range(len(answer)))
        site.answers["/sample/" + where] = lambda: Raw(answer[: next(cuts, 0)], abort=abort)
        life = board.run(*[update(site)] * len(answer))
        # A kept connection that closes without an answer is tried anew: a request more.
        assert sum(path.endswith(where) for _, path, _ in life.requests) >= len(answer)
        assert life.calls == [{"returned": None}] * len(answer)
        assert [p[: len(WRONG)] for p in life.prints] == [WRONG] * len(answer)
        assert life.files == BOARD

    def test_a_good_answer_after_bad_ones_is_installed(self, site, board):
        """A failed attempt leaves nothing behind that stands in the way."""
        site.answers["/sample/v2_main.py"] = head(500, b"main 2")
        board.run(update(site), update(site))
        site.publish("v2", FILES)
        assert board.run(update(site)).files == {**BOARD, **FILES, "version": b"v2"}

    def test_a_silent_server_costs_the_timeout_and_no_more(self, site, board):
        """`timeout` counts for the answer and for the body."""
        stuck = threading.Event()
        site.answers["/sample/v2_main.py"] = Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nm", hold=stuck)
        began = datetime.datetime.now()
        life = board.run(update(site, timeout=1))
        stuck.set()
        assert 1 <= (datetime.datetime.now() - began).total_seconds() < 4
        assert life.prints[0].startswith(WRONG) and life.files == BOARD

    def test_a_chunked_body_is_installed(self, site, board):
        """micropython_ota cannot read one."""
        site.answers["/sample/v2_main.py"] = Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nmain \r\n1\r\n2\r\n0\r\n\r\n"
        )
        assert board.run(update(site)).files["main.py"] == b"main 2"


class TestResetLoop:
    @pytest.mark.parametrize("name, answers, said", BAD[:4] + [("404", {"v2_main.py": (404, b"")}, "not found")])
    def test_a_version_that_cannot_be_installed_resets_three_times_at_most(self, site, board, name, answers, said):
        """micropython_ota resets for ever."""
        site.answers.update({"/sample/" + path: answer for path, answer in answers.items()})
        lives = live(board, update(site), look(site))
        assert 1 <= len(lives) - 1 <= 3
        assert lives[-1].prints[-1] == "Something went wrong: version v2 could not be installed 3 times"
        assert all(life.files == BOARD for life in lives)

    def test_three_failed_updates_silence_the_check(self, site, board):
        """An attempt counts also when no check has asked for it."""
        site.answers["/sample/v2_main.py"] = (404, b"")
        assert board.run(update(site), update(site), look(site)).resets == ["hard"]
        life = board.run(update(site), look(site))
        assert (life.resets, life.prints[-1]) == ([], f"{WRONG}version v2 could not be installed 3 times")

    def test_an_update_that_fails_before_it_begins_counts_too(self, site, board):
        """As with a name that no board takes."""
        bad = update(site, ["../x.py"])
        assert board.run(bad, bad, bad, look(site)).resets == []

    def test_a_version_seen_first_by_the_check_gets_three_attempts(self, site, board):
        """The reset of the check and the attempt after it count as one."""
        site.answers["/sample/v2_main.py"] = (404, b"")
        board.run(look(site))
        assert len(live(board, update(site), look(site))) == 3

    def test_a_board_that_never_gets_as_far_as_an_update_stops_resetting(self, site, board):
        """The network may be down in boot.py and up in main.py; three writes of the state, no more."""
        lives = live(board, look(site))
        assert [life.resets for life in lives] == [["hard"]] * 3 + [[]]
        board.run(look(site), look(site))
        assert json.loads((board.folder / ".ota/state").read_text())[:3] == ["idle", 3, 3]

    @pytest.mark.parametrize("version", ["v3", "v1.9"], ids=["newer", "older"])
    def test_another_version_clears_the_memory(self, site, board, version):
        """It is installed as if nothing had been."""
        site.answers["/sample/v2_main.py"] = (404, b"")
        live(board, update(site), look(site))
        site.publish(version, FILES)
        assert board.run(look(site)).resets == ["hard"]
        assert board.run(update(site), look(site)).files == {**BOARD, **FILES, "version": version.encode()}

    def test_a_version_mended_on_the_server_is_installed_at_the_next_start(self, site, board):
        """The check is quiet; `ota_update` goes on trying whenever the board starts."""
        site.answers["/sample/v2_main.py"] = (404, b"")
        live(board, update(site), look(site))
        site.publish("v2", FILES)
        assert board.run(look(site)).resets == []
        assert board.run(update(site)).files == {**BOARD, **FILES, "version": b"v2"}

    def test_a_version_that_was_installed_counts_anew(self, site, board):
        """Back to v1 and once more v2: the check resets for both."""
        site.answers["/sample/v2_main.py"] = (404, b"")
        live(board, update(site), look(site))
        site.publish("v2", FILES)
        board.run(update(site))
        site.publish("v1", {"boot.py": b"boot 1", "main.py": b"main 1"})
        board.run(update(site))
        site.publish("v2", FILES)
        assert board.run(look(site)).resets == ["hard"]


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


class TestTls:
    @pytest.fixture
    def https(self, ca):
        """Makes a server with a certificate of `ca`."""
        sites = []

        def make(name="localhost", by=ca, **options):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            by.issue_cert(name, **options).configure_cert(context)
            site = Site(context)
            site.url = site.url.replace("127.0.0.1", "localhost")
            site.publish("v2", FILES)
            sites.append(site)
            return site

        yield make
        for site in sites:
            site.shutdown()
            site.server_close()

    @pytest.fixture
    def secure(self, tmp_path, ca):
        """Makes a board with the certificate of `ca`."""
        der = ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode())
        return lambda site, **more: OldBoard(tmp_path / "board", site, {**BOARD, "ota-ca.der": der, **more})

    def test_a_verified_server_gets_the_credentials_and_its_version_is_installed(self, https, secure):
        """The certificate of the authority lies on the board as ota-ca.der."""
        site = https()
        board = secure(site)
        life = board.run(look(site, user="ann", passwd="p"))
        assert life.resets == ["hard"]
        life = board.run(update(site, user="ann", passwd="p"))
        assert (life.resets, life.files["main.py"]) == (["hard"], FILES["main.py"])
        assert {auth for _, _, auth in life.requests} == {"Basic YW5uOnA="}

    def test_without_the_authority_nothing_is_sent(self, https, tmp_path):
        """No connection is made, and the print says what to put where."""
        site = https()
        board = OldBoard(tmp_path / "board", site, BOARD)
        life = board.run(update(site, user="ann", passwd="p"), look(site), ask(site))
        say = "put the certificate authority of the server, in DER, beside boot.py as ota-ca.der; nothing was sent"
        assert life.prints == [f"{WRONG}{site.url}: {say}"] * 3
        assert life.calls == [{"returned": None}, {"returned": None}, {"returned": [False, "v1"]}]
        assert site.connections == 0

    @pytest.mark.parametrize("what", ["wrong authority", "wrong host", "expired", "not yet valid", "no certificate"])
    def test_an_unverified_server_gets_no_credentials(self, https, secure, what):
        """Nothing of a request reaches it. A clock that stands at 2021 sees what is not yet valid."""
        now = datetime.datetime.now(datetime.timezone.utc)
        year = datetime.timedelta(days=365)
        options = {
            "wrong authority": {"by": trustme.CA()},
            "wrong host": {"name": "example.org"},
            "expired": {"not_before": now - 2 * year, "not_after": now - year},
            "not yet valid": {"not_before": now + year, "not_after": now + 2 * year},
            "no certificate": {},
        }[what]
        site = https(**options)
        board = secure(site, **({"ota-ca.der": b""} if what == "no certificate" else {}))
        before = board.files()
        life = board.run(update(site, user="ann", passwd="p"), ask(site, auth="YW5uOnA="))
        assert (life.requests, life.files) == ([], before)
        assert all(line.startswith(WRONG) for line in life.prints) and len(life.prints) == 2
        assert life.calls == [{"returned": None}, {"returned": [False, "v1"]}]

    def test_a_redirect_from_https_to_http_is_not_followed(self, https, secure, site):
        """No downgrade, no credentials in the open."""
        tls = https()
        to = (site.url + "/sample/version").encode()
        tls.answers["/sample/version"] = Raw(b"HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\n" % to)
        life = secure(tls).run(update(tls, user="ann", passwd="p"))
        assert life.prints[0].startswith(WRONG)
        assert site.log == []


class TestSmallBoards:
    @pytest.mark.parametrize("size", [20, 200], ids="{} KB".format)
    def test_the_size_of_a_file_does_not_count_for_the_heap(self, site, board, size):
        """The heap of a board with 104 KB does for every size."""
        data = bytes(range(256)) * 4 * size
        site.publish("v2", {"main.py": data})
        assert board.run(update(site, ["main.py"]), heap="104wK").files["main.py"] == data

    @pytest.mark.parametrize("kind", ["lfs2", "fat"])
    def test_two_updates_in_a_row_leave_the_new_files_and_no_litter(self, site, kind):
        """On both file systems of boards, files in folders included."""
        names = ["boot.py", "lib/a/b.py", "main.py"]
        site.publish("v2", {name: name.encode() * 500 for name in names})
        site.publish("v3", {name: name.encode() * 400 for name in names})
        versions = [b"v2", b"v2", b"v3"]
        site.answers["/sample/version"] = lambda: versions.pop(0)
        done = run_mp(
            """
from world import ARGS, json, os, power_up, ramflash, tell
power_up(ARGS[1], files={"boot.py": b"boot 1", "version": b"v1", "mine.txt": b"mine"})
import old_program
tell(calls=old_program.run(json.loads(ARGS[0])), files=ramflash.tree())
""",
            json.dumps([update(site, names, hard_reset_device=False)] * 3),
            kind,
        )
        assert done.stdout.startswith("FACTS"), done.stdout
        told = json.loads(done.stdout[6:])
        assert told["calls"] == [{"returned": None}] * 3
        assert told["files"] == {"mine.txt": "mine", "version": "v3", **{name: name * 400 for name in names}}

    def test_the_original_holds_a_file_twice(self, site, tmp_path):
        """So that the test above says something: a heap of 400 KB is not enough for 200."""
        site.publish("v2", {"main.py": b"x = 1\n" * 34000})
        board = OldBoard(tmp_path / "original", site, BOARD, "2.1.0")
        life = board.run(update(site, ["main.py"]), heap="400k")
        assert life.prints[0].startswith(WRONG + "memory allocation failed")
        assert life.files["version"] == b"v1"

    @pytest.mark.parametrize(
        "size, told",
        [
            pytest.param(70000, True, id="the new one, length known"),
            pytest.param(70000, False, id="the new one, length unknown"),
            pytest.param(30000, True, id="the copy of the old one, length known"),
            pytest.param(30000, False, id="the copy of the old one, length unknown"),
        ],
    )
    def test_a_file_that_does_not_fit_leaves_everything_as_it_was(self, site, size, told):
        """A littlefs of 128 KB: the print says so, and the space is free again; twice."""
        before = {"boot.py": "boot 1", "main.py": "1" * 40000, "version": "v1"}
        data = b"m" * size
        site.publish("v2", {"boot.py": b"boot 2", "main.py": data if told else Raw(b"HTTP/1.0 200 OK\r\n\r\n" + data)})
        done = run_mp(
            """
from world import ARGS, json, os, power_up, ramflash, status, tell
power_up(blocks=32, files={path: text.encode() for path, text in json.loads(ARGS[1]).items()})
import old_program
free = os.statvfs("/flash")[3]
calls = old_program.run(json.loads(ARGS[0]))
lost = free - os.statvfs("/flash")[3]
tell(calls=calls, files=ramflash.tree(), lost=lost, phase=status()["phase"])
""",
            json.dumps([update(site)] * 2),
            json.dumps(before),
            heap="4M",  # the whole tree is told as one text
        )
        *said, last = done.stdout.splitlines()
        told = json.loads(last[6:])
        assert [line[: len(WRONG)] for line in said] == [WRONG] * 2
        assert told["calls"] == [{"returned": None}] * 2
        assert (told["files"], told["phase"]) == (before, "idle")
        assert told["lost"] <= 4, "blocks, for .ota with the record and a list"
