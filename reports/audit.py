"""The proof that every record of every file arrived once: disk, Kafka and index compared, source by source.

The files are read first, then the raw topic, then the index and the dead letters, in the order that data takes. So what a
later stage lacks was on its way at best; such events get time to arrive before they are called missing.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from itertools import islice
from tempfile import TemporaryFile
from typing import BinaryIO

from confluent_kafka import Message
from elasticsearch import Elasticsearch

from reports import disk, index, seals
from reports.core import not_harvested
from reports.coverage import altered, between, identify, lacking, torn_bytes
from reports.findings import NAMED, FileAudit, Named, Problem, SourceAudit, totals
from reports.ledger import Account, Fate, Ledger, Parse
from reports.retention import Retention, cut, retention
from schemas.event import Dead, Parsed
from schemas.heartbeat import Heartbeat, Seal
from schemas.localtime import LocalClock, Moment
from schemas.place import Place, is_file, split_key
from schemas.source import Source
from tailrace.kafka import dead_topics, topic
from tailrace.letters import Letters, Position
from tailrace.search import say_closed
from tailrace.settings import Settings, seconds
from tailrace.solr import Trouble
from tailrace.sources import as_parsed, load_source
from tailrace.topics import TopicReader

Say = Callable[[str], None]
"""Told how far a long stage is, with lines that end in `…`."""


def audit_source(settings: Settings, name: str, client: Elasticsearch, *, allow_lag: bool, settle_s: float, say: Say) -> SourceAudit:
    """Raises Unreachable and Refused where a server cannot be read."""
    return _Audit(settings, name, client, say).run(allow_lag, settle_s)


def _parser(source: Source) -> Parse:
    clock = _EitherHour(source.local_timezone) if source.local_timezone else None

    def parse(value: bytes, place: Place, offset: int) -> Parsed:
        try:
            return source.parse(value, place, offset, clock)
        except Exception as error:  # a defect of the parser, which the parse worker keeps as a dead letter
            return [Dead("exception", repr(error), value, offset)]

    return parse


class _EitherHour(LocalClock):
    """Resolves every stamp by itself: whether an hour that occurs twice is its first or second pass changes no id."""

    def resolve(self, stamp: str, offset: int) -> Moment:
        return LocalClock(self.zone).resolve(stamp, 0)


class _Audit:
    """One pass over one source: what was found so far."""

    def __init__(self, settings: Settings, name: str, client: Elasticsearch, say: Say) -> None:
        self.settings, self.client, self.say = settings, client, say
        self.source = as_parsed(load_source(settings, name))
        self.indices = index.pattern(settings, name)
        say_closed(client, self.indices)
        self.raw, self.files = (TopicReader(settings.kafka, topic(settings.kafka, name, kind)) for kind in ("raw", "files"))
        self.dead = [
            (TopicReader(settings.kafka, name), Letters(stages, payloads=False))
            for name, stages in dead_topics(settings.kafka, name).items()
        ]
        self.beats: dict[str, Heartbeat] = {}
        """By file id."""
        self.seals: dict[str, Seal] = {}
        """Of complete files, by file id."""
        self.retention = Retention(0, ordered=False, acknowledged={})
        self.beyond: Counter[str] = Counter()
        """Documents of records that Kafka has deleted, by file id."""
        self.presumed_dead: Counter[str] = Counter()
        """By file id, dead letters that Kafka must have deleted."""
        self.places: dict[str, Place] = {}
        """That they name, by file id."""
        self.parse = _parser(self.source)
        self.ledger = Ledger(self.parse)
        self.no_place: set[Position] = set()
        """Topic, partition and offset of raw records that no dead letter accounts for either."""
        self.problems: list[Named] = []
        self.counts: Counter[Problem] = Counter()

    def run(self, allow_lag: bool, settle_s: float) -> SourceAudit:
        with ExitStack() as opened, TemporaryFile() as spool, closing(self.raw), closing(self.files), closing(self.ledger):
            for reader, _ in self.dead:
                opened.enter_context(closing(reader))
            beats = seals.newest(self.files.records())
            self.beats = {beat.file: beat for beat in beats}
            self.seals = {beat.file: beat.sealed for beat in beats if beat.sealed}
            began_ms = round(time.time() * 1000)
            files = list(self._read_disk(spool))
            for place, offset, message in self._placed(self.raw, "raw records", self.no_place):
                self.ledger.record(place, offset, message.value() or b"", message.timestamp()[1])
            self.retention = retention(self.source, self.raw.deleted, beats)
            self._read_index(settle_s)
            self._ask_core(began_ms, allow_lag)
            audits = self._compare(files, allow_lag)
            self._name_events({audit.file: audit.path for audit in audits})
        unexplained = sum(self.counts[problem] for problem in ("foreign", "no_place", "unreadable", "not_harvested"))
        return SourceAudit(
            source=self.source.name,
            clean=all(audit.clean for audit in audits) and not unexplained,
            files=sorted(audits, key=lambda audit: (audit.path, audit.file)),
            totals=totals(audits),
            deleted_records=self.retention.deleted,
            not_harvested=self.counts["not_harvested"],
            foreign=self.counts["foreign"],
            no_place=self.counts["no_place"],
            unreadable=self.counts["unreadable"],
            problems=self.problems,
        )

    def _read_disk(self, spool: BinaryIO) -> Iterator[disk.DiskFile]:
        for path in disk.paths(self.source.settings):
            self.say(f"{self.source.name}: reading {path}…")
            try:
                yield disk.read(path, self.source.record_start, spool)
            except OSError as error:
                self._name(Named("unreadable", path=path, message=error.strerror))

    def _ask_core(self, began_ms: int, allow_lag: bool) -> None:
        """Whether what a Solr core holds was harvested. Where Kafka has deleted records, nobody can say."""
        url = self.source.settings.solr_url
        if url is None or self.retention.deleted:
            return
        self.say(f"{self.source.name}: asking {url}…")
        try:
            for head in not_harvested(self.source, self.ledger, began_ms, allow_lag=allow_lag):
                self._name(Named("not_harvested", path=url, id=head.id, offset=head.version))
        except Trouble as trouble:
            self._name(Named("unreadable", path=url, message=str(trouble)))

    def _placed(self, reader: TopicReader, what: str, no_place: set[Position] | None = None) -> Iterator[tuple[Place, int, Message]]:
        """A topic's records whose key names a place and an offset in it; the others are added to `no_place`."""
        for count, message in enumerate(reader.records()):
            if count % 10_000 == 0:
                self.say(f"{self.source.name}: {count:,} of {reader.waiting:,} {what}…")
            try:
                place, offset = split_key(message.key() or b"")
            except ValueError:
                if no_place is not None:
                    no_place.add((message.topic(), message.partition(), message.offset()))
                continue
            yield place, offset, message

    def _read_dead(self) -> None:
        """What the dead letters account for. One that was retried does not: its event is in the index, a dead letter again, or missing."""
        self.ledger.forget_dead()
        for reader, letters in self.dead:
            for message in reader.records():
                letters.take(self.source.name, message)
            for letter in letters:
                self.no_place -= letter.failed
                if letter.state != "retried" and letter.place is not None:
                    self.ledger.dead_letter(*letter.place)

    def _read_index(self, settle_s: float) -> None:
        index.refresh(self.client, self.indices)
        for count, (id, name) in enumerate(index.ids(self.client, self.indices)):
            if count % index.IDS_PAGE == 0:
                self.say(f"{self.source.name}: {count:,} documents…")
            self.ledger.document(id, name)
        self._read_dead()
        self._settle(settle_s)
        self._explain_foreign()

    def _explain_foreign(self) -> None:
        """Documents of records that were written meanwhile, and of other sources that share the index, are not foreign."""
        if self.ledger.any_foreign():
            for place, offset, message in self._placed(self.raw, "raw records"):
                self.ledger.explain(self.parse(message.value() or b"", place, offset))
        if self.retention.deleted:
            self.beyond = self._explain_deleted(self.retention)
        for source in index.sharing(self.settings, self.source) if self.ledger.any_foreign() else ():
            parse = _parser(source)
            with closing(TopicReader(self.settings.kafka, topic(self.settings.kafka, source.name, "raw"))) as reader:
                for place, offset, message in self._placed(reader, f"raw records of {source.name}, which shares the index"):
                    self.ledger.explain(parse(message.value() or b"", place, offset))
                if reader.deleted:
                    with closing(TopicReader(self.settings.kafka, topic(self.settings.kafka, source.name, "files"))) as files:
                        self._explain_deleted(retention(source, reader.deleted, seals.newest(files.records())))

    def _explain_deleted(self, gone: Retention) -> Counter[str]:
        """Documents of records that Kafka has deleted are not foreign either; how many, by file id."""
        found: Counter[str] = Counter()
        spans = cache(lambda file: account.spans() if (account := self.ledger.accounts.get(file)) else [])
        ids = (id for id, _ in self.ledger.foreign())
        while page := list(islice(ids, index.IDS_PAGE)):
            for id, place, offset in index.places(self.client, self.indices, page):
                if gone.covers(place, offset, spans(place.file)):
                    self.ledger.explain_document(id)
                    self.places[place.file] = place
                    found[place.file] += 1
        return found

    def _settle(self, settle_s: float) -> None:
        """Give events that are on their way time, as long as they keep arriving."""
        missing = self.ledger.count("missing")
        deadline = time.monotonic() + settle_s
        while missing and time.monotonic() < deadline:
            self.say(f"{self.source.name}: waiting for {missing:,} events that are not in the index…")
            time.sleep(min(1.0, settle_s))
            index.refresh(self.client, self.indices)
            wanted = (event.id for event in self.ledger.owed("missing"))
            while page := list(islice(wanted, index.IDS_PAGE)):
                for id, name in index.where(self.client, self.indices, page):
                    self.ledger.document(id, name)
            self._read_dead()
            left = self.ledger.count("missing")
            if left < missing:
                deadline = time.monotonic() + settle_s
            missing = left

    def _compare(self, files: list[disk.DiskFile], allow_lag: bool) -> list[FileAudit]:
        self.ledger.forget_mended()
        if any(reader.deleted for reader, _ in self.dead):
            self.presumed_dead = self.ledger.presume_dead(self._letters_since_ms())
        fates = self.ledger.fates()
        namesakes = Counter(found.head for found in files)
        audits, seen = [], set()
        for found in sorted(files, key=lambda file: -file.size):
            id = identify(found, namesakes[found.head], self.ledger.accounts)
            known = id in self.ledger.accounts or self.retention.acknowledged.get(id)
            if id in seen or (not known and disk.is_old(found.path, self.source.ignore_older_s)):
                continue  # a copy, whole or in part; or left alone
            seen.add(id)
            audits.append(self._audit_file(id, found, fates))
        audits += [self._audit_file(id, None, fates) for id in self._known() - seen]
        for audit in audits:
            lost = audit.missing + audit.double + audit.dead_letters_missing + audit.altered + audit.missing_bytes + audit.seals_broken
            audit.clean = not lost and (allow_lag or not audit.not_shipped_bytes)
        return audits

    def _letters_since_ms(self) -> int:
        """No dead letter written since then has been deleted by age; 0 where the configuration does not say."""
        kept = self.settings.kafka.raw_retention
        return 0 if kept is None else round((time.time() - seconds(kept, "kafka.raw_retention")) * 1000)

    def _known(self) -> set[str]:
        """Ids of the files that records, seals or documents tell of."""
        return self.ledger.accounts.keys() | self.seals.keys() | self.beyond.keys()

    def _audit_file(self, id: str, found: disk.DiskFile | None, fates: dict[str, Counter[Fate]]) -> FileAudit:
        dead = self.ledger.dead(id)
        account = self.ledger.accounts.get(id)
        known = account.place if account else self.beats.get(id) or self.places.get(id)
        audit = FileAudit(
            path=found.path if found else known.path if known else "",
            file=id,
            host=known.host if known else None,
            on_disk=found is not None,
            bytes=found.size if found else None,
            records=found.amount if found else None,
            dead=len(dead) - self.presumed_dead[id],
            beyond_retention_dead_letters=self.presumed_dead[id],
            beyond_retention_documents=self.beyond[id],
        )
        if account:
            met = fates[id]
            audit.shipped, audit.repeated, audit.repeated_events = account.shipped, account.repeated, account.repeated_events
            audit.events, audit.missing, audit.double = met.total(), met["missing"], met["double"]
            audit.indexed = met["indexed"] + met["double"]
            undead = account.dead_due()
            audit.dead_letters_missing = len(undead)
            audit.altered = len(account.conflicting)
            for offset in undead:
                self._name(Named("dead_letter_missing", file=id, path=audit.path, offset=offset))
            for offset in account.conflicting:
                self._name(Named("conflicting", file=id, path=audit.path, offset=offset))
        self._cover(audit, found, account, dead)
        if found and id in self.seals:
            self._check_seal(audit, self.seals[id])
        return audit

    def _check_seal(self, audit: FileAudit, seal: Seal) -> None:
        try:
            now = seals.digest(audit.path, seal.bytes)
        except OSError as error:
            self._name(Named("unreadable", path=audit.path, message=error.strerror))
            return
        if now != seal:
            audit.seals_broken = 1
            told = (
                f"{now.bytes:,} of {seal.bytes:,} bytes, {now.lines:,} of {seal.lines:,} lines, SHA-256 {now.hash} in place of {seal.hash}"
            )
            self._name(Named("seal_broken", file=audit.file, path=audit.path, message=told))

    def _cover(self, audit: FileAudit, found: disk.DiskFile | None, account: Account | None, dead: set[int]) -> None:
        """Which bytes of the file Kafka lacks. A record that is a dead letter only (too large for Kafka) is accounted for.

        What was sealed had been acknowledged, so none of it is on its way.
        """
        if not is_file(audit.path):
            return
        spans = account.spans() if account else []
        if found:
            gaps = lacking(found, spans, dead)
            audit.torn_bytes = torn_bytes(found, spans, dead)
            for offset in altered(found, account):
                audit.altered += 1
                self._name(Named("altered", file=audit.file, path=audit.path, offset=offset))
        else:
            gaps = between(spans, dead)
        sealed_end = self.seals[audit.file].bytes if audit.file in self.seals else 0
        limit = self.retention.limit(audit.file, spans, audit.path)
        told_end = max(sealed_end, limit)
        if not found and told_end > (last := spans[-1][1] if spans else 0) and last not in dead:
            gaps.append((last, told_end))
        gaps, audit.beyond_retention_bytes = cut(gaps, limit)
        shipped_end = max([end for _, end in spans[-1:]] + [offset + 1 for offset in dead] + [sealed_end])
        for start, end in gaps:
            lag = end > shipped_end
            audit.not_shipped_bytes += (end - start) * lag
            audit.missing_bytes += (end - start) * (not lag)
            self._name(Named("not_shipped" if lag else "hole", file=audit.file, path=audit.path, offset=start, end=end))

    def _name_events(self, paths: dict[str, str]) -> None:
        """Name missing and double events, foreign documents and records without a place."""
        double: list[Named] = []
        for event in self.ledger.owed("missing", "double"):
            problem: Problem = "double" if event.fate == "double" else "missing"
            named = Named(problem, file=event.file, path=paths.get(event.file), offset=event.offset, id=event.id)
            if self._name(named) and problem == "double":
                double.append(named)
        indices: dict[str, list[str]] = defaultdict(list)
        for id, name in index.where(self.client, self.indices, [named.id for named in double if named.id]) if double else ():
            indices[id].append(name)
        for named in double:
            named.indices = sorted(indices[named.id or ""])
        for id, name in self.ledger.foreign():
            self._name(Named("foreign", id=id, indices=[name]))
        for record in sorted(self.no_place):
            self._name(Named("no_place", message="{}[{}]@{}".format(*record)))

    def _name(self, named: Named) -> bool:
        """Count a problem; True where it is among the first few, which are kept."""
        self.counts[named.problem] += 1
        if self.counts[named.problem] > NAMED:
            return False
        self.problems.append(named)
        return True
