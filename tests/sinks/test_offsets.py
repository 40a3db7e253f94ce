"""Offsets: never above what is settled, never for a partition that belongs to another, nothing forgotten."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sinks.bulk import Partition
from sinks.lanes import lane_number
from sinks.offsets import Offsets

partitions = st.tuples(st.sampled_from(["a.enriched", "b.enriched"]), st.integers(0, 2))


class Group(RuleBasedStateMachine):
    """A broker's view beside the class: what it holds must always be something that was settled by the owner."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = Offsets()
        self.assigned: set[Partition] = set()
        self.settled: dict[Partition, int] = {}
        self.broker: dict[Partition, int] = {}

    @rule(which=st.sets(partitions))
    def assign(self, which: set[Partition]) -> None:
        self.offsets.assign({partition: self.broker.get(partition, 0) for partition in which})
        self.assigned |= which

    @rule(which=st.sets(partitions))
    def revoke(self, which: set[Partition]) -> None:
        self.offsets.revoke(which)
        self.assigned -= which
        for partition in which:
            self.settled.pop(partition, None)

    @rule(partition=partitions, further=st.integers(1, 5_000))
    def settle(self, partition: Partition, further: int) -> None:
        offset = self.settled.get(partition, self.broker.get(partition, 0)) + further
        self.offsets.settle({partition: offset})
        if partition in self.assigned:
            self.settled[partition] = offset

    @rule(works=st.booleans())
    def commit(self, works: bool) -> None:
        positions = self.offsets.uncommitted()
        self.offsets.committed(positions)
        if works:
            self.broker |= positions
            assert not self.offsets.uncommitted()
            assert {partition: self.broker[partition] for partition in self.settled} == self.settled
        else:
            self.offsets.not_committed(positions)
            assert self.offsets.uncommitted() == positions

    @invariant()
    def only_what_is_settled_may_be_committed(self) -> None:
        begun = {partition: self.broker.get(partition, 0) for partition in self.assigned}
        assert self.offsets.settled() == begun | self.settled
        assert all(self.settled[partition] == offset for partition, offset in self.offsets.uncommitted().items())


TestGroup = Group.TestCase


def test_partitions_of_a_topic_are_spread_over_lanes() -> None:
    assert {lane_number(("a.enriched", number), 2) for number in range(2)} == {0, 1}
