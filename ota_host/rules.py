"""What a release must keep beside what the channel has now, whoever made it: checked before anything is written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from . import imports, keep, sources
from .bootcheck import is_vital
from .clock import Witness
from .errors import HostError
from .tree import Manifest

FROZEN = "frozen"
_SHOWN = 5  # names in a message
_BOOT = "boot"  # boot.py as a module


@dataclass(frozen=True)
class Rules:
    """What a publication may do.

    `library` is as in ota.toml; with `early_imports` a release goes ahead that changes boot.py together with what
    boot.py imports before `ota.boot()`; with `clock` the PC's clock is right, whatever speaks against it;
    `witness` is (seconds since 1970, what says so): when the sources were last changed.
    """

    library: str = "files"
    early_imports: bool = False
    clock: bool = False
    witness: Witness | None = None

    @property
    def is_frozen(self) -> bool:
        return self.library == FROZEN


def check(release: Manifest, heads: Mapping[str, Manifest], channel: str, rules: Rules) -> list[str]:
    """Check a release (Manifest) by its paths.

    Args:
        heads (dict): every channel of the tree -> the Manifest that it has.
        channel (str): who gets the release.
        rules (Rules): what is allowed.

    Returns:
        list of str: what may surprise.

    Raises:
        HostError: no board, or not every one, would end in a whole release.
    """
    paths = [entry["p"] for entry in release.entries]
    for path in paths:
        sources.check(path)
    sources.check_tree(paths)
    imports.check_library(paths, rules.is_frozen)
    notes = []
    if imports.in_folder(paths, "ota/") and not any(map(_has_library, heads.values())):
        notes.append(
            "the release brings the library in ota/: a board that has it in lib/ota/, where `ota deploy` and mip put "
            "it, would never boot into this release; only boards that have it in ota/ already take it"
        )
    for name, head in heads.items():
        old = [entry["p"] for entry in head.entries]
        if imports.has_library(old) and not imports.has_library(paths) and not rules.is_frozen:
            raise HostError(
                f"the release has no file of the library, and {head.version} on {name} has: boards would delete it and "
                "never update again; put it into the source folder with `ota library`, or, where it is in the "
                'firmware of every board, put library = "frozen" into ota.toml'
            )
        imports.check_moved(old, paths, name, head.version)
    now = heads.get(channel)
    notes += keep.notes(release, now)
    if now and now.seq < release.seq:
        if not rules.early_imports:
            check_early(now, release, channel)
        notes += changed_kinds(now, release)
    return notes


def _has_library(manifest: Manifest) -> bool:
    return imports.has_library(entry["p"] for entry in manifest.entries)


def check_early(old: Manifest, new: Manifest, channel: str) -> None:
    """Refuse changes of which a board could boot into one without the other.

    Files that boot.py imports before `ota.boot()` are replaced one by one, and at a power cut boot.py runs
    with what is there. So at most one of them, boot.py included, may differ.

    Args:
        old, new (Manifest): what `channel` (str) has, and the release.

    Raises:
        HostError: naming them.
    """
    early = {_module(e["p"]) for manifest in (old, new) for e in manifest.entries if e.get("c") and not is_vital(e["p"])}
    had, has = (_contents(manifest, early | {_BOOT}) for manifest in (old, new))
    # A module that comes is there before boot.py, and one that goes is there until after. Where boards keep a boot.py
    # that no release has brought, it is not known.
    changed = [m for m in sorted(has) if has[m] != had.get(m) and (m in had or m == _BOOT and early)]
    changed = [min(path for path, _ in has[m]) for m in changed]
    if len(changed) > 1:
        raise HostError(
            f"{_some(changed)} run before ota.boot(), and more than one of them differs from {old.version} on "
            f"{channel}: a board that loses power while they are replaced one by one would run old and new together, "
            "and might never reach ota.boot() again. Move ota.boot() to the first lines of boot.py, and publish "
            "that before the other changes; or go ahead with --allow-early-imports"
        )


def _module(path: str) -> str:
    # What imports it: net.py, net.mpy, lib/net.py and net/__init__.py are one module.
    path = path.removeprefix("lib/")
    return (imports.stem(path) or path).removesuffix("/__init__")


def _contents(manifest: Manifest, modules: Collection[str]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for e in manifest.entries:
        if _module(e["p"]) in modules:
            found.setdefault(_module(e["p"]), set()).add((e["p"], e["h"]))
    return found


def changed_kinds(old: Manifest, new: Manifest) -> list[str]:
    """A line (str) for paths that change between file and folder, and one for those that change only in case.

    Args:
        old, new (Manifest): what the channel has, and the release.
    """
    was, now = (_parts([e["p"] for e in manifest.entries]) for manifest in (old, new))
    kinds = [path for path in sorted(was.keys() & now.keys()) if was[path] != now[path]]
    lines = []
    if kinds:
        shown = [f"{path} was a {was[path]} in {old.version} and is a {now[path]}" for path in kinds]
        lines.append(
            f"{_some(shown)}: boards change it in one step, and refuse the release where files that are in no release "
            "stand in the way; a board whose library is older than this `ota` cannot, and may stop half-way: give it a "
            "release with the new library first"
        )
    known = {path.casefold(): path for path in was}
    cases = [path for path in sorted(now.keys() - was.keys()) if path.casefold() in known]
    # Of a folder with its files, the folder says it.
    cases = [path for path in cases if not any(path.startswith(other + "/") for other in cases)]
    if cases:
        shown = [f"{known[path.casefold()]} in {old.version} is {path}" for path in cases]
        lines.append(f"{_some(shown)}: only the case differs, which is the same file for boards with FAT")
    return lines


def _parts(paths: Collection[str]) -> dict[str, str]:
    # Every path and every folder above one -> its kind.
    folders = {"/".join(path.split("/")[:i]) for path in paths for i in range(1, path.count("/") + 1)}
    return {**dict.fromkeys(paths, "file"), **dict.fromkeys(folders, "folder")}


def _some(paths: Sequence[str]) -> str:
    shown = paths[:_SHOWN]
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(shown) + more
