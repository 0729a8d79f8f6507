"""Every hypothesis strategy of the tests."""

from hypothesis import strategies as st

# Paths that a release may name.
_parts = st.text("abcXYZ019_-é", min_size=1, max_size=8)
paths = st.lists(_parts, min_size=1, max_size=4).map("/".join)

def _apart(files):
    # No path is a folder of another.
    return not any(b.startswith(a + "/") for a in files for b in files)


# What a release holds: {path: SHA-256 in hex}.
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
trees = st.dictionaries(paths, st.sampled_from(["a" * 64, "b" * 64, "0f" * 32]), max_size=12).filter(_apart)


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


_STEADY = ("main.py", "micropython_ota.py", "lib/a.py", "lib/deep/b.py", "data.bin")
# Of these, one release has a file where another has a folder.
_OF_TWO_KINDS = ("conf", "conf/x.json", "conf/deep/y.json", "lib/deep", "data.bin/z")
# Where an application may put something of its own.
OBSTACLES = st.sampled_from([*_STEADY, *_OF_TWO_KINDS, "conf/own", "conf/x.json/own", "lib", "main.py/own", "own.txt"])


def application_files():
    """The files of a small release ({path: bytes}); boot.py is always one of them."""
    data = st.binary(max_size=40) | st.binary(min_size=1, max_size=3).map(lambda b: b * 2000)
    paths = st.sampled_from([*_STEADY, *_OF_TWO_KINDS])
    return st.dictionaries(paths, data, max_size=6).filter(_apart).flatmap(
        lambda files: data.map(lambda d: {**files, "boot.py": d})
    )


def _of_parts(parts):
    known = st.sampled_from(parts) if parts else st.nothing()
    return st.lists(known | st.binary(max_size=12), max_size=12).map(b"".join)


# Two contents (bytes), of which the second has parts of the first, moved and mixed with new ones.
revisions = st.lists(st.binary(max_size=60), max_size=10).flatmap(
    lambda parts: st.tuples(st.just(b"".join(parts)), _of_parts(parts))
)

# What is compared in chunks of 64 KB: runs of bytes, some longer than that.
_run = st.builds(bytes.__mul__, st.sampled_from([b"\0", b"a", b"ab"]), st.integers(0, 3) | st.integers(65530, 65540))
runs = st.lists(_run, max_size=4).map(b"".join)
paddings = st.tuples(runs, runs)

# Any JSON, with what tends to break readers likely: huge and half numbers, half characters, the wrong type.
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([2**31, 2**64, -(2**63), 10**400, 1.5, float("nan"), float("inf")])
    | st.sampled_from(["", "a", "..", "\ud800", "é", "\0", "a" * 300, "²", "0" * 64])
)
any_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "", "k", "é"]), inner, max_size=3),
    max_leaves=6,
)


def _places(obj, here=()):
    yield here
    pairs = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ()
    for key, value in pairs:
        yield from _places(value, (*here, key))


def _with(obj, place, value):
    if not place:
        return value
    copy = obj.copy()
    copy[place[0]] = _with(obj[place[0]], place[1:], value)
    return copy


@st.composite
def replaced(draw, obj):
    """`obj` (JSON) with anything in one or two of its places."""
    for _ in range(draw(st.integers(1, 2))):
        obj = _with(obj, draw(st.sampled_from(list(_places(obj)))), draw(any_json))
    return obj


@st.composite
def damaged(draw, sound):
    """Noise, or one of `sound` (list of bytes) with a piece of it replaced, moved or left out."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(sound))
    other = draw(st.sampled_from(sound))
    at, end, begin = (draw(st.integers(0, len(data))) for _ in range(3))
    piece = draw(st.binary(max_size=8) | st.just(other[begin : begin + 60]))
    return data[:at] + piece + data[max(at, end) if draw(st.booleans()) else at + len(piece) :]


# What may happen to a path of a board: where it is among all that are there (0 to 1), how it is damaged,
# and where in its content (0 to 1).
DAMAGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["gone", "cut", "zeros", "noise", "byte", "other", "folder", "full folder", "file"]),
        st.floats(0, 1, exclude_max=True),
    ),
    min_size=1,
    max_size=3,
)
CALLS = st.lists(
    st.sampled_from(["boot", "check", "stage", "install", "run", "run_async", "steps", "status", "confirm", "rollback"]), max_size=3
)
