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
