"""What may be committed, when batches are finished in any order."""

from hypothesis import given
from hypothesis import strategies as st

from streams.offsets import Batch, Offsets


def test_nothing_may_be_committed_before_something_is_done() -> None:
    offsets: Offsets[str] = Offsets()
    offsets.read("p", 10)
    assert offsets.committable("p") is None
    assert offsets.committable("another") is None


def test_the_offset_is_said_again_until_a_later_one_is_ready() -> None:
    """A commit that failed is tried again."""
    offsets: Offsets[str] = Offsets()
    offsets.read("p", 10).done = True
    assert offsets.committable("p") == offsets.committable("p") == 10


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30), st.data())
def test_only_what_has_nothing_unfinished_before_it(sizes: list[int], data: st.DataObject) -> None:
    """Sizes differ, as after compaction: an offset that is not there must not hold anything up."""
    offsets: Offsets[str] = Offsets()
    batches: list[Batch] = []
    for size in sizes:
        batches.append(offsets.read("p", (batches[-1].next_offset if batches else 0) + size))
    for finished in data.draw(st.permutations(range(len(batches)))):
        batches[finished].done = True
        unfinished = [at for at, batch in enumerate(batches) if not batch.done]
        last_done = (unfinished[0] if unfinished else len(batches)) - 1
        assert offsets.committable("p") == (batches[last_done].next_offset if last_done >= 0 else None)


def test_a_partition_that_was_given_up_is_not_committed_by_what_ends_later() -> None:
    offsets: Offsets[str] = Offsets()
    old = offsets.read("p", 10)
    kept = offsets.read("q", 5)
    offsets.forget(["p"])
    old.done = kept.done = True
    assert offsets.committable("p") is None
    assert offsets.committable("q") == 5
    new = offsets.read("p", 7)
    assert offsets.committable("p") is None
    new.done = True
    assert offsets.committable("p") == 7
    assert set(offsets) == {"p", "q"}
