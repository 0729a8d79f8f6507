"""What `ota publish` collects: what stays out, what is refused, and what git has to say."""

import base64
import os
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from support import run_mp
from test_publish import BOOT, project

from ota_host import release, sources
from ota_host.config import Config
from ota_host.errors import ConfigError, HostError
from ota_host.excludes import BESIDE
from ota_host.keys.files import generate
from ota_host.private_keys import find

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n"


def git(folder, *words):
    base = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    return subprocess.run([*base, "-C", folder, *words], check=True, capture_output=True, text=True).stdout


def commit(folder, *tags):
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    for tag in tags:
        git(folder, "tag", tag)


def collected(made):
    return list(sources.collect(made).files)


def refused(made):
    with pytest.raises(HostError) as e:
        release.build(made)
    return str(e.value)


class TestSourceText:
    @pytest.mark.parametrize("path", ["boot.py", "lib/net.py"])
    def test_a_byte_order_mark_is_refused_in_every_python_file(self, tmp_path, path):
        """By file and line; MicroPython would read it as part of the first name."""
        files = {"boot.py": BOOT, path: b"\xef\xbb\xbf" + BOOT.encode()}
        assert refused(project(tmp_path, files)).startswith(f"{path}, line 1: starts with a byte order mark (BOM)")

    def test_utf_16_is_refused(self, tmp_path):
        """With what to do."""
        said = refused(project(tmp_path, {"boot.py": BOOT, "a.py": "x = 1\n".encode("utf-16")}))
        assert said == "a.py, line 1: is UTF-16, which MicroPython cannot read; save the file as UTF-8"

    @pytest.mark.parametrize("char", ["\ufeff", "\u200b", "\xa0", "\u201c"])
    def test_a_character_that_micropython_takes_for_a_part_of_a_name_is_refused(self, tmp_path, char):
        """A no-break space or a typographic quote from a web page compiles there, and fails when it runs."""
        said = refused(project(tmp_path, {"boot.py": BOOT, "a.py": f"y = 1\nx{char} = y\n"}))
        assert said.startswith(f"a.py, line 2: has the character U+{ord(char):04X} outside of a string or comment")

    def test_any_character_may_be_in_a_string_or_a_comment(self, tmp_path):
        """And letters of any language in a name."""
        text = "größe = '\ufeff\xa0\u201c'  # \u200b\n"
        assert "a.py" in collected(project(tmp_path, {"boot.py": BOOT, "a.py": text, "b.py": b"# \xe9\n"}))

    def test_data_keeps_its_byte_order_mark(self, tmp_path):
        """Only programs are read by MicroPython."""
        assert "a.csv" in collected(project(tmp_path, {"boot.py": BOOT, "a.csv": b"\xef\xbb\xbfa;b"}))


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 1024)


def private(key, encoding, form, password=b""):
    return key.private_bytes(encoding, form, BestAvailableEncryption(password) if password else NoEncryption())


