"""Version tags: what counts as one, and which of two comes first."""

import json

import pytest
import semver
import strategies
from hypothesis import given
from support import run_mp

from ota.errors import ManifestError
from ota.version import LIMIT, compare, format, parse

# The lists behind the regular expression of the FAQ of semver.org 2.0.0 (regex101.com/r/Ly7O1x/3).
VALID = """
0.0.4
1.2.3
10.20.30
1.1.2-prerelease+meta
1.1.2+meta
1.1.2+meta-valid
1.0.0-alpha
1.0.0-beta
1.0.0-alpha.beta
1.0.0-alpha.beta.1
1.0.0-alpha.1
1.0.0-alpha0.valid
1.0.0-alpha.0valid
1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay
1.0.0-rc.1+build.1
2.0.0-rc.1+build.123
1.2.3-beta
10.2.3-DEV-SNAPSHOT
1.2.3-SNAPSHOT-123
1.0.0
2.0.0
1.1.7
2.0.0+build.1848
2.0.1-alpha.1227
1.0.0-alpha+beta
1.2.3----RC-SNAPSHOT.12.9.1--.12+788
1.2.3----R-S.12.9.1--.12+meta
1.2.3----RC-SNAPSHOT.12.9.1--.12
1.0.0+0.build.1-rc.10000aaa-kk-0.1
99999999999999999999999.999999999999999999.99999999999999999
1.0.0-0A.is.legal
""".split()
INVALID = """
1
1.2
1.2.3-0123
1.2.3-0123.0123
1.1.2+.123
+invalid
-invalid
-invalid+invalid
-invalid.01
alpha
alpha.beta
alpha.beta.1
alpha.1
alpha+beta
alpha_beta
alpha.
alpha..
beta
1.0.0-alpha_beta
-alpha.
1.0.0-alpha..
1.0.0-alpha..1
1.0.0-alpha...1
1.0.0-alpha....1
1.0.0-alpha.....1
1.0.0-alpha......1
1.0.0-alpha.......1
01.1.1
1.01.1
1.1.01
1.2
1.2.3.DEV
1.2-SNAPSHOT
1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788
1.2-RC-SNAPSHOT
-1.0.3-gamma+b7718
+justmeta
9.8.7+meta+meta
9.8.7-whatever+meta+meta
99999999999999999999999.999999999999999999.99999999999999999----RC-SNAPSHOT.12.09.1--------------------------------..12
""".split()
# Ours: what a slip, a page or an attacker gives.
INVALID += ["", "v", "vv1.0.0", "V1.0.0", " 1.0.0", "1.0.0\n", "1.0.0-", "1.0.0+", "1.0.0-é", "1.0.٣", "1.²", "<html>"]
INVALID += ["1.0.0-\ud800", "1..0", "1.0.-1", "1.0.0/../x", "0x1.0.0", "1_0.0.0"]

# Rules 11.2 and 11.4, with the specification's own examples.
ASCENDING = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"]
ASCENDING += ["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1", "10.0.0-2.a", "10.0.0-10.a"]


