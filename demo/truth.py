"""What the writer knows it wrote, beside what the audit found."""

from pathlib import Path

from demo.ledger import Entry, Ledger
from reports.findings import FileAudit, SourceAudit

NAMES = ("bytes", "records", "events", "dead")


def differences(ledger: Ledger, folder: Path, audits: list[SourceAudit]) -> list[str]:
    """In words, file by file, whatever the audit counted otherwise than the writer; empty when they agree."""
    audited = {str(Path(file.path).relative_to(folder)): file for audit in audits for file in audit.files}
    found = [f"{path}: the writer knows nothing of it" for path in audited.keys() - ledger.files.keys()]
    for path, entry in ledger.files.items():
        if path not in audited:
            found.append(f"{path}: written, but not audited")
        else:
            found += _compare(path, entry, audited[path])
    return found


def _compare(path: str, entry: Entry, file: FileAudit) -> list[str]:
    return [
        f"{path}: {getattr(entry, name):,} {name} written, {getattr(file, name):,} audited"
        for name in NAMES
        if getattr(entry, name) != getattr(file, name)
    ]
