"""From `<source>.enriched` to Elasticsearch.

In: Avro envelopes of events and patches. Out: documents in `<index>-YYYY.MM` by event time, dead letters on `<source>.dead`,
and Kafka offsets, committed only below the first record that neither the index nor a dead letter holds.

The way through, each step a module: `consume` (the loop) hands records to `lanes` (threads, one per group of partitions), `bulk`
splices them into request bodies, `writer` posts a body until `outcomes` says that every item of it is settled, `dead_letters` keeps
what cannot be indexed, `offsets` says what may be committed. `templates` describes the indices. Talks to Kafka and Elasticsearch.
"""
