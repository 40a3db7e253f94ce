"""What the writer knows it wrote, beside what the audit found."""

from pathlib import Path

from demo.ledger import Entry, Ledger
from reports.findings import FileAudit, SourceAudit


def differences(ledger: Ledger, folder: Path, audits: list[SourceAudit]) -> list[str]:
    """In words, whatever the audit counted otherwise than the writer; empty when they agree.

    An event that two files tell counts once in all, but in which of the two depends on which came first, so the files
    are compared by all that they tell.
    """
    audited = {str(Path(file.path).relative_to(folder)): file for audit in audits for file in audit.files}
    found = [f"{path}: the writer knows nothing of it" for path in sorted(audited.keys() - ledger.files.keys())]
    for path, entry in ledger.files.items():
        if path not in audited:
            found.append(f"{path}: written, but not audited")
        else:
            found += _unequal(path, _written(entry), _audited(audited[path]))
    indexed = sum(file.indexed for file in audited.values())
    return found + _unequal("all files", {"events": ledger.total().events}, {"events": indexed})


def _written(entry: Entry) -> dict[str, int | None]:
    return {"bytes": entry.bytes, "records": entry.records, "events with repeats": entry.events + entry.repeats, "dead letters": entry.dead}


def _audited(file: FileAudit) -> dict[str, int | None]:
    told = file.events + file.repeated_events
    return {"bytes": file.bytes, "records": file.records, "events with repeats": told, "dead letters": file.dead}


def _unequal(where: str, written: dict[str, int | None], audited: dict[str, int | None]) -> list[str]:
    return [f"{where}: {count} {what} written, {audited[what]} audited" for what, count in written.items() if count != audited[what]]
