"""The City database that comes with the development dependencies: of 2018, so for tests and the demo only.

Operators subscribe to MaxMind's own and name its path in `geoip_city`.
"""

from importlib.util import find_spec
from pathlib import Path


def city_database() -> Path | None:
    """Path of the GeoLite2-City.mmdb inside PyPI's maxminddb-geolite2, or None where that is not installed."""
    found = find_spec("_maxminddb_geolite2")
    folder = found.submodule_search_locations if found is not None else None
    file = Path(folder[0]) / "GeoLite2-City.mmdb" if folder else None
    return file if file is not None and file.is_file() else None
