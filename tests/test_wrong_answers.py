"""A server that answers, and wrongly: the next form of a file is taken, a manifest that broke off is asked for again."""

import hashlib

import pytest
from attacks.scene import V1, V2, Publisher, Site, on_board
from support import release, told_by
from test_differences import files_of, two, world  # noqa: F401 (fixtures)
from test_packed import NEW, OLD
from test_keys import keys, signers  # noqa: F401 (fixtures)

from ota_host import differences

BOARD = """
from world import *
from ota.transports.http import HttpTransport
def over(tree, retries=0):
    u = updater("")
    u.transport = HttpTransport(ARGS[0] + "/" + tree, timeout=3, retries=retries)
    u.transport.backoff_ms = 1
    return u
def told():
    return [event for event, _ in EVENTS if event in ("retry", "fallback")]
def end():
    boot(2)
    confirm()
    return {path: data for path, data in ramflash.tree().items() if ".ota-" not in path}
"""


def answer(status=200, body=b"", length=None, **headers):
    """A function that writes a whole answer for `Site`; without a `length`, that of the body is told; False: none."""

    def send(request):
        lines = ["HTTP/1.1 %d x" % status, "Connection: close", *("%s: %s" % (k.replace("_", "-"), v) for k, v in headers.items())]
        if length is not False:
            lines.append("Content-Length: %d" % (len(body) if length is None else length))
        request.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return send


