"""What an Updater is made with is checked at once: refused with what to write, or understood."""

import json

import pytest
from support import release, run_mp, told_by

from ota.errors import OtaError
from ota.storage.littlefs import LittlefsStorage
from ota.updater import Updater
from ota_host.testing import MemoryTransport  # noqa: F401 - named in a text that is evaluated

REFUSED = {
    "keep='*.json'": "Updater: keep is '*.json': write a path as 'a.py' or, to keep, 'data/'",
    "keep='save/*.json'": "keep is 'save/*.json': ",
    "keep='data[0-9]'": "keep is 'data[0-9]': ",
    "keep='a?.txt'": "keep is 'a?.txt': ",
    "keep=('a', '../b')": "keep is '../b': ",
    "keep='a//b'": "keep is 'a//b': ",
    "keep='a/./b'": "keep is 'a/./b': ",
    "keep='/'": "keep is '/': ",
    "keep=('a', '')": "keep is '': ",
    "keep='save\\\\cal.json'": r"keep is 'save\\cal.json': ",
    "keep=[b'a']": "keep is b'a': ",
    "keep=[None]": "keep is None: ",
    "keep=5": "int",
    "files='lib/'": "Updater: files is 'lib/': write a path as 'a.py'",
    "files=['*.py']": "files is '*.py': ",
    "files=['../boot.py']": "files is '../boot.py': ",
    "files=[3]": "files is 3: ",
    "files=['main.py'], layout='flat'": "Updater: layout is 'flat': write 'prefix' or 'subdir'",
    "layout=None": "layout is None: ",
    "channel='beta/x'": "Updater: channel is 'beta/x': write a name, as 'stable'",
    "channel=''": "channel is '': ",
    "channel=None": "channel is None: ",
    "channel='a b'": "channel is 'a b': ",
    "trial_boots=-1": "Updater: trial_boots is -1: write a whole number",
    "trial_boots='3'": "trial_boots is '3': ",
    "trial_boots=1.5": "trial_boots is 1.5: ",
    "trial_boots=True": "trial_boots is True: ",
    "trial_boots=None": "trial_boots is None: ",
    "device_id=b'ab'": "Updater: device_id is b'ab': write text",
    "device_id=7": "device_id is 7: ",
    "on_event='log'": "Updater: on_event is 'log': write a function",
}


def made(words, **more):
    return eval(f"Updater(MemoryTransport({{}}), storage=LittlefsStorage(''), {words})", {**globals(), **more})


@pytest.mark.parametrize("words", REFUSED)
def test_an_option_that_cannot_be_meant_is_refused_with_what_to_write(words):
    with pytest.raises(OtaError) as said:
        made(words)
    assert REFUSED[words] in str(said.value)


def test_the_same_options_are_refused_on_micropython():
    """And a made one leaves nothing of the checks in RAM."""
    script = """
from world import *
import sys
from ota.errors import OtaError
from ota.storage.littlefs import LittlefsStorage
from ota.updater import Updater
said = []
for words in json.loads(ARGS[0]):
    try:
        eval("Updater(SdTransport('/x'), storage=LittlefsStorage(''), %s)" % words)
        said.append("taken")
    except OtaError as e:
        said.append(str(e))
Updater(SdTransport('/x'), storage=LittlefsStorage(''))
print(json.dumps(said))
print("ota.setup" in sys.modules, hasattr(sys.modules["ota"], "setup"))
"""
    said, loaded = run_mp(script, json.dumps(list(REFUSED))).stdout.splitlines()
    for words, got in zip(REFUSED, json.loads(said), strict=True):
        assert REFUSED[words] in got, words
    assert loaded == "False False"


V1 = {"main.py": b"main 1", "save/cal.json": b"{}", "settings.json": b"{}"}
V2 = {path: data + b" 2" for path, data in V1.items()}
KEPT = [
    ("settings.json", "save/"),
    ["settings.json", "save/"],
    ("/settings.json", "/save/"),
    ("./settings.json", "./save/"),
    ("settings.json", "save"),
    ("settings.json", "save/*"),
    ("settings.json", "save/**"),
    ("/flash/settings.json", "/flash/save"),
    ("settings.json", "save/cal.json"),
    "settings.json",
    "/settings.json",
    "save",
]


def test_what_is_to_be_kept_is_kept_in_every_spelling_that_is_taken(tmp_path):
    """A slash in front, `./`, a folder without its slash, one path instead of a list."""
    for seq, files in enumerate((V1, V2), 1):
        release(tmp_path / str(seq), files, seq=seq, version=f"v{seq}")
    script = """
from world import *
told = []
for keep in json.loads(ARGS[2]):
    flash = power_up()
    install(ARGS[0], keep=keep)
    ramflash.write("settings.json", b"mine")
    ramflash.write("save/cal.json", b"measured")
    install(ARGS[1], keep=keep)
    told.append([ramflash.read(p).decode() for p in ("main.py", "settings.json", "save/cal.json")])
    ramflash.umount(flash)
tell(told=told)
"""
    told = told_by(script, tmp_path / "1", tmp_path / "2", json.dumps(KEPT), heap="8M")["told"]
    for keep, (main, settings, cal) in zip(KEPT, told, strict=True):
        assert main == "main 1 2"
        assert settings == ("{} 2" if keep == "save" else "mine"), keep
        assert cal == ("{} 2" if isinstance(keep, str) and keep != "save" else "measured"), keep


def test_nothing_to_keep_may_be_said_in_any_way():
    for words in ("keep=()", "keep=[]", "keep=None", "keep=''"):
        assert made(words).keep == []


def test_one_file_of_the_legacy_layout_needs_no_list():
    assert made("files='main.py'")._source.files == ["main.py"]
    assert made("files=['a b#%?+.txt']")._source.files == ["a b#%?+.txt"]
    assert made("files=('/main.py', './lib/x.py')")._source.files == ["main.py", "lib/x.py"]


def test_an_address_is_taken_for_the_transport_that_it_means():
    """For HTTPS a certificate is needed, and the error names the class that takes it."""
    from ota.transports.http import HttpTransport

    made = Updater("http://192.168.2.100/sample", storage=LittlefsStorage(""))
    assert type(made.transport) is HttpTransport
    for address, said in (("https://ota.example.org/x", "HttpsTransport"), ("192.168.2.100", "192.168.2.100")):
        with pytest.raises(OtaError, match=said):
            Updater(address, storage=LittlefsStorage(""))


def test_the_device_is_known_by_the_id_of_its_chip():
    script = """
import sys
class Machine:
    @staticmethod
    def unique_id():
        return b"\\x01\\xab"
sys.modules["machine"] = Machine
from ota import SdTransport, Updater
print(Updater(SdTransport("/x")).device_id(), Updater(SdTransport("/x"), device_id="mine").device_id())
del Machine.unique_id
print(repr(Updater(SdTransport("/x")).device_id()))
"""
    assert run_mp(script).stdout == "01ab mine\n''\n"


def test_an_error_of_the_flash_while_an_updater_is_made_is_ours():
    script = """
import ota.storage
from ota import OtaError, SdTransport, Updater
class Os:
    def ilistdir(self, path):
        raise OSError(5)
ota.storage.os = Os()
try:
    Updater(SdTransport("/x"))
except OtaError as e:
    print(e)
"""
    assert run_mp(script).stdout == "flash: OSError: [Errno 5] EIO\n"
