"""The file plan, as facts about any two releases."""

import gc
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from strategies import paths, trees

from ota.plan import DELETE, FETCH, KEEP, PATCH, plan


def entries(tree):
    """A tree ({path: hash}) as the sorted entries of its manifest."""
    return [{"p": p, "s": 1, "h": h} for p, h in sorted(tree.items())]


def apply(tree, actions):
    """What the disk holds after `actions`."""
    disk = dict(tree)
    for what, path, _, new in actions:
        if what == DELETE:
            del disk[path]
        elif what != KEEP:
            disk[path] = new["h"]
    return disk


@given(trees, trees)
def test_the_plan_applied_to_any_old_tree_gives_exactly_the_new_tree(old, new):
    assert apply(old, plan(iter(entries(old)), iter(entries(new)))) == new


@given(trees, trees)
def test_the_plan_never_names_an_unchanged_file_and_no_file_twice(old, new):
    named = [path for _, path, _, _ in plan(iter(entries(old)), iter(entries(new)))]
    assert named == sorted(set(named))
    assert not [p for p in named if old.get(p) == new.get(p)]


@given(trees)
def test_the_plan_from_a_release_to_itself_is_empty(tree):
    assert list(plan(iter(entries(tree)), iter(entries(tree)))) == []


@given(trees, trees, st.sets(paths, max_size=3))
def test_a_kept_path_that_exists_is_never_fetched_nor_deleted(old, new, keep):
    for what, path, x, _ in plan(iter(entries(old)), iter(entries(new)), keep):
        is_kept = any(path == k or path.startswith(k + "/") for k in keep)
        assert (what == KEEP) == (x is not None and is_kept)


def test_a_kept_folder_covers_what_is_below_it():
    old, new = {"data/a": "1", "data2": "1"}, {"data/a": "2", "data2": "2", "data/new": "1"}
    told = {p: what for what, p, _, _ in plan(iter(entries(old)), iter(entries(new)), ("data/",))}
    assert told == {"data/a": KEEP, "data2": FETCH, "data/new": FETCH}


@given(trees, trees)
def test_a_delta_is_planned_exactly_where_one_from_the_old_content_is_on_offer(old, new):
    offered = entries(new)
    for entry in offered[::2]:
        base = old.get(entry["p"], "0" * 64)
        entry["d"] = {base[:16]: 10}
    with_delta = {e["p"] for e in offered[::2]}
    for what, path, x, y in plan(iter(entries(old)), iter(offered)):
        if y:
            assert (what == PATCH) == (path in with_delta and x is not None)


def test_an_entry_without_a_hash_always_counts_as_changed():
    entry = {"p": "a"}
    assert [w for w, _, _, _ in plan(iter([dict(entry)]), iter([dict(entry)]))] == [FETCH]


def test_the_memory_of_the_plan_does_not_grow_with_the_number_of_files():
    """Streams in, stream out: 10,000 files take no more than 100."""

    def lines(n, h):
        return ({"p": "%06d" % i, "s": 1, "h": h * 64} for i in range(n))

    def peak(n):
        gc.collect()
        tracemalloc.start()
        assert sum(1 for _ in plan(lines(n, "a"), lines(n, "b"))) == n
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)
    # One pointer a file would be 80 KB.
    assert peak(10_000) <= peak(100) + 8192
