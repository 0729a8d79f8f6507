"""`manifest.py`: what MicroPython's build freezes is the library, all of it and nothing else."""

import re
from configparser import ConfigParser

import pytest
from support import ROOT
from test_mip import files

from ota_host import config


class Build:
    """What a manifest may call, as MicroPython's reference of manifest files says; paths are relative to the manifest."""

    def __init__(self, folder):
        self.folder = folder
        self.frozen = []
        self.about = {}

    def metadata(self, **about):
        assert not self.frozen, "metadata() must come first"
        self.about = about

    def package(self, name, files=None, base_path=".", opt=None):
        base = self.folder / base_path
        found = (base / name).rglob("*") if files is None else [base / name / f for f in files]
        self.frozen += [p.relative_to(base).as_posix() for p in found if p.suffix == ".py"]

    def module(self, name, base_path=".", opt=None):
        assert name.endswith(".py") and (self.folder / base_path / name).is_file()
        self.frozen.append(name)


@pytest.fixture
def build():
    build = Build(ROOT)
    api = {name: getattr(build, name) for name in ("metadata", "package", "module")}
    exec(compile((ROOT / "manifest.py").read_text(), "manifest.py", "exec"), api)
    return build


def test_the_manifest_freezes_exactly_the_files_of_the_library(build):
    """Each once, under the path that it has on a board."""
    assert sorted(build.frozen) == sorted(files())


def test_the_manifest_has_the_version_of_the_distribution(build):
    """One version everywhere."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert build.about["version"] == setup["metadata"]["version"]


def test_the_how_to_includes_this_manifest_and_sets_a_value_that_ota_toml_has(tmp_path):
    """Its settings are read, and its manifest ends with the project's."""
    page = (ROOT / "docs/how-to/freeze-the-library.md").read_text()
    assert re.findall(r'^include\("(.*)"\)$', page, re.M)[-1].endswith("/mpota/manifest.py")
    (tmp_path / "ota.toml").write_text(re.search(r"^```toml\n(.*?)^```$", page, re.M | re.S)[1])
    assert config.read(tmp_path / "ota.toml").library == "frozen"
