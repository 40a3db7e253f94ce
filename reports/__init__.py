"""The reading side: answers from the index, and the proof that every record arrived once.

In: documents in Elasticsearch (`tailrace report`); for `tailrace audit` also the files of this host and the topics
`<source>.raw` and `<source>.dead`. Out: tables on the terminal, JSON, CSV, an exit code. Touches nothing: it only reads,
joins no consumer group and commits no offset. `tailrace preview` asks no server, but only parses what a file holds.
"""
