"""Changes of an input that keep its JSON one: chance alone rarely gets past the parser."""

import json
import random

VALUES = [None, True, 0, -1, 1, 2**31, 2**64, 10**50, 1.5, 1e400, "", "a", "..", "/", "\ud800", "é", "\0", "0" * 64, [], {}, [[]], {"a": 1}]


def _places(obj, here=()):
    yield here
    pairs = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ()
    for key, value in pairs:
        yield from _places(value, (*here, key))


def _at(obj, place):
    for key in place:
        obj = obj[key]
    return obj


def _changed(obj, chance):
    places = list(_places(obj))
    place = chance.choice(places)
    other = _at(obj, chance.choice(places)) if chance.random() < 0.3 else chance.choice(VALUES)
    if not place:
        return other
    other = json.loads(json.dumps(other))  # a copy, or it could hold itself
    into = _at(obj, place[:-1])
    if chance.random() < 0.2:
        del into[place[-1]]
    elif isinstance(into, list) and chance.random() < 0.3:
        into.insert(place[-1], other)
    else:
        into[place[-1]] = other
    return obj


def _parsed(line):
    # What stands before the JSON, that, and what stands behind: a record of the state is still open.
    at = min((i for i in (line.find(b"{"), line.find(b"[")) if i >= 0), default=0)
    ends = [b""]
    if line.endswith(b"#"):
        ends = [b"]", b"}"]
    for end in ends:
        try:
            return line[:at], json.loads(line[at:].removesuffix(b"#") + end), end
        except (ValueError, RecursionError):
            pass
    return None


def mutate(data, seed):
    """Replace, add or leave out a value in one of the lines of JSON in `data`; None when it has none."""
    chance = random.Random(seed)
    lines = data.split(b"\n")
    order = list(range(len(lines)))
    chance.shuffle(order)
    for i in order:
        found = _parsed(lines[i])
        if found:
            before, obj, end = found
            text = json.dumps(_changed(obj, chance), ensure_ascii=True, separators=(",", ":")).encode()
            lines[i] = before + (text[:-1] + b"#" if end else text)
            return b"\n".join(lines)
    return None