class TestParse:
    @pytest.mark.parametrize("tag", VALID)
    def test_a_valid_tag_of_the_specification_is_taken_apart_and_put_together(self, tag):
        """Nothing is lost, with a leading v or without."""
        assert format(parse(tag)) == tag
        assert parse("v" + tag) == parse(tag)

    @pytest.mark.parametrize("tag", INVALID)
    def test_an_invalid_tag_is_refused_with_its_value(self, tag):
        """The message begins with what was given."""
        with pytest.raises(ManifestError, match="^invalid version ") as e:
            parse(tag)
        assert str(e.value).startswith("invalid version %r: " % tag)

    def test_the_parts_have_the_types_that_order_them(self):
        """Numbers are numbers, also in the prerelease; build metadata stays text."""
        assert parse("v1.2.3-rc.10.x-1+007") == (1, 2, 3, ("rc", 10, "x-1"), "007")

    @pytest.mark.parametrize(
        "tag, text",
        [
            ("1.2", "invalid version '1.2': 2 numbers, not major.minor.patch"),
            ("1.02.3", "invalid version '1.02.3': leading 0 in '02'"),
            ("1.0.0-a..b", "invalid version '1.0.0-a..b': empty part"),
            ("1.0.0-a_b", "invalid version '1.0.0-a_b': contains '_' in 'a_b'"),
            ("1.x.0", "invalid version '1.x.0': contains 'x' in 'x'"),
            (7, "invalid version 7: not text"),
            (None, "invalid version None: not text"),
            ("1.0.0-" + "a" * 123, "invalid version '1.0.0-aaaaaaaaaa...': 129 bytes, the limit is 128"),
        ],
    )
    def test_a_message_names_the_value_and_the_rule(self, tag, text):
        """A publisher can tell what to change."""
        with pytest.raises(ManifestError) as e:
            parse(tag)
        assert str(e.value) == text

    def test_a_tag_of_exactly_the_limit_passes(self):
        """The limit itself is allowed."""
        assert parse("1.0.0-" + "a" * (LIMIT - 6))[3] == ("a" * 122,)

    @given(strategies.versions)
    def test_parse_and_format_are_inverse(self, tag):
        """Whatever passes comes out as it went in."""
        assert format(parse(tag)) == tag.lstrip("v")

    @given(strategies.almost_versions)
    def test_what_is_taken_is_what_another_implementation_takes(self, tag):
        """The package semver agrees on every near miss."""
        try:
            parse(tag)
            taken = True
        except ManifestError:
            taken = False
        assert taken == semver.Version.is_valid(tag[1:] if tag[:1] == "v" else tag)


class TestCompare:
    def test_the_order_is_that_of_the_specification(self):
        """Every pair of the published example, both ways round."""
        for i, a in enumerate(ASCENDING):
            for j, b in enumerate(ASCENDING):
                assert compare(a, "v" + b) == (i > j) - (i < j), (a, b)

    def test_build_metadata_does_not_count(self):
        """Rule 10: two builds of one version are equal."""
        assert compare("1.0.0+a", "v1.0.0+b") == 0

    def test_a_tag_that_is_none_is_refused(self):
        """There is no order for what is no version."""
        with pytest.raises(ManifestError, match="invalid version 'new': "):
            compare("1.0.0", "new")

    @given(strategies.versions, strategies.versions, strategies.versions)
    def test_the_order_is_total(self, a, b, c):
        """Reflexive, antisymmetric and transitive, with an answer for every pair."""
        assert compare(a, a) == 0
        assert compare(a, b) in (-1, 0, 1)
        assert compare(a, b) == -compare(b, a)
        if compare(a, b) <= 0 and compare(b, c) <= 0:
            assert compare(a, c) <= 0
        if compare(a, b) == 0:
            assert parse(a)[:4] == parse(b)[:4]

    @given(strategies.versions, strategies.versions)
    def test_the_order_is_that_of_another_implementation(self, a, b):
        """The package semver agrees on every pair."""
        assert compare(a, b) == semver.Version.parse(a.lstrip("v")).compare(b.lstrip("v"))


@pytest.fixture(scope="module")
def on_micropython():
    """What the real MicroPython makes of the tables, by `ota.version`."""
    done = run_mp(
        """
import json, os
from ota.errors import ManifestError
from ota.version import compare, format, parse

def judge(tag):
    try:
        return format(parse(tag))
    except ManifestError as e:
        return [str(e)]

tags, order = json.loads(json.loads(os.getenv("ARGS"))[0])
print(json.dumps([[judge(t) for t in tags], [[compare(a, b) for b in order] for a in order]]))
""",
        json.dumps([VALID + INVALID, ASCENDING]),
    )
    return json.loads(done.stdout)


def test_micropython_takes_and_refuses_the_same_tags(on_micropython):
    """The table gives the same results and the same messages on a board."""
    judged, _ = on_micropython
    assert judged[: len(VALID)] == VALID
    for tag, answer in zip(INVALID, judged[len(VALID) :]):
        assert isinstance(answer, list), tag
        if tag.isascii():
            with pytest.raises(ManifestError) as e:
                parse(tag)
            assert answer == [str(e.value)]


def test_micropython_orders_the_same_way(on_micropython):
    """Comparing tuples of numbers and text means the same on a board."""
    n = range(len(ASCENDING))
    assert on_micropython[1] == [[(i > j) - (i < j) for j in n] for i in n]
