"""Who and what the EZCast traces are about: lectures, browsers, and people who are numbers."""

from dataclasses import dataclass
from random import Random

VIDEO_SPLIT_S = 30
"""The player reports what was watched in pieces of this length."""


@dataclass(frozen=True)
class Browser:
    name: str
    version: str
    system: str
    agent: str


@dataclass(frozen=True)
class Lecture:
    album: str
    asset: str
    title: str
    """HTML-escaped, as the player sends it."""
    seconds: int
    kind: str
    """cam, slide or camslide."""


@dataclass(frozen=True)
class Person:
    netid: str
    """`nologin` for a visitor without account."""
    address: str
    browser: Browser
    diligence: float
    """0 to 1: how long they watch and how much they write."""


_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
BROWSERS = {
    Browser(
        "Chrome", "65.0.3325.181", "Windows", f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/65.0.3325.181 Safari/537.36"
    ): 30,
    Browser(
        "Chrome", "65.0.3325.181", "Mac", f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_4) {_WEBKIT} Chrome/65.0.3325.181 Safari/537.36"
    ): 14,
    Browser(
        "Chrome",
        "64.0.3282.137",
        "Android",
        f"Mozilla/5.0 (Linux; Android 8.0.0; SM-G950F) {_WEBKIT} Chrome/64.0.3282.137 Mobile Safari/537.36",
    ): 10,
    Browser("Firefox", "59.0", "Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:59.0) Gecko/20100101 Firefox/59.0"): 14,
    Browser("Firefox", "59.0", "Linux", "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:59.0) Gecko/20100101 Firefox/59.0"): 6,
    Browser(
        "Safari",
        "11.1",
        "Mac",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_4) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/11.1 Safari/605.1.15",
    ): 14,
    Browser(
        "Safari",
        "11.0",
        "iOS",
        "Mozilla/5.0 (iPad; CPU OS 11_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/11.0 Mobile/15E148 Safari/604.1",
    ): 8,
    Browser(
        "Edge",
        "16.16299",
        "Windows",
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/58.0.3029.110 Safari/537.36 Edge/16.16299",
    ): 3,
    Browser("unknown", "unknown", "unknown", ""): 1,
}
"""Shares in percent. The last one sent no user agent."""

COURSES = {
    "PHYS-F-101": ("Physique générale", "Mécanique", "Ondes", "Thermodynamique"),
    "MATH-F-112": ("Algèbre linéaire", "Espaces vectoriels", "Déterminants", "Valeurs propres"),
    "INFO-F-103": ("Algorithmique", "Listes &amp; arbres", "Graphes", "Tri &lt;rapide&gt;"),
    "CHIM-F-103": ("Chimie organique", "Alcanes", "Stéréochimie", "Réactions SN1 / SN2"),
    "HIST-B-105": ("Histoire contemporaine", "1815-1848", "Révolution industrielle", "Entre-deux-guerres"),
    "DROI-C-101": ("Introduction au droit", "Les sources", "L&#039;État", "Les contrats"),
    "BIOL-F-102": ("Biologie cellulaire", "La membrane", "Mitose", "Génétique"),
}
"""Course code: its title, then chapters."""


def lectures(random: Random) -> list[Lecture]:
    """Every chapter of every course, recorded over the months before; some only for those who are enrolled."""
    found = []
    for course, (title, *chapters) in COURSES.items():
        for week, chapter in enumerate(chapters):
            album = f"{course}-{random.choice(('pub', 'pub', 'priv'))}"
            asset = f"2018_{2 + week:02}_{random.randint(1, 27):02}_{random.choice(('08h03', '10h02', '13h59', '16h01'))}"
            seconds = random.randint(1500, 6600)
            found.append(Lecture(album, asset, f"{title} : {chapter}", seconds, random.choice(("cam", "slide", "camslide", "camslide"))))
    return found


def people(random: Random, students: int) -> list[Person]:
    """So many students, and one visitor without account for every six of them."""
    netids = [f"student{number:03}" for number in range(1, students + 1)] + ["nologin"] * (students // 6)
    return [Person(netid, _address(random), _browser(random), random.random()) for netid in netids]


def visitor(random: Random, netid: str, address: str) -> Person:
    return Person(netid, address, _browser(random), 0.5)


def _browser(random: Random) -> Browser:
    return random.choices(list(BROWSERS), list(BROWSERS.values()))[0]


def _address(random: Random) -> str:
    """On the campus, at home, by IPv6, or IPv4 as an IPv6 server writes it."""
    place = random.random()
    if place < 0.35:
        return f"164.15.{random.randint(0, 255)}.{random.randint(1, 254)}"
    if place < 0.8:
        return f"{random.choice(('81.240', '91.176', '109.128', '78.20', '193.190'))}.{random.randint(0, 127)}.{random.randint(1, 254)}"
    if place < 0.95:
        return f"2a02:a03f:{random.randint(4096, 65535):x}:{random.randint(1, 65535):x}::{random.randint(1, 65535):x}"
    return f"::ffff:164.15.{random.randint(0, 255)}.{random.randint(1, 254)}"
