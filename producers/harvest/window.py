"""What was seen of a core's newest stretch, in which documents may still come to light. Pure."""

from tailrace.solr import Head, version_of


class Window:
    """Takes about 110 bytes of memory for each document of the overlap."""

    def __init__(self, newest: int, overlap_ms: int) -> None:
        self.newest = newest
        """The highest version that was taken; 0 before the first."""
        self._overlap = version_of(overlap_ms)
        self._seen: dict[int, int] = {}
        """Versions by hash of id and version: versions of several shards may be equal. 61 bits, so that a million documents
        in the window are confused with a probability below one in a million."""

    @property
    def floor(self) -> int:
        """The lowest version under which something new may appear."""
        return max(0, self.newest - self._overlap)

    def __contains__(self, head: Head) -> bool:
        return hash((head.id, head.version)) in self._seen

    def take(self, head: Head) -> None:
        self._seen[hash((head.id, head.version))] = head.version
        self.newest = max(self.newest, head.version)

    def prune(self) -> None:
        """Forget what lies below the floor, which is not asked for any more."""
        floor = self.floor
        self._seen = {mark: version for mark, version in self._seen.items() if version >= floor}
