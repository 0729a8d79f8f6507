"""Real servers on 127.0.0.1: web servers, buckets, and sockets that say exactly what a test wants."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from missing import find, program

NGINX = find("nginx")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def nginx(folder, server):
    """Run nginx in `folder` with `server`, the inside of its server block; gives its port.

    `{port}` in it is the port, `{root}` the folder `www` below `folder`.
    Requests are logged in `folder`/access, a line each.
    """
    command = program("nginx")
    port = free_port()
    (folder / "www").mkdir(exist_ok=True)
    server = server.replace("{port}", str(port)).replace("{root}", str(folder / "www"))
    (folder / "nginx.conf").write_text(
        textwrap.dedent(f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error; events {{}}
        http {{
            log_format short '$connection $request_method $request_uri $status "$http_authorization"';
            access_log {folder}/access short;
            client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
            fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
            server {{ root {folder}/www; {server} }}
        }}
        """)
    )
    with running([command, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error")], port):
        yield port


@contextlib.contextmanager
def running(command, port, **options):
    """Run `command` (list), which serves on `port`."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([str(word) for word in command], stdout=said, stderr=said, **options)
        try:
            for _ in range(500):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.02)
            else:
                said.seek(0)
                raise RuntimeError(f"{command[0]} does not serve: {said.read()}")
            yield
        finally:
            process.terminate()
            process.wait()


APACHE = """
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error
TypesConfig {folder}/types
DocumentRoot {folder}/www
<Directory {folder}/www>
Require all granted
</Directory>
"""
APACHE_MODULES = "mpm_event authz_core mime negotiation filter deflate headers dir env"


@contextlib.contextmanager
def apache(www, inside=""):
    """Run Apache with a copy of `www`, as it comes from Debian, and `inside` more of configuration; gives its URL.

    `{folder}` in it is the folder of the copy, which is called `www`.
    """
    command = program("apache2")
    port = free_port()
    # Not below the folder of the test: Apache gives up being root, which alone can read that.
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        folder.chmod(0o755)
        shutil.copytree(www, folder / "www")
        modules = [f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in APACHE_MODULES.split()]
        user = ["User www-data", "Group www-data"] if os.geteuid() == 0 else []
        types = "text/html html\ntext/plain txt\napplication/json json\n"
        (folder / "types").write_text(types)
        conf = "\n".join([*modules, *user, APACHE, inside])
        (folder / "conf").write_text(conf.replace("{port}", str(port)).replace("{folder}", temp))
        with running([command, "-X", "-f", folder / "conf"], port):
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def lighttpd(www, inside=""):
    """Run lighttpd on `www`, with `inside` more of configuration; gives its URL."""
    command = program("lighttpd")
    port = free_port()
    with tempfile.TemporaryDirectory() as temp:
        conf = f'server.document-root = "{www}"\nserver.port = {port}\nserver.bind = "127.0.0.1"\n'
        (Path(temp) / "conf").write_text(conf + inside)
        with running([command, "-D", "-f", Path(temp) / "conf"], port):
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def caddy(www, inside=""):
    """Run Caddy on `www`, with `inside` more of its site; gives its URL."""
    command = program("caddy")
    port = free_port()
    with tempfile.TemporaryDirectory() as temp:
        site = f"http://127.0.0.1:{port} {{\nroot * {www}\n{inside}\nfile_server\n}}\n"
        (Path(temp) / "Caddyfile").write_text("{\nadmin off\nauto_https off\n}\n" + site)
        words = ["run", "--config", Path(temp) / "Caddyfile", "--adapter", "caddyfile"]
        with running([command, *words], port, env=dict(os.environ, HOME=temp, XDG_DATA_HOME=temp, XDG_CONFIG_HOME=temp)):
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def rclone(www):
    """Run `rclone serve s3` on `www`, whose folders are its buckets; gives its URL."""
    command = program("rclone")
    port = free_port()
    with tempfile.TemporaryDirectory() as temp:
        words = ["serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", Path(temp) / "conf", "--vfs-cache-mode", "off"]
        with running([command, *words, www], port):
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def moto(www):
    """Run moto's S3 with what is in the folders of `www`, its buckets; gives its URL."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is missing: make setup")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    url = "http://127.0.0.1:%d" % server.get_host_and_port()[1]
    try:
        s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        for bucket in sorted(p for p in Path(www).iterdir() if p.is_dir()):
            s3.create_bucket(Bucket=bucket.name, ACL="public-read")
            for path in bucket.rglob("*"):
                if path.is_file():
                    s3.put_object(Bucket=bucket.name, Key=path.relative_to(bucket).as_posix(), Body=path.read_bytes())
        yield url
    finally:
        server.stop()


class Relay:
    """Between a board and the server at `url`: notes each request, and may cut answers short.

    `heard` lists [request as text, bytes of its answer]; `cuts` is what is left of the answers to requests for a
    content: each the bytes after which its connection ends.
    """

    def __init__(self, url, cuts=()):
        self._to = int(url.rpartition(":")[2])
        self._cuts, self.heard = list(cuts), []

    def __enter__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.close()

    def _run(self):
        while True:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            ends = client, socket.create_connection(("127.0.0.1", self._to)), {}
            for call in (self._ask, self._answer):
                threading.Thread(target=call, args=ends, daemon=True).start()

    def _ask(self, client, server, state):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.heard.append([data.decode(), 0])
                if self._cuts and b"/blobs/" in data:
                    state["left"] = self._cuts.pop(0)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client, server, state):
        with contextlib.suppress(OSError), client, server:
            while data := server.recv(4096):
                if "left" in state:
                    data = data[: state["left"]]
                    state["left"] -= len(data)
                self.heard[-1][1] += len(data)
                client.sendall(data)
                if state.get("left") == 0:
                    client.shutdown(socket.SHUT_RDWR)
                    return


def requests(folder):
    """What nginx in `folder` was asked: [connection, method, path, status, authorization] a request."""
    time.sleep(0.05)
    return [line.split(" ", 4) for line in (folder / "access").read_text().splitlines()]


class Wire:
    """A server that answers each connection with the next of `answers`, and closes it.

    An answer is bytes, or a function that is called with the socket after the request came.
    With `keep` all answers go over one connection. `heard` lists the requests as text.
    """

    def __init__(self, *answers, keep=False, tls=None):
        self._answers = list(answers)
        self._keep = keep
        self._tls = tls
        self.heard = []

    def __enter__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.close()

    def _run(self):
        while True:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client):
        with contextlib.suppress(OSError, ssl.SSLError), client:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            while True:
                request = b""
                while b"\r\n\r\n" not in request:
                    more = client.recv(4096)
                    if not more:
                        return
                    request += more
                self.heard.append(request.decode())
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                answer(client) if callable(answer) else client.sendall(answer)
                if not self._keep:
                    client.shutdown(socket.SHUT_WR)
                    return
