"""Raw records to events with sessions, by Faust workers.

In: `<source>.raw`. Out: `<source>.events` (parsed and enriched, keyed by client), `<source>.enriched` (with sessions, and
patches of sessions), `<source>.sessions`, `<source>.dead`. Touches: Kafka, the lists and databases that the settings name,
`state_dir/stream`.

Two apps, `parse` and `sessionize`, each as many processes as one likes; README.md says what differs from stock Faust, and why it is safe.
In the order of a batch's way: `transport` delivers what one fetch brought (`records`) as one event, `worker` gives it to the app's
agent. `parse` (with `enrich` and `lookback`) sends what comes of it through `outbox`; `sessionize` (with `sessions`, `state`, and
`session_agent`) in `transactions`, which hold the changelog of its `table`, too. `offsets` says what may be committed then. `recovery`
brings tables up to date, `store` keeps them, `watchdog` ends a worker that stands still.
"""
