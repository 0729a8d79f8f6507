"""The file plan: what a release changes on a board. Pure: two sorted streams in, one out."""

from .bootguard import NEW, above, exists, merge, same

FETCH = "fetch"  # the new content has to come whole
PATCH = "patch"  # a delta from the old content is on offer
KEEP = "keep"  # the path belongs to the board: it stays as it is
DELETE = "delete"  # the new release no longer names it


def kept(path, keep, root=None):
    """Whether `path` (str) is in `keep` or below one of it (list of str), where case does not count if `root` is on FAT."""
    if keep and root is not None and exists(root + ".OTA"):
        path, keep = path.lower(), [k.lower() for k in keep]
    for k in keep:
        if (path + "/").startswith(k.rstrip("/") + "/"):
            return True
    return False


def plan(old, new, keep=()):
    """Give (what, path, old entry, new entry) for every path that differs, and only those.

    Args:
        old, new: iterators of manifest entries (dicts), sorted by path; an entry is None
            where a release does not name the path.
        keep: files and folders that are not replaced once they exist.
    """
    for path, x, y in merge(old, new):
        if same(x, y):
            continue
        if x and kept(path, keep):
            yield KEEP, path, x, y
        elif not y:
            yield DELETE, path, x, y
        elif x and x.get("h") and x["h"][:16] in y.get("d", ()):
            yield PATCH, path, x, y
        else:
            yield FETCH, path, x, y


def beside(root, path):
    """The path that the new content of `path` is staged beside: itself, or one below a file that gives way."""
    for at in above(path):
        if exists(root + path[:at]) == 1:
            return path[:at] + NEW + path[at:]
    return path
