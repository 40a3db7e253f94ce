"""Run the benchmarks by name, or all of them, on the servers that are named by TAILRACE_… variables or on ones of their own."""

import argparse
import importlib
import os
import pkgutil
import tempfile
from pathlib import Path

import benchmarks
from infra.progress import Printer
from infra.servers import obtain
from tailrace.settings import load


def main() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=names, help="one benchmark; all by default")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of that benchmark; see its --help")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        os.chmod(folder, 0o755)  # the account that servers run under has to pass
        with obtain(load(), Path(folder), Printer()) as servers:
            os.environ["TAILRACE_KAFKA_BOOTSTRAP_SERVERS"] = servers.bootstrap_servers
            os.environ["TAILRACE_ELASTICSEARCH_URL"] = servers.url
            for name in [arguments.name] if arguments.name else names:
                print(f"\n## {name}\n", flush=True)
                importlib.import_module(f"benchmarks.{name}").main(arguments.options)


if __name__ == "__main__":
    main()
