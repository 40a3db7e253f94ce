"""EZCast traces: the action catalogue, the parser of a trace record, and a shorter way for usual ones."""
