"""Raw records to events with sessions, by Faust workers.

In: `<source>.raw`. Out: `<source>.events` (parsed and enriched, keyed by client), `<source>.enriched` (with sessions, and
patches of sessions), `<source>.sessions`, `<source>.dead`. Touches: Kafka, the lists and databases that the settings name,
`state_dir/stream`.

Two apps, `parse` and `sessionize`, each as many processes as one likes. What differs from stock Faust, and why it is safe,
in the order of a batch's way: `transport` delivers what one fetch brought as one event, `worker` gives it to the app's agent,
`outbox` tells when Kafka holds all that came of it, `offsets` says what may be committed then, `watchdog` ends a worker that
stands still. `parse` (with `enrich` and `lookback`) and `sessionize` (with `sessions`, `state` and `table`) do the work.
"""
