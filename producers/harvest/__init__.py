"""DataONE's event core, a Solr index, as a source: new events from there to `<source>.raw`.

What is new is asked by `_version_`, the number that Solr gives a document each time it (re)indexes it: milliseconds since
1970 times 2^20 and a counter, from the clock of the shard's leader, never going back there. Other dates of an event do not do:

- `dateLogged` is when the event happened. A node whose logs are harvested weeks late brings old dates, below any mark that
  was reached by then; a harvest by dateLogged loses such events for good.
- `dateAggregated` is when the coordinating node fetched the event, before it is indexed. Batches wait in between, are
  indexed again after a failure, and come from several nodes with clocks of their own; an event that is corrected and
  indexed again keeps its date and would never be seen. And it is a field like others, which a schema may lack.
- `_version_` exists in every core with an update log, and an event that is indexed again gets a new one, so it is fetched
  again; its id is the same, and the index keeps the copy with the highest version.

Versions grow as they are given, not as they come to light: a document becomes visible with the next commit, shards commit
each in their own time and by their own clocks, and of two that are added at once the later may be committed first. So the
last `solr_overlap` of version time before the newest version seen is looked through again with every poll, by ids only,
and read again from the first that is new. The overlap has to exceed the longest commit interval and the clocks' difference.
Old versions cannot appear outside it but by a core that was put back to an older state: `--since` goes back by hand.

A document's place: host and path are the core's URL, the file id is a hash of URL and filter, the offset is the version.
So what is sent twice has the same key. Several shards may give one version to two documents; their events still differ by id.

| module | its one idea |
|---|---|
| `tailrace/solr.py` | one question to a core, one page as the answer; the audit asks, too |
| `window.py` | what was seen of the stretch in which something may still come to light |
| `core.py` | one core: its place, what was read, what is acknowledged |
| `harvester.py` | the loop: poll, page, publish, remember |
| `figures.py` | metrics and health |
| `cli.py` | `tailrace harvest` |
"""