PAGE = b"<!DOCTYPE html>\n<title>Not here</title>\n"
# What comes in place of a packed form, and how often it is asked for with two retries.
WRONG = {
    "packed once more": (lambda right: answer(body=right, Content_Encoding="gzip"), 1),
    "packed by the name of its suffix": (lambda right: answer(body=right, Content_Encoding="x-compress"), 1),
    "longer than the manifest says": (lambda right: answer(body=right + b"x" * 99), 1),
    "longer, and its length not told": (lambda right: answer(body=right + b"x" * 9999, length=False), 1),
    "shorter than the manifest says": (lambda right: answer(body=right[:-9]), 1),
    "a page": (lambda right: answer(body=PAGE), 1),
    "a long page": (lambda right: answer(body=PAGE * 900), 1),
    "a page that begins so": (lambda right: answer(206, PAGE, Content_Range="bytes 0-39/40"), 1),
    "nothing": (lambda right: answer(), 1),
    "cut short each time": (lambda right: answer(body=right[: len(right) // 2], length=len(right)), 3),
    "a length that is none": (lambda right: answer(body=right, length=False, Content_Length="ten"), 1),
    "a redirect that leads nowhere": (lambda right: answer(302, Location="ftp://h:21/"), 1),
    "a redirect without an end": (lambda right: answer(302), 6),
    "403": (lambda right: answer(403, PAGE), 1),
    "404": (lambda right: answer(404, PAGE), 1),
    "406": (lambda right: answer(406, PAGE), 1),
}


@pytest.mark.parametrize(("wrong", "times"), WRONG.values(), ids=WRONG)
def test_a_packed_form_that_a_server_gives_wrongly_gives_way_to_the_whole_file(tmp_path, wrong, times):
    """Each is given up as soon as it is clear that it will not come, and the update ends in the right bytes."""
    release(tmp_path / "one", OLD)
    release(tmp_path / "two", NEW, version="v1.0.1", seq=2, before=OLD)
    trees = {
        name: {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    }
    packed = [name for name in trees["two"] if name.startswith("deltas/") or name.endswith(".z")]
    for name in packed:
        trees["two"][name] = wrong(trees["two"][name])
    script = 'power_up()\nover("one").run(reset=False)\nend()\nready = over("two", 2).run(reset=False)\ntell(ready=ready, told=told(), tree=end())'
    with Site(trees) as site:
        facts = told_by(BOARD + script, site.url, heap="8M")
        asked = site.of("two")
    assert facts["ready"] is True and facts["tree"] == {p: d.decode() for p, d in NEW.items()}
    assert facts["told"].count("fallback") == 3  # the delta and the stream of one file, the stream of the other
    digests = [hashlib.sha256(NEW[path]).hexdigest() for path in ("main.py", "new.py")]
    assert sorted(name for name in asked if name not in packed) == sorted(["stable.manifest", *(f"blobs/{d[:2]}/{d}" for d in digests)])
    assert all(asked.count(name) in (0, times) for name in packed)


DATA = {"main.py": b"".join(b"%d\n" % i for i in range(3000))}
REST = {
    "another range": (lambda data: answer(206, data[5:], Content_Range=f"bytes 5-{len(data) - 1}/{len(data)}"), True),
    "ranges": (lambda data: answer(206, data, Content_Type="multipart/byteranges; boundary=x"), True),
    "416": (lambda data: answer(416, PAGE), True),
    "a page": (lambda data: answer(200, PAGE), True),
    "503": (lambda data: answer(503, PAGE), False),
    "nothing": (lambda data: answer(length=0), True),
}


@pytest.mark.parametrize(("wrong", "whole"), REST.values(), ids=REST)
def test_the_rest_of_a_file_that_a_server_gives_wrongly_gives_way_to_all_of_it(tmp_path, wrong, whole):
    """But what is there of it stays when the server is only busy. Its first part came before a power cut."""
    release(tmp_path, DATA)
    manifest, data = (tmp_path / "stable.manifest").read_bytes(), DATA["main.py"]
    digest = hashlib.sha256(data).hexdigest()
    name = f"blobs/{digest[:2]}/{digest}"
    heard = []

    def blob(request):
        start = request.headers.get("Range")
        heard.append(start)
        if len(heard) == 1:
            return answer(body=data[:9000], length=len(data))(request)
        return (wrong(data) if start else answer(body=data))(request)

    script = """
power_up()
first = error(over("it").run, reset=False)
part = ramflash.read("main.py.ota-new")
said = error(over("it").run, reset=False)
tell(first=first, part=len(part), said=said, left=len(ramflash.read("main.py.ota-new")), told=told())
"""
    with Site({"it": {"stable.manifest": manifest, name: blob}}) as site:
        facts = told_by(BOARD + script, site.url, heap="8M")
    assert "broke off at 9000: connection closed" in facts["first"] and facts["part"] == 9000
    if whole:
        assert (facts["said"], facts["left"], facts["told"]) == ("no error", len(data), ["fallback"])
        assert heard == [None, "bytes=9000-", None]
    else:
        assert facts["said"].endswith("status 503") and facts["left"] == 9000 and facts["told"] == []
        assert heard == [None, "bytes=9000-"]


DIFFERENCES = {
    "packed once more": lambda right: answer(body=right, Content_Encoding="gzip"),
    "a page": lambda right: answer(body=b"\n\n" + PAGE),
    "cut short each time": lambda right: answer(body=right[:-20], length=len(right)),
    "cut short in its first line each time": lambda right: answer(body=right[:20], length=len(right)),
    "longer than any flash": lambda right: answer(body=right, length=1 << 30),
    "403": lambda right: answer(403, PAGE),
    "404, and a time to wait": lambda right: answer(404, PAGE, Retry_After=60),
    "a redirect without an end": lambda right: answer(302),
}


@pytest.mark.parametrize("wrong", DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_difference_that_a_server_gives_wrongly_gives_way_to_the_whole_manifest(two, wrong):  # noqa: F811
    trees = {
        tree: {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for tree, folder in (("old", two.old), ("new", two.tree))
    }
    name = differences.name("stable", two.crcs[0])
    trees["new"][name] = wrong(trees["new"][name])
    script = 'power_up(blocks=128)\nover("old").run(reset=False)\nend()\nready = over("new", 1).run(reset=False)\ntell(ready=ready, told=told(), tree=end())'
    with Site(trees) as site:
        facts = told_by(BOARD + script, site.url, heap="8M")
        asked = [asked for asked in site.of("new") if asked.endswith(".manifest")]
    assert facts["ready"] is True and facts["tree"] == files_of(2) and facts["told"][-1] == "fallback"
    assert asked[0] == name and asked[-1] == "stable.manifest" and asked.count("stable.manifest") == 1


CUTS = {"in the first line": 30, "in a line": -40, "between two lines": None, "before its last byte": -1}


def cutting(content, at, times):
    """An answer that is cut short at first, so many times."""
    left = [times]
    at = content.index(b"\n") + 1 if at is None else at

    def send(request):
        left[0] -= 1
        answer(body=content[:at] if left[0] >= 0 else content, length=len(content))(request)

    return send


@pytest.mark.parametrize("at", CUTS.values(), ids=CUTS)
def test_a_manifest_that_is_cut_short_is_asked_for_again_as_often_as_retries_says(tmp_path, at):
    """Each time it is told; once more than that is an error, and nothing is left of it."""
    manifest = release(tmp_path, NEW)
    contents = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    trees = {"it": {**contents, "stable.manifest": cutting(manifest, at, 2)}}
    with Site(trees) as site:
        script = "power_up()\nready = over('it', 2).run(reset=False)\ntell(ready=ready, told=told(), tree=end())"
        facts = told_by(BOARD + script, site.url, heap="8M")
        assert site.of("it").count("stable.manifest") == 3
    assert facts == {"ready": True, "told": ["retry", "retry"], "tree": {p: d.decode() for p, d in NEW.items()}}
    trees = {"it": {**contents, "stable.manifest": cutting(manifest, at, 3)}}
    script = "power_up()\nsaid = error(over('it', 2).run, reset=False)\ntell(said=said, phase=status()['phase'], tree=end())"
    with Site(trees) as site:
        facts = told_by(BOARD + script, site.url, heap="8M")
        assert site.of("it").count("stable.manifest") == 3
    assert facts["said"].startswith("TransportError: stable.manifest broke off at ") and facts["tree"] == {}
    assert facts["phase"] == "idle"


def test_check_and_stage_ask_again_for_a_manifest_that_is_cut_short_as_well(tmp_path):
    """`check()` reads its first line, and `stage()` all of it."""
    manifest = release(tmp_path, NEW)
    contents = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    cuts = [30, None, -40, None]  # two for each
    trees = {"it": {**contents, "stable.manifest": lambda request: answer(body=manifest[: cuts.pop(0)], length=len(manifest))(request)}}
    script = "power_up()\nu = over('it', 1)\nu.stage(u.check())\ntell(ready=u.ready, told=told(), tree=end())"
    with Site(trees) as site:
        facts = told_by(BOARD + script, site.url, heap="8M")
    assert facts == {"ready": True, "told": ["retry", "retry"], "tree": {p: d.decode() for p, d in NEW.items()}} and not cuts


@pytest.mark.parametrize("at", CUTS.values(), ids=CUTS)
def test_a_difference_that_is_cut_short_once_is_asked_for_again(two, at):  # noqa: F811
    trees = {
        tree: {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for tree, folder in (("old", two.old), ("new", two.tree))
    }
    name = differences.name("stable", two.crcs[0])
    trees["new"][name] = cutting(trees["new"][name], at, 1)
    script = 'power_up(blocks=128)\nover("old").run(reset=False)\nend()\nready = over("new", 1).run(reset=False)\ntell(ready=ready, told=told(), tree=end())'
    with Site(trees) as site:
        facts = told_by(BOARD + script, site.url, heap="8M")
        asked = [asked for asked in site.of("new") if asked.endswith(".manifest")]
    assert (facts, asked) == ({"ready": True, "told": ["retry"], "tree": files_of(2)}, [name, name])


PAGES = {
    "one line": PAGE.replace(b"\n", b""),
    "blank lines before it": b"\n\r\n" + PAGE,
    "one long line": b"  <html>" + b"x" * 5000,
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("away", [False, True], ids=["here", "after a redirect"])
def test_a_web_page_in_place_of_a_manifest_is_said_to_be_one_and_whose(page, away):
    """After a redirect it is that of the sign-in page, without the query."""
    trees = {"it": {"stable.manifest": answer(302, Location="../login?next=x") if away else answer(body=page)}}
    with Site(lambda tree, name: answer(body=page) if tree == "login?next=x" else trees.get(tree, {}).get(name)) as site:
        facts = told_by(BOARD + 'power_up()\ntell(said=error(over("it").run, reset=False))', site.url)
        where = site.url + ("/login" if away else "/it/stable.manifest")
    assert facts["said"] == f"ManifestError: manifest: line 1: is not a JSON object but of a web page, {where}"


UPDATE = """
power_up_with_root()
install("v1")
told = attempt("v2")["said"]
boot(2)
tell(said=told, main=live()["main.py"], asked=EVENTS)
"""


def tuf_server(tmp_path, wrong):
    """A TUF publisher, and a `Site` of v1 and v2; for v2 `wrong(name, content)` gives the answer, None for the right one."""
    publisher = Publisher(tmp_path, "tuf")
    trees = {"v1": publisher.publish(V1, 1)}
    publisher.repository.next_root()
    trees["v2"] = publisher.publish(V2, 2)
    return publisher, Site(lambda tree, name: tree == "v2" and wrong(name, trees[tree].get(name)) or trees[tree].get(name))


def test_a_bucket_that_says_403_for_a_root_that_is_not_there_ends_the_chain_of_roots(tmp_path):
    """A new root comes first; python-tuf takes a 403 for the end as well."""
    publisher, site = tuf_server(tmp_path, lambda name, content: None if content else answer(403, PAGE))
    with site:
        facts = on_board(publisher, site, UPDATE)
        asked = site.of("v2")
    assert (facts["said"], facts["main"]) == ("no error", "main 2")
    assert asked[:3] == ["tuf/2.root.json", "tuf/3.root.json", "tuf/timestamp.json"]


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("tuf/3.root.json", answer(403, Retry_After=60)),  # a limit of requests
        ("tuf/3.root.json", answer(401)),
        ("tuf/timestamp.json", answer(403)),
        ("tuf/3.snapshot.json", answer(403)),
        ("tuf/3.targets.json", answer(403)),
    ],
)
def test_no_other_refusal_of_metadata_means_that_there_is_none(tmp_path, name, refused):
    """Else whoever can make a server refuse would hold the next root back."""
    publisher, site = tuf_server(tmp_path, lambda asked, content: refused if asked == name else None)
    with site:
        facts = on_board(publisher, site, UPDATE)
    assert facts["said"].startswith(f"TransportError: GET {site.url}/v2/{name}: status 40") and facts["main"] == "main 1"


@pytest.mark.parametrize("name", ["tuf/2.root.json", "tuf/timestamp.json", "tuf/3.snapshot.json", "tuf/3.targets.json"])
@pytest.mark.parametrize("times", [1, 2])
def test_metadata_that_is_cut_short_is_asked_for_again_as_often_as_retries_says(tmp_path, name, times):
    left = [times]

    def wrong(asked, content):
        if asked != name or not left[0]:
            return None
        left[0] -= 1
        return answer(body=content[:100], length=len(content))

    publisher, site = tuf_server(tmp_path, wrong)
    with site:
        facts = on_board(publisher, site, UPDATE, retries=1)
        asked = site.of("v2").count(name)
    assert asked == 2
    assert facts["main"] == ("main 2" if times == 1 else "main 1")
    assert facts["said"] == "no error" or times == 2 and facts["said"] == f"TransportError: {name} broke off at 100: connection closed"
