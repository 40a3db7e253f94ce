"""Python's search for garbage in cycles, in roles through which records pass by the thousand without ever being such garbage."""

import gc


def collect_seldom(every: int) -> None:
    """Have this process search once so many objects were made, and never in what there is now, such as modules."""
    gc.freeze()
    gc.set_threshold(every)
