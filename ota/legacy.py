"""The functions of `micropython_ota`, on the install that survives power cuts.

Arguments, results, prints and requests are those of its version 2.1.0. What goes wrong
is printed and swallowed, as it always was; only half a pair of credentials raises.
"""

from .builtin import own
from .bootguard import base, exists, load
from .errors import OtaError

_CA = "ota-ca.der"  # who signs the server's certificate


def generate_auth(user=None, passwd=None):
    """What `check_version` takes as `auth` (str), None without credentials.

    Raises:
        ValueError: one of the two is missing.
    """
    if not user and not passwd:
        return None
    if not user or not passwd:
        raise ValueError("Either only user or pass given. None or both are required.")
    b2a_base64 = own("binascii").b2a_base64

    return b2a_base64(("%s:%s" % (user, passwd)).encode()).decode().strip()


def check_version(host, project, auth=None, timeout=5):
    """Compare the server's version with the board's; one request.

    Returns:
        tuple: (True, the server's) when they differ, (False, the same) when not, and
            (False, the board's) after any failure, which is printed.
    """
    u, release, version = _ask(host, project, auth, timeout)
    if release:
        u.transport.close()
    return bool(release), version


def ota_update(
    host, project, filenames, use_version_prefix=True, user=None, passwd=None,
    hard_reset_device=True, soft_reset_device=False, timeout=5, reset_device=None,
):  # fmt: skip
    """Install the server's version when it differs from the board's, and reset.

    Args:
        host (str): the server with its scheme. project (str): the folder there.
        filenames (list of str): what a version consists of. When a version is installed,
            files that were listed for the one before and are not any more are removed.
        use_version_prefix (bool): `v1_main.py` on the server; False: `v1/main.py`.
        user, passwd (str): for Basic authentication.
        hard_reset_device, soft_reset_device (bool): which reset to make; soft wins.
        timeout (int): seconds that the server may be silent.
        reset_device (bool): the name of `hard_reset_device` in versions 1.x.
    """
    auth = generate_auth(user, passwd)
    if reset_device is not None:
        hard_reset_device = reset_device
    layout = "prefix" if use_version_prefix else "subdir"
    try:
        # A power cut in the middle of an install leaves a mix: nothing comes before mending it.
        from .bootguard import advance

        moved = advance(None, load())
        if moved or _install(host, project, auth, timeout, filenames, layout):
            _reset(hard_reset_device, soft_reset_device)
    except Exception as e:
        _wrong(e)


def check_for_ota_update(host, project, user=None, passwd=None, timeout=5, soft_reset_device=False):
    """Reset when the server's version differs from the board's, for `ota_update` to install it.

    A version that could not be installed three times is left alone until there is another.
    """
    changed, version = check_version(host, project, generate_auth(user, passwd), timeout)
    if not changed:
        return
    from .attempts import begin

    try:
        begin(version)
    except Exception as e:
        return _wrong(e)
    kind = "soft" if soft_reset_device else "hard"
    print("Found new version %s, %s-resetting device..." % (version, kind))
    machine = own("machine")

    machine.soft_reset() if soft_reset_device else machine.reset()


def _wrong(e):
    print("Something went wrong: %s" % e)


def _reset(hard, soft):
    machine = own("machine")

    if soft:
        print("Soft-resetting device...")
        machine.soft_reset()
    if hard:
        print("Hard-resetting device...")
        machine.reset()


def _transport(host, project, auth, timeout):
    options = {"timeout": 60 if timeout is None else timeout, "retries": 0}
    if auth:
        a2b_base64 = own("binascii").a2b_base64

        options["user"], options["password"] = a2b_base64(auth).decode().split(":", 1)
    from .transports.wire import PLAIN, quote

    url = "%s/%s/" % (host, quote(project, PLAIN + "%"))  # which may have any character
    if not host.lower().startswith("https:"):
        from .transports.http import HttpTransport

        return HttpTransport(url, **options)
    if not exists(base() + _CA):
        raise OtaError(
            "%s: put the certificate authority of the server, in DER, beside boot.py as %s; "
            "nothing was sent" % (host, _CA)
        )
    from .transports.https import HttpsTransport

    return HttpsTransport(url, ca=base() + _CA, **options)


def _ask(host, project, auth, timeout, **options):
    # One request. Gives (Updater, Release, its version) when the versions differ; else
    # (None, None, the board's).
    u, local = None, ""
    try:
        from .fileset import installed

        local = installed(None)
        from .updater import Updater

        transport = _transport(host, project, auth, timeout)
        u = Updater(transport, files=(), project=project, trial_boots=0, **options)
        release = u.check()
        if release:
            return u, release, release.version
    except Exception as e:
        if getattr(e, "status", 0) >= 400:
            print("Remote version file %s/%s/version not found" % (host, project))
        else:
            _wrong(e)
    if u:
        u.transport.close()
    return None, None, local


def _install(host, project, auth, timeout, names, layout):
    # Gives whether another version is live now.
    def told(event, path):
        if event == "missing":
            name = version + ("_" if layout == "prefix" else "/") + path
            print("Remote source file %s/%s/%s not found" % (host, project, name))

    u, release, version = _ask(host, project, auth, timeout, layout=layout, on_event=told)
    if not release:
        return False
    from .attempts import fail, forget
    from .setup import paths

    try:
        u._source.files = paths("files", names, u.root)
        u.stage(release)
        u.install()
    except Exception as e:
        if getattr(e, "status", 0) < 400:  # else told() has said so
            _wrong(e)
        fail(u, version)
        return False
    finally:
        u.transport.close()
    forget(u)
    return True
