"""A real Kafka and a real Elasticsearch for this machine, and what runs Tailrace elsewhere.

In: nothing but a JDK and Maven, or a Docker engine. Out: two addresses that answer (`infra.servers.start`), and servers that
leave nothing running when they are stopped. Shared by `tailrace up`, the demo, the tests and the benchmarks.
"""
