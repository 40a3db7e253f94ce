"""What records mean.

In: bytes of one record and the place it came from. Out: events, dead letters, Avro envelopes, index mappings.
Pure functions: no I/O besides the data files beside the code, no Kafka, no Faust, no Elasticsearch.
"""
