"""What tools/tuf-client runs, on MicroPython. Exit code 0: done; 1: refused, with the reason."""

import os
import sys
import time

from ota.errors import OtaError, VerifyError


def options(words):
    """({option: value}, names of targets, other words)."""
    given, targets, rest = {}, [], []
    words = iter(words)
    for word in words:
        if word == "--target-name":
            targets.append(next(words))
        elif word.startswith("--"):
            given[word[2:]] = next(words)
        else:
            rest.append(word)
    return given, targets, rest


def transport(url):
    from ota.transports.http import HttpTransport

    return HttpTransport(url, retries=0)


def copy(source, target):
    with open(source, "rb") as f, open(target, "wb") as g:
        while True:
            data = f.read(512)
            if not data:
                return
            g.write(data)


def download(client, path, urls, folder):
    from ota.verifiers.tuf.files import quote

    entry = client.find(path)
    to = folder + "/" + quote(path)
    if client.files.fits(to, entry):
        return
    name = path
    if client.is_consistent:
        hashes = entry["hashes"]
        digest = hashes.get("sha256") or list(hashes.values())[0]
        folders, slash, last = path.rpartition("/")
        name = "%s%s%s.%s" % (folders, slash, digest, last)
    if not client.files.fetch(name, to + ".new", entry["length"], entry, urls):
        raise VerifyError("target %s is not there" % path)
    os.rename(to + ".new", to)


def main(words):
    given, targets, rest = options(words)
    folder = given["metadata-dir"]
    if rest[0] == "init":
        return copy(rest[1], folder + "/root.json")
    from ota.verifiers.tuf.client import Client
    from ota.verifiers.tuf.files import Files

    now = "%04d-%02d-%02dT%02d:%02d:%02dZ" % time.gmtime()[:6]
    client = Client(Files(transport(given["metadata-url"]), folder), now)
    client.refresh()
    for path in targets:
        download(client, path, transport(given["target-base-url"]), given["target-dir"])


try:
    main(sys.argv[1:])
except OtaError as e:
    print("%s: %s" % (type(e).__name__, e))
    sys.exit(1)
