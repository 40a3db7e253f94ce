"""A topic that was made a moment ago, and that not every broker knows yet."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams import table
from streams.table import describe
from tailrace.errors import TailraceError


class Admin:
    """Describes a topic by one answer after the other, the last for ever: its number of partitions, or -1 where it is unknown."""

    def __init__(self, *answers: int) -> None:
        self._answers: Iterator[int] = iter(answers)
        self._answer = 0

    def describe_topics(self, topics: object, request_timeout: float) -> dict[str, Any]:
        self._answer = next(self._answers, self._answer)
        return {"t": SimpleNamespace(result=self._result)}

    def _result(self, timeout: float) -> object:
        if self._answer < 0:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return SimpleNamespace(partitions=[None] * self._answer, topic_id="id")


def test_partitions_are_waited_for() -> None:
    admin: Any = Admin(-1, 0, 5)
    assert len(describe(admin, "t").partitions) == 5


@pytest.mark.parametrize(("answer", "said"), [(0, "no partitions yet"), (-1, "Unknown topic or partition")])
def test_a_topic_that_stays_unknown_is_an_error(monkeypatch: pytest.MonkeyPatch, answer: int, said: str) -> None:
    monkeypatch.setattr(table, "KNOWN_S", 0.0)
    admin: Any = Admin(answer)
    with pytest.raises(TailraceError, match=f"does not describe topic t: .*{said}"):
        describe(admin, "t")
