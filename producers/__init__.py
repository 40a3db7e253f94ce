"""From files to `<source>.raw`.

In: the files that a source's globs name. Out: one Kafka record per event, keyed by its place; dead letters for records
that no topic takes; heartbeats of files on `<source>.files`. Touches: the files (reads only), Kafka, `state_dir/ship`.
Light, since it is installed next to other people's servers: confluent-kafka, click and msgspec.
"""
