"""The programs of the stream benchmark, each for one stage of one source: `python -m benchmarks._workers PROGRAM STAGE SOURCE`.

They are configured by the TAILRACE_… variables, as Tailrace is. The peers read and write the same topics with the same work per
record (`benchmarks._work`), and are written as their guides teach, with their fastest settings.
"""

import sys
from typing import Any

from benchmarks._work import Session, next_session, parsing
from tailrace import kafka
from tailrace.settings import load
from tailrace.sources import load_source

IN = {"parse": "raw", "sessionize": "events"}
OUT = {"parse": "events", "sessionize": "enriched"}


def tailrace(stage: str, source: str) -> None:
    from streams import parse, sessionize, worker

    settings = load()
    build = {"parse": parse, "sessionize": sessionize}[stage].build
    worker.run(settings, lambda: build(settings, [load_source(settings, source)]))


def faust(stage: str, source: str) -> None:
    """Stock Faust: an agent that takes one event at a time; sessions in a table."""
    import faust
    import uvloop

    settings = load()
    app = faust.App(
        kafka.group(settings.kafka, "stock"),
        broker=f"kafka://{settings.kafka.bootstrap_servers}",
        datadir=settings.state_dir,
        topic_disable_leader=True,
        topic_allow_declare=stage == "sessionize",  # the table's changelog
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=131_072,
        producer_linger=0.05,
        producer_max_batch_size=262_144,
        producer_compression_type="lz4",
    )
    raw = {"key_serializer": "raw", "value_serializer": "raw"}
    records = app.topic(kafka.topic(settings.kafka, source, IN[stage]), **raw)
    out = app.topic(kafka.topic(settings.kafka, source, OUT[stage]), **raw)
    if stage == "parse":
        work = parsing(source)

        @app.agent(records)  # type: ignore[untyped-decorator, unused-ignore]
        async def parse(stream: Any) -> None:
            async for key, value in stream.items():
                for out_key, out_value in work(key, value):
                    out.send_soon(key=out_key, value=out_value)
    else:
        gap_ms = load_source(settings, source).session_gap_ms
        sessions = app.Table("sessions", partitions=settings.kafka.partitions, key_type=bytes, value_type=list)

        @app.agent(records)  # type: ignore[untyped-decorator, unused-ignore]
        async def sessionize(stream: Any) -> None:
            async for key, value in stream.items():
                name = key.decode()
                enriched, sessions[name] = next_session(value, sessions.get(name), gap_ms)
                out.send_soon(key=key, value=enriched)

    async def run() -> None:
        await app.start()
        await app.wait_until_stopped()

    uvloop.run(run())


def quixstreams(stage: str, source: str) -> None:
    from quixstreams import Application, State
    from quixstreams.models import Serializer

    class Value(Serializer):  # type: ignore[misc, unused-ignore]
        def __call__(self, pair: tuple[bytes, bytes], ctx: object) -> bytes:
            return pair[1]

    settings = load()
    app = Application(
        broker_address=settings.kafka.bootstrap_servers,
        consumer_group=kafka.group(settings.kafka, "quixstreams"),
        auto_offset_reset="earliest",
        auto_create_topics=stage == "sessionize",  # the state's changelog
        state_dir=f"{settings.state_dir}/quixstreams",
        producer_extra_config={"enable.idempotence": True, "acks": "all", "compression.type": "lz4", "linger.ms": 20},
        loglevel="WARNING",
    )
    records = app.topic(kafka.topic(settings.kafka, source, IN[stage]), key_deserializer="bytes", value_deserializer="bytes")
    out = app.topic(kafka.topic(settings.kafka, source, OUT[stage]), key_serializer="bytes", value_serializer=Value())
    frame = app.dataframe(records)
    if stage == "parse":
        work = parsing(source)
        frame = frame.apply(lambda value, key, timestamp, headers: list(work(key, value)), metadata=True, expand=True)
        frame = frame.to_topic(out, key=lambda pair: pair[0])
    else:
        gap_ms = load_source(settings, source).session_gap_ms

        def sessionize(value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> tuple[bytes, bytes]:
            last: Session | None = state.get("last")
            enriched, (start, end) = next_session(value, last, gap_ms)
            state.set("last", [start, end])
            return key, enriched

        frame = frame.apply(sessionize, metadata=True, stateful=True).to_topic(out)
    app.run()


if __name__ == "__main__":
    program, stage, source = sys.argv[1:]
    {"tailrace": tailrace, "faust": faust, "quixstreams": quixstreams}[program](stage, source)
