"""Every hypothesis strategy of the tests."""

from hypothesis import strategies as st

# Paths that a release may name.
_parts = st.text("abcXYZ019_-é", min_size=1, max_size=8)
paths = st.lists(_parts, min_size=1, max_size=4).map("/".join)

# What a release holds: {path: SHA-256 in hex}.
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
trees = st.dictionaries(paths, st.sampled_from(["a" * 64, "b" * 64, "0f" * 32]), max_size=12)


def _apart(files):
    # No path is a folder of another.
    return not any(b.startswith(a + "/") for a in files for b in files)


# What a source folder holds: {path: content}.
contents = st.dictionaries(paths, st.binary(max_size=64), max_size=8).filter(_apart)

# What a publisher does over time: (publish or back, number of the release, channel).
publications = st.lists(
    st.tuples(
        st.sampled_from(["publish", "back"]), st.integers(0, 4), st.sampled_from(["stable", "beta"])
    ),
    max_size=8,
)

# Tags of Semantic Versioning, with collisions likely.
_words = st.text("aAbz019-", min_size=1, max_size=3)
_numbers = st.integers(0, 12) | st.integers(0, 10**20)
_core = st.tuples(_numbers, _numbers, _numbers).map(lambda n: "%d.%d.%d" % n)
_identifiers = (_words.filter(lambda w: not w.isdigit()) | _numbers.map(str))
_prereleases = st.lists(_identifiers, min_size=1, max_size=3).map(lambda i: "-" + ".".join(i))
_builds = st.lists(_words, min_size=1, max_size=3).map(lambda i: "+" + ".".join(i))
versions = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "v"]),
    _core | st.sampled_from(["1.0.0", "1.0.1"]),
    st.just("") | _prereleases,
    st.just("") | _builds,
)

# What may be mistaken for one.
almost_versions = st.text("v0123459.-+aZ é", max_size=16) | versions.flatmap(
    lambda tag: st.tuples(st.integers(0, len(tag)), st.sampled_from(["", "0", ".", "-", "+", "_"])).map(
        lambda cut: tag[: cut[0]] + cut[1] + tag[cut[0] + 1 :]
    )
)


def application_files():
    """The files of a small release ({path: bytes}); boot.py is always one of them."""
    data = st.binary(max_size=40) | st.binary(min_size=1, max_size=3).map(lambda b: b * 2000)
    paths = st.sampled_from(["main.py", "ota/x.py", "lib/a.py", "lib/deep/b.py", "data.bin"])
    return st.dictionaries(paths, data, max_size=5).flatmap(
        lambda files: data.map(lambda d: {**files, "boot.py": d})
    )


def _of_parts(parts):
    known = st.sampled_from(parts) if parts else st.nothing()
    return st.lists(known | st.binary(max_size=12), max_size=12).map(b"".join)


# Two contents (bytes), of which the second has parts of the first, moved and mixed with new ones.
revisions = st.lists(st.binary(max_size=60), max_size=10).flatmap(
    lambda parts: st.tuples(st.just(b"".join(parts)), _of_parts(parts))
)
