"""The drop-in for `micropython_ota`: does what the original does, without what it gets wrong."""

import json
import socket
import time

import pytest
from old_board import WRONG, OldBoard, Site, comparable, original

BOARD = {"boot.py": b"boot 1", "main.py": b"main 1", "version": b"v1.0.0", "mine.txt": b"mine"}
FILES = {"boot.py": "boot 2 \u00e9\n".encode(), "main.py": b"main 2" * 999}
NAMES = ["boot.py", "main.py"]
USER = {"user": "ann", "passwd": "s3cret"}


@pytest.fixture
def site():
    """A server that offers v1.0.1 in both layouts."""
    with Site() as server:
        server.publish("v1.0.1", FILES)
        server.publish("v1.0.1", FILES, separator="/")
        yield server
        server.shutdown()


@pytest.fixture
def refusing():
    """The URL of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield "http://127.0.0.1:%d" % free.getsockname()[1]


def update(*more, **options):
    return ["ota_update", ["HOST", "sample", NAMES, *more], options]


def look(*more, **options):
    return ["check_for_ota_update", ["HOST", "sample", *more], options]


def ask(*more, **options):
    return ["check_version", ["HOST", "sample", *more], options]


def auth(*more, **options):
    return ["generate_auth", list(more), options]


def place(calls, host):
    """`calls` with the server's URL in the place of HOST."""
    return json.loads(json.dumps(calls).replace('"HOST', '"' + host))


NEWER, NONE, SAME, OLDER = b"v1.0.0", None, b"v1.0.1\n", b"v9"

# Name, what the file `version` on the board holds, calls, and changes to the server's answers.
ROWS = [
    ("a newer version, hard reset", NEWER, [update(), ask()], {}),
    ("a newer version, no reset", NEWER, [update(hard_reset_device=False), ask()], {}),
    ("a newer version, twice", NEWER, [update(hard_reset_device=False), update()], {}),
    ("a newer version, soft reset", NEWER, [update(soft_reset_device=True, hard_reset_device=False)], {}),
    ("soft reset wins over hard", NEWER, [update(soft_reset_device=True, hard_reset_device=True)], {}),
    ("no version on the board", NONE, [update()], {}),
    ("the same version", SAME, [update(), ask()], {}),
    ("an older version on the server", OLDER, [update()], {}),
    ("only the first line counts", b" v1.0.1 \r\nv7\n", [update()], {}),
    ("an empty version file", b"", [update()], {}),
    ("white space around the remote version", NEWER, [update()], {"version": b" v1.0.1\r\n"}),
    ("a version of no scheme", NEWER, [ask(), look()], {"version": b"2024-05-01_b"}),
    ("4th argument False: sub-directory", NEWER, [update(False)], {}),
    ("4th argument True: prefix", NEWER, [update(True)], {}),
    ("sub-directory by keyword", NEWER, [update(use_version_prefix=False)], {}),
    ("every argument by position", NEWER, [update(False, "ann", "s3cret", False, True, 3)], {}),
    ("a tuple of arguments by keyword", NEWER, [["ota_update", [], {
        "host": "HOST", "project": "sample", "filenames": NAMES, "timeout": 3}]], {}),
    ("one file of two", NEWER, [["ota_update", ["HOST", "sample", ["main.py"]], {}]], {}),
    ("no files", NEWER, [["ota_update", ["HOST", "sample", []], {}]], {}),
    ("files in another order", NEWER, [["ota_update", ["HOST", "sample", NAMES[::-1]], {}]], {}),
    ("credentials", NEWER, [update(**USER)], {}),
    ("credentials, another layout", NEWER, [update(False, "ann", "s3cret")], {}),
    ("a user and no password", NEWER, [update(user="ann"), look("ann")], {}),
    ("a password and no user", NEWER, [update(passwd="p"), look(passwd="p")], {}),
    ("empty credentials", NEWER, [update(user="", passwd="")], {}),
    ("a colon and an umlaut in the password", NEWER, [update(user="ann", passwd="a:b\u00fc")], {}),
    ("long credentials", NEWER, [update(user="a" * 70, passwd="b" * 70)], {}),
    ("404 on version", NEWER, [update(), look(), ask()], {"version": (404, b"gone")}),
    ("401 on version", NEWER, [update(), look(), ask()], {"version": (401, b"who?")}),
    ("500 on version", NEWER, [update(), look(), ask()], {"version": (500, b"oops")}),
    ("404 on the first file", NEWER, [update(), ask()], {"v1.0.1_boot.py": (404, b"gone")}),
    ("404 on the last file", NEWER, [update()], {"v1.0.1_main.py": (404, b"gone")}),
    ("404 on every file", NEWER, [update()], {"v1.0.1_boot.py": (404, b""), "v1.0.1_main.py": (404, b"")}),
    ("404 in the sub-directory", NEWER, [update(False)], {"v1.0.1/boot.py": (404, b"gone")}),
    ("503 on a file", NEWER, [update()], {"v1.0.1_boot.py": (503, b"later")}),
    ("check: a newer version, hard reset", NEWER, [look()], {}),
    ("check: a newer version, soft reset", NEWER, [look(soft_reset_device=True)], {}),
    ("check: an older version, by position", OLDER, [look(None, None, 5, True)], {}),
    ("check: no version on the board", NONE, [look()], {}),
    ("check: the same version", SAME, [look()], {}),
    ("check: credentials", NEWER, [look("ann", "s3cret")], {}),
    ("check_version: it differs", NEWER, [ask()], {}),
    ("check_version: the same", SAME, [ask()], {}),
    ("check_version: none here", NONE, [ask()], {}),
    ("check_version: credentials", NEWER, [ask("YW5uOnMzY3JldA=="), ask(auth="YW5uOnMzY3JldA==", timeout=3)], {}),
    ("generate_auth", NEWER, [auth(), auth(None, None), auth("ann", "p"), auth(**USER), auth("\u00e4", "\u20ac")], {}),
    ("generate_auth, one of two", NEWER, [auth("ann"), auth(passwd="p"), auth("", "p"), auth("ann", "")], {}),
]


@pytest.mark.parametrize("name, version, calls, answers", ROWS, ids=[row[0] for row in ROWS])
def test_a_program_does_what_it_did_with_the_original(site, tmp_path, name, version, calls, answers):
    """Same requests, prints, files, results and resets as micropython_ota 2.1.0."""
    site.answers.update({"/sample/" + path: answer for path, answer in answers.items()})
    lives = []
    for library in ("2.1.0", None):
        files = {**BOARD, "version": version} if version is not None else {"boot.py": b"boot 1"}
        board = OldBoard(tmp_path / str(library), site, files, library)
        lives.append(board.run(*place(calls, site.url)))
    theirs, ours = lives
    assert ours.requests == theirs.requests
    assert comparable(ours.prints) == comparable(theirs.prints)
    assert ours.calls == theirs.calls
    assert ours.files == theirs.files
