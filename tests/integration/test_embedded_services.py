"""PostgreSQL and Valkey from wheels: private, unprivileged, durable, and never orphaned."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import psutil
import psycopg
import pytest
import redis

from llmqueue_project.embedded.services import Service, Services

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services(durable=False) as running:
        yield running


def row_count(services: Services) -> int:
    with psycopg.connect(services.database_url) as connection:
        found = connection.execute("select count(*) from kept").fetchone()
    assert found is not None
    return int(found[0])


def processes(*services: Service) -> list[psutil.Process]:
    """The servers and the children they have."""
    heads = [psutil.Process(service.pid) for service in services]
    return [one for head in heads for one in (head, *head.children(recursive=True))]


def wait_until_gone(gone: list[psutil.Process], seconds: float = 10.0) -> None:
    _, alive = psutil.wait_procs(gone, timeout=seconds)
    alive = [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert alive == []


def test_committed_rows_survive_a_killed_postgresql(services: Services) -> None:
    with psycopg.connect(services.database_url) as connection:
        connection.execute("create table kept as select 1 as number")

    services.postgres.kill()
    services.postgres.start()

    assert row_count(services) == 1


def test_keys_survive_a_restarted_valkey(services: Services) -> None:
    with redis.Redis.from_url(services.redis_url) as client:
        client.set("kept", "yes")

    services.valkey.restart()

    with redis.Redis.from_url(services.redis_url) as client:
        assert client.get("kept") == b"yes"


def test_nobody_enters_without_the_password(services: Services) -> None:
    port = services.valkey.url.rsplit(":", 1)[1].removesuffix("/0")
    with (
        redis.Redis.from_url(f"redis://127.0.0.1:{port}/0") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    user, _, rest = services.database_url.partition("@")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"{user.rsplit(':', 1)[0]}:wrong@{rest}")


def test_passwords_are_on_no_command_line(services: Services) -> None:
    secrets = services.state.secrets().values()

    for process in processes(services.postgres, services.valkey):
        line = " ".join(process.cmdline())
        assert not any(secret in line for secret in secrets)


def test_only_loopback_is_listened_on(services: Services) -> None:
    for process in processes(services.postgres, services.valkey):
        for connection in process.net_connections():
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"
        assert not [one for one in process.net_connections("unix") if one.laddr]


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has nothing to drop")
def test_root_is_dropped_and_its_files_stay_private(services: Services) -> None:
    for process in processes(services.postgres, services.valkey):
        assert 0 not in process.uids()
    for folder in (services.state.root / "data").iterdir():
        assert folder.stat().st_mode & 0o077 == 0


def test_data_ports_and_passwords_are_kept_between_runs() -> None:
    folder = Path(mkdtemp(prefix="llmqueue-test-"))
    try:
        with Services(folder, durable=False) as first:
            with psycopg.connect(first.database_url) as connection:
                connection.execute("create table kept as select 1 as number")
            urls = first.environment

        with Services(folder, durable=False) as second:
            assert second.environment == urls
            assert row_count(second) == 1
    finally:
        rmtree(folder)


def test_servers_die_with_the_process_that_started_them() -> None:
    script = (
        "from llmqueue_project.embedded.services import Services\n"
        "services = Services(durable=False).start()\n"
        "print(services.postgres.pid, services.valkey.pid, services.state.root, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        postgres, valkey, root = owner.stdout.readline().decode().split()
        try:
            alive = [psutil.Process(int(pid)) for pid in (postgres, valkey)]
            alive += alive[0].children(recursive=True)

            owner.kill()

            wait_until_gone(alive)
        finally:
            owner.kill()
            rmtree(root)


def test_a_paused_server_answers_nothing_until_it_is_resumed(services: Services) -> None:
    services.valkey.pause()
    try:
        with (
            redis.Redis.from_url(services.redis_url, socket_timeout=0.2) as client,
            pytest.raises(redis.TimeoutError),
        ):
            client.ping()
    finally:
        services.valkey.resume()

    deadline = time.monotonic() + 5
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.ping()
    assert time.monotonic() < deadline
