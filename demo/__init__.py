"""The whole way, watched: a day of EZCast and DataONE written live, carried to the index, asked about, and audited.

In: nothing. Out: what a terminal shows, and the audit's exit code. It may touch every other room, and a folder of its own.
"""
