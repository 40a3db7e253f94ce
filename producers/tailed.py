"""A file that is followed: what it is, how far it is read, sent and acknowledged."""

from collections import deque
from dataclasses import dataclass, field

from producers.checkpoint import Entry, Packed
from producers.discovery import Found
from producers.publish import Batch
from producers.reader import UNSIGNED, Part, Reader, Signature, ending, sign
from schemas.heartbeat import Seal
from schemas.place import Place, key_prefix
from schemas.source import Source
from schemas.watermark import Mark


@dataclass(eq=False)
class TailedFile:
    """A file that is followed."""

    source: Source
    place: Place
    """Constant over renames and restarts, so that a record which is sent twice has the same key."""
    found: Found
    """The file as the last scan saw it."""
    reader: Reader
    acknowledged: int
    gone: bool = False
    """No glob finds it any more: deleted, or renamed to where no glob looks."""
    replaced: bool = False
    """Its inode holds other content now; only deliveries are waited for."""
    finished: bool = False
    """Nothing more is to be read from it."""
    changed: bool = False
    """A scan saw that it did since it was opened last."""
    failed: str = ""
    """Why it cannot be read at the moment."""
    grown_s: float = 0.0
    torn_at: int = -1
    """Where the file ended when its unterminated end was shipped last."""
    reported: tuple[object, ...] | None = None
    """What the last heartbeat said: size, read, acknowledged, path, seal."""
    sealed: Seal | None = None
    """What it holds, once it is complete."""
    mark: Mark = field(default_factory=Mark)
    """Before when all that stood in it is acknowledged."""
    ended: Signature = UNSIGNED
    """Of the last bytes before `acknowledged`."""
    batches: deque[Batch] = field(default_factory=deque)
    prefix: bytes = b""
    _ending: bytes | None = None
    """The last bytes before the end of the last batch."""
    _entry: tuple[object, Entry] | None = None
    """The last one, and what it was made of."""

    def __post_init__(self) -> None:
        self.prefix = key_prefix(self.place)
        self.resumed = self.acknowledged
        """What earlier runs have shipped."""

    @property
    def size(self) -> int:
        """Bytes, as far as known: those of a compressed file that are not read yet count as they stand on the disk."""
        return self.reader.position + max(0, self.found.size - self.reader.consumed)

    @property
    def packed(self) -> Packed | None:
        """What the file is on the disk, where it is compressed, and shipped to its end."""
        reader = self.reader
        if not reader.is_packed or not reader.at_end or reader.ends_early:
            return None
        whole = reader.position == self.acknowledged and reader.consumed == self.found.size
        return Packed(self.found.size, self.found.mtime_ns) if whole else None

    def sent(self, part: Part, batch: Batch) -> None:
        """A part of it is on its way as a batch."""
        self._ending = ending(self.reader.before if self._ending is None else self._ending, part)
        batch.ending = sign(self._ending)
        self.batches.append(batch)

    def settle(self) -> int:
        """Move the acknowledged offset over the batches that are delivered; how many records those held."""
        records = 0
        while self.batches and self.batches[0].left == 0:
            batch = self.batches.popleft()
            self.acknowledged, self.ended = batch.end, batch.ending
            records += batch.count
        return records

    def entry(self) -> Entry:
        """Of the checkpoint; the same object until something changes, since most of thousands of files do not."""
        state = (self.acknowledged, self.reader.signed_length, self.packed, self.sealed)
        if self._entry is None or self._entry[0] != state:
            self._entry = (state, self._make_entry())
        return self._entry[1]

    def _make_entry(self) -> Entry:
        signature = self.reader.signature
        return Entry(
            source=self.source.name,
            file=self.place.file,
            path=self.place.path,
            offset=self.acknowledged,
            signed=signature.length,
            signature=signature.digest,
            ended=self.ended.length,
            ending=self.ended.digest,
            packed=self.packed,
            sealed=self.sealed,
        )
