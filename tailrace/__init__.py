"""The front door, and what every room shares: settings, errors, Kafka and Elasticsearch clients.

In: `tailrace.toml`, the environment, the command line. Out: the command `tailrace`, which loads a room only when asked.
"""

__version__ = "0.1.0"
