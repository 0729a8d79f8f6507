"""The web server of the benchmark: nginx as it comes, with a log of what went over the wire."""

import contextlib
import socket
import subprocess
import time
from dataclasses import dataclass

from servers import NGINX, free_port

CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    log_format wire '$http_host $uri $status $request_length $bytes_sent $body_bytes_sent $connection';
    access_log {folder}/access wire;
    sendfile on; tcp_nopush on; keepalive_requests 100000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen {port} backlog=1024; root {folder}/www; }}
}}
"""


@dataclass
class Wire:
    """What nginx saw: requests, connections, bytes up, down (both with headers) and of bodies."""

    requests: int = 0
    connections: int = 0
    up: int = 0
    down: int = 0
    body: int = 0
    paths: tuple = ()

    @property
    def both(self):
        return self.up + self.down


class Web:
    """nginx in `folder` (Path), serving its `www`; `port` on every address of this machine's network."""

    def __init__(self, folder):
        self.folder = folder
        self.www = folder / "www"
        self.www.mkdir(parents=True)
        self.port = free_port()

    def __enter__(self):
        if not NGINX:
            raise SystemExit("nginx is not installed: on Debian, apt-get install nginx-light")
        (self.folder / "conf").write_text(CONFIG.format(folder=self.folder, port=self.port))
        self._process = subprocess.Popen([NGINX, "-c", str(self.folder / "conf"), "-e", str(self.folder / "error")])
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            time.sleep(0.02)
        raise RuntimeError((self.folder / "error").read_text())

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()

    def url(self, path, host="127.0.0.1"):
        """`host` may name another port, of another server of the same files."""
        return f"http://{host if ':' in host else f'{host}:{self.port}'}/{path}"

    def forget(self):
        """Empty the log."""
        (self.folder / "access").write_text("")

    def wire(self, prefix=""):
        """What came below `prefix` since `forget`."""
        time.sleep(0.05)
        rows = [line.rsplit(" ", 6) for line in (self.folder / "access").read_text().splitlines()]
        rows = [r for r in rows if len(r) == 7 and r[1].startswith("/" + prefix)]
        sums = (sum(int(r[i]) for r in rows) for i in (3, 4, 5))
        return Wire(len(rows), len({r[6] for r in rows}), *sums, tuple(r[1] for r in rows))
