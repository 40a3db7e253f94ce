"""EZCast traces: the action catalogue, and the parser of a trace record."""