class TestPrivateKeys:
    @pytest.mark.parametrize(("encoding", "form", "password"), [
        pytest.param(Encoding.PEM, PrivateFormat.PKCS8, b"", id="pem"),
        pytest.param(Encoding.PEM, PrivateFormat.PKCS8, b"secret", id="encrypted-pem"),
        pytest.param(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, b"", id="traditional-pem"),
        pytest.param(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, b"secret", id="encrypted-traditional-pem"),
        pytest.param(Encoding.DER, PrivateFormat.PKCS8, b"", id="der"),
        pytest.param(Encoding.DER, PrivateFormat.PKCS8, b"secret", id="encrypted-der"),
        pytest.param(Encoding.DER, PrivateFormat.TraditionalOpenSSL, b"", id="traditional-der"),
    ])  # fmt: skip
    @pytest.mark.parametrize("kind", ["rsa", "ec"])
    def test_keys_as_openssl_writes_them_are_found(self, rsa_key, encoding, form, password, kind):
        """In text and in DER, encrypted or not."""
        key = rsa_key if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        assert find(private(key, encoding, form, password)).startswith("a private key")

    def test_keys_of_openssh_and_of_ed25519_are_found(self, rsa_key):
        """The shortest keys that there are."""
        key = ed25519.Ed25519PrivateKey.generate()
        assert find(private(key, Encoding.PEM, PrivateFormat.OpenSSH))
        assert find(private(key, Encoding.PEM, PrivateFormat.PKCS8))
        assert find(private(key, Encoding.DER, PrivateFormat.PKCS8))
        assert find(b"PuTTY-User-Key-File-3: ssh-ed25519\n")

    @pytest.mark.parametrize("wrap", [
        pytest.param(lambda der: base64.encodebytes(der), id="lines"),
        pytest.param(lambda der: b"KEY = %r\n" % der, id="bytes"),
        pytest.param(lambda der: b"KEY = unhexlify('%s')\n" % der.hex().encode(), id="hex"),
        pytest.param(lambda der: b"KEY = (\n" + b"".join(b"    '%s'\n" % x for x in base64.encodebytes(der).split()) + b")\n", id="literals"),
    ])  # fmt: skip
    def test_a_key_in_a_program_is_found_in_whatever_form(self, tmp_path, rsa_key, wrap):
        data = wrap(private(rsa_key, Encoding.DER, PrivateFormat.PKCS8))
        said = refused(project(tmp_path, {"boot.py": BOOT, "keys.py": data}))
        assert said.startswith("keys.py: contains a private key (DER")

    def test_text_that_only_resembles_a_key_file_is_none(self):
        assert find(b"eyJ" + b"a" * 22 + b".b.c.d.e") is None

    @pytest.mark.parametrize("password", [b"", b"secret"], ids=["open", "encrypted"])
    def test_a_key_store_is_found(self, rsa_key, password):
        """PKCS#12, as .p12 and .pfx files are."""
        kind = BestAvailableEncryption(password) if password else NoEncryption()
        assert find(pkcs12.serialize_key_and_certificates(b"x", rsa_key, None, None, kind)) == "a PKCS#12 key store"

    @pytest.mark.parametrize("alg", ["RS256", "ES256", "HS256"])
    @pytest.mark.parametrize("password", [None, lambda name: b"secret"], ids=["open", "encrypted"])
    def test_the_files_of_ota_keygen_are_found(self, tmp_path, alg, password):
        """And no public one, but that of HS256, which is the secret itself."""
        generate(tmp_path / "k", alg, 2048, password)
        assert find((tmp_path / "k").read_bytes())
        assert bool(find((tmp_path / "k.pub").read_bytes())) == (alg == "HS256")

    @pytest.mark.parametrize("wrap", [
        pytest.param(lambda pem: b"x = 1\nKEY = b'''" + pem + b"'''\n", id="program"),
        pytest.param(lambda pem: b'{"private_key": "' + pem.replace(b"\n", b"\\n") + b'"}', id="json"),
        pytest.param(lambda pem: b"\n".join(b'    "%s\\n"' % line for line in pem.splitlines()), id="quoted-lines"),
        pytest.param(lambda pem: pem.decode().encode("utf-16"), id="utf-16"),
        pytest.param(lambda pem: b"\x89PNG" + bytes(100) + pem, id="behind-other-bytes"),
        pytest.param(lambda pem: b"k = '%s'" % b"".join(pem.splitlines()[1:-1]), id="without-its-frame"),
    ])  # fmt: skip
    def test_a_key_inside_another_file_is_found(self, rsa_key, wrap):
        """Whatever is around it."""
        assert find(wrap(private(rsa_key, Encoding.PEM, PrivateFormat.PKCS8)))

    def test_what_is_no_private_key_passes(self, rsa_key):
        """Public keys, and programs that know what a key looks like."""
        public = rsa_key.public_key()
        for encoding in (Encoding.PEM, Encoding.DER):
            assert not find(public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo))
        assert not find(b'if b"-----BEGIN RSA PRIVATE KEY-----" in data:\n    return decode(data)\n' * 20)
        assert not find(b'{"kty": "RSA", "n": "' + b"A" * 300 + b'", "e": "AQAB"}')
        assert not find(b"SignatureVerifier(['HS256:...'])")
        assert not find(base64.b64encode(bytes([0x30]) + os.urandom(200)))
        assert not find(b"") and not find(b"0" * 100)

    @pytest.mark.parametrize("name", ["id_rsa", "lib/notes.txt", "main.py"])
    def test_a_release_with_one_is_refused_whatever_the_name(self, tmp_path, rsa_key, name):
        """The message has the file and the ways out."""
        key = private(rsa_key, Encoding.PEM, PrivateFormat.PKCS8).decode()
        said = refused(project(tmp_path, {"boot.py": BOOT, name: f"KEY = '''{key}'''\n"}))
        assert said.startswith(f"{name}: contains a private key (PEM), and a release is public; move it out of the")
        assert "leave it out with `exclude`" in said

    def test_one_that_is_left_out_is_no_matter(self, tmp_path, rsa_key):
        """It is not read, let alone published."""
        key = private(rsa_key, Encoding.PEM, PrivateFormat.PKCS8)
        assert collected(project(tmp_path, {"boot.py": BOOT, "k.pem": key}, exclude=["*.pem"])) == ["boot.py"]


