"""Where workers of both kinds find their servers."""

from pathlib import Path

import pytest

from tests.conftest import MakeSettings
from tests.worker.engine.defects.running import Place


@pytest.fixture
def place(redis_url: str, database_url: str, make_settings: MakeSettings, tmp_path: Path) -> Place:
    return Place(redis_url, database_url, tmp_path, make_settings)
