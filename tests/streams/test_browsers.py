import pytest

from streams.agents import LONGEST, STOCK_BROWSER
from streams.browsers import describe

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.1 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("agent", "details"),
    [
        (STOCK_BROWSER, {"name": "Chrome", "version": "126.0.0", "os": {"name": "Windows", "version": "10"}}),
        (
            IPHONE,
            {
                "name": "Mobile Safari",
                "version": "17.1",
                "os": {"name": "iOS", "version": "17.1"},
                "device": {"name": "iPhone"},
            },
        ),
        ("curl/8.0", {"name": "curl", "version": "8.0"}),
        ("", None),
        ("nothing that anybody knows", None),
        ("\x00" * LONGEST, None),
    ],
)
def test_what_an_agent_says(agent: str, details: dict[str, object] | None) -> None:
    assert describe(agent) == details
