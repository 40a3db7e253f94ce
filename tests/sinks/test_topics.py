"""A topic that is deleted under a sink."""

import threading

import pytest
from confluent_kafka.admin import AdminClient

from schemas.sources import build
from sinks import templates, topics
from sinks.consume import Sink
from tailrace import kafka, search, settings
from tailrace.errors import TailraceError
from tests.helpers import eventually
from tests.sinks.stage import Stage, event

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(("anew", "said"), [(False, "was deleted while it was read"), (True, "was deleted and made anew")])
def test_it_ends_the_sink_instead_of_leaving_it_idle(stage: Stage, monkeypatch: pytest.MonkeyPatch, anew: bool, said: str) -> None:
    monkeypatch.setattr(topics, "LOOK_EVERY_S", 3600.0)  # the next look is when the test says so
    source = build("own", settings.load(stage.config, {}).sources["own"])
    stage.put([event("a")])
    admin = AdminClient(kafka.client_config(stage.settings.kafka))
    with search.connect(stage.settings.elasticsearch) as client:
        templates.install(client, stage.settings.elasticsearch, [source])
        sink, failures = Sink(stage.settings, [source], client), []

        def run() -> None:
            try:
                sink.run(threading.Event())
            except TailraceError as error:
                failures.append(error.message)

        loop = threading.Thread(target=run)
        loop.start()
        eventually(lambda: stage.lag() == 0, "what is there is indexed")
        admin.delete_topics([stage.topic], operation_timeout=10)[stage.topic].result()
        eventually(lambda: stage.topic not in admin.list_topics(timeout=5).topics, "it is gone")
        if anew:
            kafka.ensure_topics(admin, stage.settings.kafka, ["own"])
        sink._topics._due_s = 0.0
        loop.join(60)
    assert [said in failure for failure in failures] == [True], failures