class TestLinks:
    def link(self, tmp_path, name, to):
        made = project(tmp_path, {"boot.py": BOOT, "shared/net.py": "x = 1\n"})
        (tmp_path / "src" / name).symlink_to(to)
        return made

    @pytest.mark.parametrize(("name", "to"), [("lib", "shared"), ("net.py", "shared/net.py"), ("loop", ".")])
    def test_one_inside_the_source_folder_is_followed(self, tmp_path, name, to):
        """But a loop ends."""
        made = self.link(tmp_path, name, to)
        expected = {"lib": ["boot.py", "lib/net.py", "shared/net.py"], "net.py": ["boot.py", "net.py", "shared/net.py"]}
        assert collected(made) == expected.get(name, ["boot.py", "shared/net.py"])

    @pytest.mark.parametrize("to", ["../other", "../other/secret.txt", "/etc/passwd", "shared/../../other"])
    def test_one_that_leads_out_is_refused(self, tmp_path, to):
        """Folder or file, with where it leads."""
        (tmp_path / "other").mkdir()
        (tmp_path / "other/secret.txt").write_text("x")
        said = refused(self.link(tmp_path, "x", to))
        assert said.startswith(f"path 'x': is a link to {to}, outside of the source folder; copy what it leads to")

    def test_one_that_leads_out_by_another_one_is_refused(self, tmp_path):
        """What counts is where it ends."""
        (tmp_path / "other").write_text("x")
        made = self.link(tmp_path, "a", "b")
        (tmp_path / "src/b").symlink_to("../other")
        assert "path 'a': is a link to b, outside of the source folder" in refused(made)

    @pytest.mark.parametrize("to", ["../shared/drivers", "x"])
    def test_one_to_nowhere_is_refused_with_where_it_should_lead(self, tmp_path, to):
        """Mostly a submodule is not checked out; a link to itself leads nowhere too."""
        said = refused(self.link(tmp_path, "x", to))
        assert said.startswith(f"path 'x': is a link to {to}, which does not exist; restore it (for a submodule: `git sub")

    @pytest.mark.parametrize("pattern", ["x", "x/"])
    def test_one_that_is_excluded_is_not_looked_at(self, tmp_path, pattern):
        """As the message says; nobody knows whether what is not there is a folder."""
        made = self.link(tmp_path, "x", "../nowhere")
        made.exclude.append(pattern)
        assert collected(made) == ["boot.py", "shared/net.py"]

    def test_a_source_folder_that_is_a_link_is_its_target(self, tmp_path):
        """It was named by hand."""
        made = project(tmp_path, {"boot.py": BOOT, "shared/net.py": ""})
        (tmp_path / "src").rename(tmp_path / "real")
        (tmp_path / "src").symlink_to("real")
        assert collected(made) == ["boot.py", "shared/net.py"]


