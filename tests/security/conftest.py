from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.secured import SecuredElasticsearch, SecuredKafka
from tests.security.stage import Stage


@pytest.fixture
def stage(secured_kafka: SecuredKafka, secured_elasticsearch: SecuredElasticsearch, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(secured_kafka, secured_elasticsearch, tmp_path)
    yield made
    made.close()
