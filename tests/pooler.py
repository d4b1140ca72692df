"""A real PgBouncer in transaction mode before a PostgreSQL, over TCP."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
LONGEST = 30

SETTINGS = """
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
{user}
"""


@contextmanager
def running_pooler(postgres_url: str, *, sessions: int = 3) -> Iterator[int]:
    """Run a PgBouncer before this server, with so many sessions to each database; its port."""
    assert PGBOUNCER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pgbouncer-", ignore_cleanup_errors=True) as folder:
        server = _server(postgres_url)
        user = _user(server["host"])
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        file = Path(folder) / "pgbouncer.ini"
        file.write_text(
            SETTINGS.format(
                server=" ".join(f"{name}={value}" for name, value in server.items()),
                port=port,
                sessions=sessions,
                folder=folder,
                user=f"user = {user}" if user else "",
            )
        )
        process = subprocess.Popen([PGBOUNCER, "-q", file], stderr=subprocess.PIPE, text=True)
        try:
            _wait(process, port)
            yield port
        finally:
            process.kill()
            process.communicate(timeout=LONGEST)


def _server(url: str) -> dict[str, object]:
    """The server as PgBouncer wants it named; as that user, whoever asks."""
    with psycopg.connect(url) as connection:
        info = connection.info
        parts = {"host": info.host, "port": info.port, "user": info.user, "password": info.password}
    return {name: value for name, value in parts.items() if value}


def _user(host: object) -> str:
    """Whom PgBouncer runs as, which refuses to be root: one who may open the folder of the server's socket."""
    if os.geteuid() != 0:
        return ""
    folder = Path(str(host))
    return folder.owner() if folder.is_dir() and folder.owner() != "root" else "nobody"


def _wait(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(LONGEST * 50):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise RuntimeError(process.communicate()[1])
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError("PgBouncer does not listen.")