class TestJunk:
    @pytest.mark.parametrize("path", [
        "venv/lib/pip.py", "env39/pyvenv.cfg", "env39/lib/pip.py", "web/node_modules/a/b.js", "x.egg-info/PKG-INFO",
        "main.py~", "#main.py#", ".#main.py", "main.py.swp", ".main.py.swp", "main.py.bak", "main.py.orig", "~$a.docx",
        "Thumbs.db", "desktop.ini", ".DS_Store", "__MACOSX/main.py", "lib/__pycache__/x.pyc",
    ])  # fmt: skip
    def test_what_nobody_means_to_publish_stays_out(self, tmp_path, path):
        """Environments, backups of editors, litter of operating systems."""
        files = {"boot.py": BOOT, "lib/environment.py": "", "data/swap.txt": "", path: "x"}
        if path.startswith("env39"):
            files["env39/pyvenv.cfg"] = ""
        assert collected(project(tmp_path, files)) == ["boot.py", "data/swap.txt", "lib/environment.py"]
        assert sources.collect(project(tmp_path, files)).warnings == []

    def test_what_lies_beside_the_sources_is_known_to_ota_init(self):
        """And what a board may need is not: pictures, fonts, pages, data."""
        spec = sources.spec("exclude", [glob for _, globs in BESIDE for glob in globs])
        out = ["LICENSE.md", "README.rst", "setup.py", "pyproject.toml", "package.json", "test/a.py", "tests/a.py", "test_a.py"]
        out += ["native/a.c", "a/b.h", "firmware.uf2", "ESP32_GENERIC-20240602-v1.23.0.bin", "logo.psd", "board.kicad_pcb"]
        kept = ["logo.png", "font.bin", "www/index.html", "www/app.js", "config.json", "settings.toml", "lib/setup.py", "latest.py"]
        assert [path for path in out if not spec.match_file(path)] == []
        assert [path for path in kept if spec.match_file(path)] == []


