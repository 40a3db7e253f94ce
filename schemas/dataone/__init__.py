"""DataONE's event log: one JSON object per line, written by the coordinating nodes' log aggregation.

A document keeps the record's own names and values; 16 fields of upstream's geolocation and robot guesses are dropped,
since `streams.enrich` works them out anew. What would make Elasticsearch refuse the document (a list for a pid, a key
`tags`, an integer of 70 bits) is put right or left out, and named in `problems` as `name:reason`.
"""
