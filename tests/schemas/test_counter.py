"""COUNTER's fields: who, which hour, by what method, and whether it counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.counter import HOUR_MS, Access, Counter
from schemas.keyed import Keyed

KEY = b"an example of a key"
AT = 1_526_687_719_290  # 2018-05-18T23:55:19.290Z
LIMIT = 1 << 53


@pytest.fixture
def counter() -> Counter:
    return Counter(Keyed(KEY))


def fields(counter: Counter, access: Access, is_admin: bool = False, time: int | None = AT, id: str = "a") -> dict[str, object]:
    return counter.fields(access, is_admin, time, id)


@pytest.mark.parametrize(
    ("tags", "is_admin", "method", "excluded"),
    [
        ([], False, "regular", None),
        (["ignore_ip", "_geoip_lookup_failure"], False, "regular", None),
        (["machine_ua"], False, "machine", None),
        (["robot_ua"], False, "regular", "robot_ua"),
        (["machine_ua", "robot_ua"], False, "machine", None),
        (["robot_ip", "ignore_ip", "robot_ua"], False, "regular", "robot_ip"),
        (["robot_ip", "ignore_ip", "machine_ua"], False, "machine", "robot_ip"),
        (["dataone_ip", "robot_ip", "ignore_ip", "robot_ua"], False, "regular", "dataone_ip"),
        ([], True, "regular", "admin_subject"),
        (["robot_ip", "ignore_ip"], True, "regular", "admin_subject"),
        (["dataone_ip", "ignore_ip"], True, "regular", "dataone_ip"),
    ],
)
def test_method_and_reason(counter: Counter, tags: list[str], is_admin: bool, method: str, excluded: str | None) -> None:
    found = fields(counter, counter.access("192.0.2.1", "agent", tags, "f00d"), is_admin)
    assert (found["method"], found.get("excluded"), found["lists"]) == (method, excluded, "f00d")


def test_a_user_is_an_address_with_an_agent(counter: Counter) -> None:
    people = [("192.0.2.1", "a"), ("192.0.2.1", "b"), ("192.0.2.2", "a"), ("192.0.2.1", "")]
    users = [counter.access(address, agent, (), "f00d").user for address, agent in people]
    assert len(set(users)) == 4
    assert users == [Counter(Keyed(KEY)).access(address, agent, (), "f00d").user for address, agent in people]


def test_another_key_gives_other_users(counter: Counter) -> None:
    assert len({Counter(Keyed(key)).access("192.0.2.1", "a", (), "f00d").user for key in (KEY, b"another key of some length", b"")}) == 3


def test_a_session_is_a_clock_hour_of_utc(counter: Counter) -> None:
    access = counter.access("192.0.2.1", "a", (), "f00d")
    hour = AT - AT % HOUR_MS
    sessions = [
        fields(counter, access, time=time, id=str(time))["session"] for time in (hour, hour + HOUR_MS - 1, hour + HOUR_MS, hour - 1)
    ]
    assert sessions[0] == sessions[1]
    assert len(set(sessions)) == 3
    assert fields(counter, counter.access("192.0.2.2", "a", (), "f00d"))["session"] not in sessions


@pytest.mark.parametrize(("address", "time"), [(None, AT), ("192.0.2.1", None), (None, None)])
def test_without_client_or_time_an_event_is_a_session_of_its_own(counter: Counter, address: str | None, time: int | None) -> None:
    access = counter.access(address, "a", (), "f00d")
    first, again, other = (fields(counter, access, time=time, id=id) for id in ("x", "x", "y"))
    assert first == again
    assert first["session"] != other["session"]
    assert ("user" in first) is (address is not None)


@given(st.text(), st.text(), st.integers(-(10**13), 10**13), st.text())
def test_numbers_stay_exact_in_json_and_doubles(address: str, agent: str, time: int, id: str) -> None:
    counter = Counter(Keyed(KEY))
    found = fields(counter, counter.access(address, agent, (), "f00d"), time=time, id=id)
    for number in (found["user"], found["session"], fields(counter, counter.access(None, agent, (), "f00d"), id=id)["session"]):
        assert isinstance(number, int)
        assert 0 <= number < LIMIT
        assert int(float(number)) == number
