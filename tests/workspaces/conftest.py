"""What the workspaces' tests share."""
# ruff: noqa: PLC0415 - Django is not set up yet when this file is read

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.workspaces.indexer import Indexer


@pytest.fixture
def indexer(vectors: Any, db: None) -> "Indexer":
    """Put files into a workspace and index them in this process."""
    from tests.workspaces.indexer import Indexer

    return Indexer(vectors)


@pytest.fixture
def host(tmp_path: Any, settings: Any) -> Any:
    """A git server over TLS that this platform may fetch from."""
    from tests.fakes.git_server import git_server

    with git_server(tmp_path) as server:
        settings.GIT_IMPORT_ALLOWED_HOSTS = [server.host]
        settings.GIT_IMPORT_CA_FILE = server.ca_file
        yield server


@pytest.fixture
def repository(host: Any) -> Any:
    """A repository on it, with one commit."""
    from tests.workspaces.git_imports import FILES

    made = host.repository()
    made.commit(FILES)
    return made
