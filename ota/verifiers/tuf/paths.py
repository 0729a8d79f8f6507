"""Which roles a role of TUF delegates a target to."""

from ...builtin import own

hexlify = own("binascii").hexlify
sha256 = own("hashlib").sha256


def _part(pattern, text):
    # `*` any characters, `?` one; in time that grows with the product of the lengths.
    i = j = 0
    star = back = -1
    while j < len(text):
        if i < len(pattern) and pattern[i] == "*":
            star, back = i, j
            i += 1
        elif i < len(pattern) and pattern[i] in ("?", text[j]):
            i += 1
            j += 1
        elif star >= 0:
            back += 1
            i, j = star + 1, back
        else:
            return False
    return not pattern[i:].strip("*")


def matches(pattern, path):
    """Whether a path pattern of TUF takes `path`; no wildcard goes over a `/`."""
    patterns, parts = pattern.split("/"), path.split("/")
    return len(patterns) == len(parts) and all([_part(p, q) for p, q in zip(patterns, parts)])


def delegated(delegations, path):
    """The roles to ask next, last one first: ([(name, {keys, roles})], whether no other may be)."""
    found = []
    digest = hexlify(sha256(path.encode()).digest()).decode()
    for role in delegations.get("roles") or ():
        if "paths" in role:
            takes = any([matches(p, path) for p in role["paths"]])
        else:
            takes = any([digest.startswith(p) for p in role["path_hash_prefixes"]])
        if takes:
            by = {"keys": delegations["keys"], "roles": {role["name"]: role}}
            found.insert(0, (role["name"], by))
            if role["terminating"]:
                return found, True
    return found, False
