"""Run the benchmarks by name, or all of them. They use the servers of the configuration."""

import argparse
import importlib
import pkgutil

import benchmarks


def main() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=names, help="one benchmark; all by default")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of that benchmark; see its --help")
    arguments = parser.parse_args()
    for name in [arguments.name] if arguments.name else names:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main(arguments.options)


if __name__ == "__main__":
    main()
