"""Real servers on 127.0.0.1: nginx, and sockets that say exactly what a test wants."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import textwrap
import threading
import time

import pytest

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")


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
    if not NGINX:
        pytest.skip("nginx is not installed: the behaviour of a real web server is not tested")
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
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error")])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.02)
        else:
            raise RuntimeError((folder / "error").read_text())
        yield port
    finally:
        process.terminate()
        process.wait()


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
