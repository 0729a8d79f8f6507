"""The metadata of The Update Framework for a project, made with python-tuf.

    from ota_host.tuf.keys import load
    from ota_host.tuf.repository import Repository

    _, signer = load("online.key")
    repository = Repository(Tree(folder), [signer])
    repository.publish()              # the channels' manifests become targets
    repository.renew()                # a new timestamp, as a cron job makes one

All of it lies in `tuf/` below the project's folder, beside the manifests that it is about:

    tuf/1.root.json, 2.root.json, …   who may sign what; each signed by the keys of the one before, too
    tuf/timestamp.json                the newest snapshot: the only file that changes in place
    tuf/5.snapshot.json               the newest targets
    tuf/3.targets.json                length and hash of each channel's manifest
    tuf/targets/<sha256>.stable.manifest   the targets under the names that other TUF clients ask for
"""
