from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.postgres import Postgres
from llmqueue_project.embedded.valkey import Valkey


@pytest.fixture
def cluster(tmp_path: Path) -> Postgres:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    return Postgres(tmp_path, data, 20123, "s3cret")


def test_settings_are_private_and_the_password_is_not_among_them(cluster: Postgres) -> None:
    cluster.prepare()

    path = cluster.data / "postgresql.conf"
    text = path.read_text()
    assert "listen_addresses = '127.0.0.1'" in text
    assert "unix_socket_directories = ''" in text
    assert "port = '20123'" in text
    assert "s3cret" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_lock_file_that_names_somebody_elses_process_is_removed(cluster: Postgres) -> None:
    path = cluster.data / "postmaster.pid"
    path.write_text(f"{os.getpid()}\n{cluster.data}\n")

    cluster.prepare()

    assert not path.exists()


def test_the_password_is_in_no_representation_and_no_command(cluster: Postgres) -> None:
    valkey = Valkey(Path("valkey-server"), Path("/data"), 20124, "s3cret")

    for server in (cluster, valkey):
        assert "s3cret" not in repr(server)
        assert "s3cret" not in " ".join(server.command)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_data_of_another_user_is_not_taken(cluster: Postgres) -> None:
    os.chown(cluster.data, 65534, 65534)

    with pytest.raises(EmbeddedError, match="belongs to user 65534"):
        cluster.prepare()