class TestGitIgnore:
    def files(self, **more):
        return {"boot.py": BOOT, "secrets.py": "", "log/a.txt": "", "log/keep.txt": "", "lib/gen.py": "", **more}

    @pytest.mark.parametrize("has_git", [True, False], ids=["repository", "download"])
    @pytest.mark.parametrize("where", ["", "src/"], ids=["above", "inside"])
    def test_what_gitignore_names_stays_out_and_is_named(self, tmp_path, where, has_git):
        """With or without a repository, and from a .gitignore above the source folder."""
        made = project(tmp_path, self.files())
        (tmp_path / where / ".gitignore").write_text("\ufeffsecrets.py\n/log\n" if where else "secrets.py\n/src/log\n")
        if has_git:
            commit(tmp_path)
        found = sources.collect(made)
        assert list(found.files) == ["boot.py", "lib/gen.py"]
        assert found.warnings == [
            'left out because git ignores it: log/, secrets.py; to publish one, put "!/log/" into `exclude` in ota.toml'
        ]

    def test_nested_files_and_negations_count_as_in_git(self, tmp_path):
        """The nearest decides; git itself says the same."""
        more = {"lib/.gitignore": "!gen.py\n*.tmp.py\n", "lib/x.tmp.py": "", "log/.gitignore": "*\n!keep.txt\n"}
        made = project(tmp_path, self.files(**more))
        (tmp_path / ".gitignore").write_text("gen.py\n")
        git(tmp_path, "init", "-q")
        listed = subprocess.check_output(["git", "-C", tmp_path / "src", "ls-files", "-co", "--exclude-standard"], text=True)
        expected = sorted(path for path in listed.split() if ".gitignore" not in path)
        assert collected(made) == expected == ["boot.py", "lib/gen.py", "log/keep.txt", "secrets.py"]

    @pytest.mark.parametrize(
        "rules", ["*\n!*/\n!*.py\nsecrets.py\n", "*\n!*/\n!*.py\n", "*\n!/src/\n!/src/*.py\n", "*\n!src/\n!src/lib/\n!src/lib/*.py\n", "b\n!foo\n"]
    )
    def test_a_list_of_what_is_allowed_means_what_git_takes_it_to_mean(self, tmp_path, rules):
        files = {"boot.py": BOOT, "secrets.py": "W = 1", "lib/a.py": "1", "lib/a.key": "x", "foo/b/c.py": "1", "main.py": ""}
        made = project(tmp_path, files)
        (tmp_path / ".gitignore").write_text(rules)
        git(tmp_path, "init", "-q")
        listed = git(tmp_path / "src", "ls-files", "-c", "-o", "--exclude-standard").split()
        assert collected(made) == sorted(listed)

    def test_the_rules_of_a_repository_inside_the_source_folder_count_there(self, tmp_path):
        """Git lists it as one entry."""
        made = project(tmp_path, {"boot.py": BOOT, "lib/sub/a.py": "", "lib/sub/secrets.py": "", "lib/sub/.gitignore": "secrets.py\n"})
        git(tmp_path / "src/lib/sub", "init", "-q")
        git(tmp_path, "init", "-q")
        assert collected(made) == ["boot.py", "lib/sub/a.py"]

    @pytest.mark.parametrize("line", ["[z-a]", "foo[9-0].py", "\\"])
    def test_a_line_that_is_no_pattern_is_passed_over_as_git_does(self, tmp_path, line):
        made = project(tmp_path, {"boot.py": BOOT, "secrets.py": ""})
        (tmp_path / ".gitignore").write_text(line + "\nsecrets.py\n")
        assert collected(made) == ["boot.py"]

    def test_info_exclude_counts_too(self, tmp_path):
        """Also in a work tree of its own, where .git is a file."""
        project(tmp_path / "one", self.files())
        commit(tmp_path / "one")
        git(tmp_path / "one", "worktree", "add", "-q", tmp_path / "two")
        (tmp_path / "one/.git/info/exclude").write_text("new.py\n")
        (tmp_path / "two/src/new.py").write_text("")
        assert "new.py" not in collected(Config(folder=tmp_path / "two", project="sample"))

    def test_a_file_that_is_tracked_is_published(self, tmp_path):
        """Templates of .gitignore for Python name lib/."""
        made = project(tmp_path, self.files())
        commit(tmp_path)
        (tmp_path / ".gitignore").write_text("lib/\nlog/\n")
        (tmp_path / "src/lib/untracked.py").write_text("")
        assert collected(made) == sorted(self.files())

    def test_exclude_takes_back(self, tmp_path):
        """As the warning says."""
        made = project(tmp_path, self.files(), exclude=["!/log/", "!/secrets.py"])
        (tmp_path / ".gitignore").write_text("secrets.py\nlog/\n")
        assert collected(made) == sorted(self.files())

    def test_a_source_folder_that_is_ignored_itself_is_published(self, tmp_path):
        """That of a build is; it was named all the same, and its own .gitignore counts."""
        made = project(tmp_path, self.files(**{".gitignore": "secrets.py\n"}))
        (tmp_path / ".gitignore").write_text("/src/\n")
        commit(tmp_path)
        assert collected(made) == ["boot.py", "lib/gen.py", "log/a.txt", "log/keep.txt"]

    def test_when_nothing_is_left_it_is_named(self, tmp_path):
        """An empty release is refused."""
        made = project(tmp_path, {"main.py": "", ".gitignore": "*\n"})
        assert "the globs leave no file of" in refused(made) and "; git ignores main.py" in refused(made)


