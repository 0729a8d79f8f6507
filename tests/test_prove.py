"""`ota prove`: the proof against power cuts for somebody's own releases and Storage plug-in."""

import json

import pytest

from ota_host import cli
from ota_host.proof import OutsideError
from ota_host.testing import prove_release

BROKEN = """
from ota.storage import Storage
class LosesTheEnd(Storage):
    def _open(self, path, mode):
        f = super()._open(path, mode)
        return Short(f) if mode == "wb" and path.endswith(".ota-new") else f
class Short:
    def __init__(self, f): self.f = f
    def write(self, data): self.f.write(bytes(data)[:-1] + b"?")
    def close(self): self.f.close()
    def __enter__(self): return self
    def __exit__(self, *a): self.f.close()
"""


@pytest.fixture
def published(tmp_path, monkeypatch, capfd):
    """A project with v1.0.0 and v1.1.0 in dist/sample."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src/lib").mkdir(parents=True)
    (tmp_path / "ota.toml").write_text('project = "sample"\n')
    for version in ("v1.0.0", "v1.1.0"):
        (tmp_path / "src/boot.py").write_text("import ota\nota.boot()\n")
        (tmp_path / "src/main.py").write_text(f"print({version!r})\n" * 30)
        (tmp_path / f"src/lib/{version[:4]}.py").write_text("x = 1\n")
        assert run("publish", "--version", version, "--platform", "rp2") == 0
    capfd.readouterr()
    (tree,) = (p.parent for p in tmp_path.rglob("stable.manifest"))
    return tree


def run(*words):
    with pytest.raises(SystemExit) as e:
        cli.main([str(word) for word in words])
    return e.value.code or 0


def test_two_releases_are_whole_at_every_cut(published, capfd):
    """Exit code 0, and a line for the update and one for the revert; also for another platform's release."""
    assert run("prove", "--from", "v1.0.0", "--to", "v1.1.0") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["update", "revert"]
    assert all(line.endswith(" 0 neither") for line in lines)


def test_the_figures_come_as_json(published, capfd):
    assert run("prove", published, "--from", "v1.0.0", "--to", "v1.1.0", "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert told["ok"] and all(p["cuts"] >= p["ops"] > 20 and not p["bad"] for p in told["proofs"])


def test_a_version_that_is_not_there_is_named(published, capfd):
    assert run("prove", "--from", "v1.0.0", "--to", "v9.9.9") == 1
    assert "v9.9.9" in capfd.readouterr().err


def test_a_storage_plug_in_that_loses_bytes_is_found(published, tmp_path):
    (tmp_path / "plug.py").write_text(BROKEN)
    with pytest.raises(OutsideError, match="sha256|reads back"):
        prove_release(published, "v1.0.0", "v1.1.0", storage="plug:LosesTheEnd", path=[tmp_path])


def test_a_problem_says_where_the_power_was_cut(capfd):
    """Or that it was not."""
    from ota_host.proof import Proof
    from ota_host.proof.command import _tell

    _tell(Proof("update", bad=[["clean", "old"], [[7, "half"], "neither"]]))
    assert capfd.readouterr().out.splitlines()[1:] == ["  without a cut it ends in: old", "  cut at operation 7: neither"]
