from pathlib import Path

import pytest

from streams.agents import LONGEST, STOCK_BROWSER, Agents, read_agents


def agents(folder: Path, *patterns: str, ignore_case: bool = False) -> Agents:
    file = folder / "agents.txt"
    file.write_text("\n".join(patterns), encoding="utf-8")
    return read_agents(file, ignore_case=ignore_case)


def test_patterns_are_searched_for_anywhere(tmp_path: Path) -> None:
    found = agents(tmp_path, "bot", r"^curl\/", "Indy Library")
    matched = ["Googlebot/2.1", "curl/8.0", "x Indy Library y"]
    assert [text for text in [*matched, "my curl/8.0", "Bot", "", STOCK_BROWSER] if text in found] == matched


def test_case_counts_unless_it_is_told_not_to(tmp_path: Path) -> None:
    agent = "Apache-HttpClient/4.3.6 (java 1.5)"
    assert agent not in agents(tmp_path, "http.?client")
    assert agent in agents(tmp_path, "http.?client", ignore_case=True)


def test_groups_and_flags_stay_within_their_pattern(tmp_path: Path) -> None:
    found = agents(tmp_path, r"(ab)\1", r"(?i)crawl", r"(cd)\1", r"(?P<x>ef)")
    assert [text for text in ["abab", "CRAWL", "cdcd", "ef", "cdab", "ABAB"] if text in found] == ["abab", "CRAWL", "cdcd", "ef"]


def test_blank_lines_comments_and_crlf_are_no_patterns(tmp_path: Path) -> None:
    file = tmp_path / "agents.txt"
    file.write_bytes(b"# list\r\n\r\nbot\r\n   \r\n^spider$\r\n")
    found = read_agents(file, ignore_case=False)
    assert [text for text in ["bot", "spider", "", "# list", "\r"] if text in found] == ["bot", "spider"]


@pytest.mark.parametrize("pattern", ["a|", "|a", "a||b", "x?", "(a|)", "()", "$", "^", "a*"])
def test_a_pattern_that_matches_the_empty_text_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ValueError, match=r"line 2: the pattern .* matches the empty text") as caught:
        agents(tmp_path, "bot", pattern)
    assert repr(pattern) in str(caught.value)


@pytest.mark.parametrize("pattern", ["Mozilla", "Chrome", ".", "^.*$", "Safari|bot", r"\d"])
def test_a_pattern_that_matches_a_stock_browser_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: the pattern .* stock browser"):
        agents(tmp_path, pattern)


def test_a_pattern_may_say_that_it_means_a_missing_agent(tmp_path: Path) -> None:
    found = agents(tmp_path, "^.?$")
    assert [text for text in ["", "-", "--", STOCK_BROWSER] if text in found] == ["", "-"]


@pytest.mark.parametrize("pattern", ["(", "[a", "*a", "a{2,1}", "a(?i)"])
def test_what_is_no_regular_expression_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: the pattern .* is no regular expression"):
        agents(tmp_path, pattern)


def test_only_the_start_of_an_absurd_agent_is_looked_at(tmp_path: Path) -> None:
    found = agents(tmp_path, "bot")
    assert "x" * (LONGEST - 3) + "bot" in found
    assert "x" * LONGEST + "bot" not in found


def test_the_real_lists(shared: Path) -> None:
    machines = read_agents(shared / "dataone" / "machine_user_agents.txt", ignore_case=False)
    robots = read_agents(shared / "dataone" / "robot_user_agents.txt", ignore_case=False)
    assert "curl/8.0" in machines
    assert "curl/8.0" not in robots
    assert "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" in robots
    assert "" not in machines
    assert "" not in robots