class TestIncomplete:
    def test_a_pointer_of_git_lfs_is_refused(self, tmp_path):
        """The board would get the pointer."""
        said = refused(project(tmp_path, {"boot.py": BOOT, "font.bin": LFS}))
        assert said == (
            f"font.bin: is a Git LFS pointer of {len(LFS)} bytes, not the file itself; run `git lfs pull`, or leave it out "
            "with `exclude`"
        )
        assert "b" in collected(project(tmp_path, {"boot.py": BOOT, "b": b"x" + LFS}))

    def test_a_submodule_that_is_not_checked_out_is_a_warning(self, tmp_path):
        """And so is any empty folder; one that is excluded is not."""
        (tmp_path / "driver").mkdir()
        (tmp_path / "driver/x.py").write_text("")
        commit(tmp_path / "driver")
        made = project(tmp_path / "p", {"boot.py": BOOT})
        git(tmp_path / "p", "init", "-q")
        git(tmp_path / "p", "submodule", "add", "-q", tmp_path / "driver", "src/lib/driver")
        assert collected(made) == ["boot.py", "lib/driver/x.py"]
        commit(tmp_path / "p")
        git(tmp_path, "clone", "-q", "p", "clone")
        made = Config(folder=tmp_path / "clone", project="sample")
        (warning,) = sources.collect(made).warnings
        assert warning.startswith("lib/driver/: an empty folder") and "`git submodule update --init --recursive`" in warning
        made.exclude.append("lib/driver")
        assert sources.collect(made).warnings == []

    def test_scripts_for_the_pc_are_named_together_with_the_way_out(self, tmp_path):
        """MicroPython does not know `match`."""
        script = "import sys\nmatch sys.argv[1]:\n    case 'a':\n        pass\n"
        said = refused(project(tmp_path, {"boot.py": BOOT, "tools/a.py": script, "tools/b.py": script}))
        assert said == (
            "tools/a.py, line 2: SyntaxError: invalid syntax (MicroPython cannot compile this file or tools/b.py; leave out "
            "with `exclude` what is not for the board)"
        )

    def test_files_in_the_destination_are_named(self, tmp_path):
        """Pages in public/ are in no release; what ota publish writes there is no matter."""
        made = project(tmp_path, {"boot.py": BOOT, "public/index.html": "x", "public/sample/stable.manifest": "x"})
        made = Config(folder=tmp_path, project="sample", destination="src/public")
        (warning,) = sources.collect(made).warnings
        assert warning.startswith("public/index.html: not published, because releases are served from public/")

    def test_the_destination_may_be_the_source_folder(self, tmp_path):
        """The tree is no source."""
        made = project(tmp_path, {"boot.py": BOOT, "sample/stable.manifest": "x"}, destination="src")
        assert collected(made) == ["boot.py"]


FAT = """
import os, vfs
class Ram:
    def __init__(self): self.data = bytearray(128 * 4096)
    def readblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]
    def writeblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        self.data[at : at + len(buffer)] = buffer
    def ioctl(self, op, arg): return {4: 128, 5: 4096}.get(op, 0)
flash = Ram()
vfs.VfsFat.mkfs(flash)
vfs.mount(vfs.VfsFat(flash), "/fat")
for name in NAMES:
    try:
        open("/fat/" + name, "w").close()
        assert name in os.listdir("/fat")
        os.remove("/fat/" + name)
    except (OSError, AssertionError):
        print(name)
"""


def test_the_names_that_fat_cannot_hold_are_those_of_micropython(tmp_path):
    """Each printable character, and the names that Windows keeps for devices."""
    names = [f"q{chr(i)}.txt" for i in range(33, 127) if chr(i) not in "/:\\"] + ["CON", "aux.py", " a", "é", "a.b.c"]
    refused = run_mp(f"NAMES = {names!r}\n" + FAT).stdout.split("\n")[:-1]
    assert refused == [name for name in names if sources.not_on_fat([name])] == [f"q{c}.txt" for c in '"*<>?|']


def test_a_name_that_fat_cannot_hold_is_a_warning(tmp_path):
    """Boards with littlefs can hold it; what no board keeps as it is, such as a dot at the end, is refused."""
    made = project(tmp_path, {"boot.py": BOOT, "q?.txt": ""})
    (warning,) = release.build(made).warnings
    assert warning.startswith('q?.txt: FAT allows none of " * < > ? | in a name, so boards with FAT would refuse the rel')
    assert "has the part 'a.txt.'" in refused(project(tmp_path, {"boot.py": BOOT, "a.txt.": ""}))
    assert "has the part 'b '" in refused(project(tmp_path, {"boot.py": BOOT, "b /c": ""}))


def test_compile_leaves_what_compile_exclude_names(tmp_path):
    """A launcher lists *.py."""
    files = {"boot.py": BOOT, "apps/a.py": "x = 1\n", "apps/b.py": "x = 2\n", "lib/net.py": "x = 3\n"}
    made = project(tmp_path, files, compile=True, compile_exclude=["/apps/*", "!b.py"])
    assert [e["p"] for e in release.build(made).entries] == ["apps/a.py", "apps/b.mpy", "boot.py", "lib/net.mpy"]


class TestVersion:
    @pytest.fixture
    def made(self, tmp_path):
        """A project at the root of a repository, on the tag v1.2.3, with an ota.toml and releases that are not in it."""
        project(tmp_path, {"boot.py": BOOT, "main.py": "", "docs/a.md": "", "docs/b.md": ""})
        for path in (tmp_path / "src").iterdir():
            path.rename(tmp_path / path.name)
        (tmp_path / "src").rmdir()
        made = Config(folder=tmp_path, project="sample", source=".", exclude=["docs/"])
        commit(tmp_path, "v1.2.3")
        (tmp_path / "ota.toml").write_text('project = "sample"\n')
        (tmp_path / "public/sample").mkdir(parents=True)
        (tmp_path / "public/sample/stable.manifest").write_text("x")
        return made

    def test_only_files_of_the_release_count_as_changes(self, tmp_path, made):
        """ota.toml, the releases and what is excluded do not."""
        (tmp_path / "docs/a.md").write_text("x")
        (tmp_path / "docs/b.md").unlink()
        assert release.choose_version(None, made) == "v1.2.3"

    @pytest.mark.parametrize(("change", "named"), [
        pytest.param(lambda f: (f / "main.py").write_text("x"), "main.py differs", id="changed"),
        pytest.param(lambda f: (f / "main.py").unlink(), "main.py differs", id="deleted"),
        pytest.param(lambda f: git(f, "rm", "-q", "main.py"), "main.py differs", id="removed"),
        pytest.param(lambda f: git(f, "mv", "main.py", "x.py"), "main.py, x.py differ", id="renamed"),
        pytest.param(lambda f: (f / "new é.py").write_text(""), "new é.py differs", id="untracked"),
    ])  # fmt: skip
    def test_a_file_that_differs_from_the_tag_is_named(self, tmp_path, made, change, named):
        """Otherwise the same tag would name two contents."""
        change(tmp_path)
        with pytest.raises(ConfigError, match=f"^no version: {named} from the git tag v1.2.3; commit and tag, or give"):
            release.choose_version(None, made)

    def test_a_file_of_a_submodule_counts(self, tmp_path, made):
        """And behind a link, what it leads to."""
        (tmp_path / "x/driver").mkdir(parents=True)
        (tmp_path / "x/driver/net.py").write_text("")
        commit(tmp_path / "x/driver")
        git(tmp_path, "submodule", "add", "-q", tmp_path / "x/driver", "lib")
        made.exclude.append("/x/")
        (tmp_path / ".gitignore").write_text("x/\n")
        commit(tmp_path, "v1.2.4")
        assert release.choose_version(None, made) == "v1.2.4"
        (tmp_path / "lib/net.py").write_text("x = 1\n")
        with pytest.raises(ConfigError, match="no version: lib/net.py differs from the git tag v1.2.4"):
            release.choose_version(None, made)

    def test_of_several_tags_the_highest_version_is_taken(self, tmp_path, made):
        """Whatever git lists first."""
        for tag in ("latest", "1.0.0", "v1.2.10-rc.1", "v1.2.10", "v1.2.9", "zz", "1.2"):
            git(tmp_path, "tag", tag)
        assert release.choose_version(None, made) == "v1.2.10"

    def test_tags_that_are_no_version_are_named(self, tmp_path, made):
        """With the other ways to give one."""
        git(tmp_path, "tag", "-d", "v1.2.3")
        git(tmp_path, "tag", "-a", "-m", "x", "latest")
        with pytest.raises(ConfigError, match=r"^no version: give --version, .* \(of the tags on this commit, latest, none"):
            release.choose_version(None, made)
