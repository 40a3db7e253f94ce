"""A day on a campus as EZCast traces it, and three older files: every action somewhere, and the usual oddities.

Everything follows from the seed. Visits are walks: log in, open an album, watch, seek, bookmark, discuss, search, leave;
the names and order of an action's fields are the catalogue's, so nothing here repeats them.
"""

import string
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from demo.campus import VIDEO_SPLIT_S, Lecture, Person, lectures, people, visitor
from demo.lines import Line, in_order
from schemas.ezcast.catalogue import Form, built_in

ZONE = ZoneInfo("Europe/Brussels")
DAY = date(2018, 4, 23)
"""A Monday of term."""
HOURS = {8: 5, 9: 6, 10: 8, 11: 8, 12: 5, 13: 6, 14: 9, 15: 9, 16: 8, 17: 7, 18: 6, 19: 8, 20: 10, 21: 10, 22: 7, 23: 5, 24: 2, 25: 1}
"""How busy the local hours are, from the first lecture to after midnight, when the next day's file begins."""

GONE = frozenset({"view_asset_timecode", "asset_share", "asset_share_open", "video_playing", "view_info"})
"""Actions that only old files hold."""

LEVELS = {
    **dict.fromkeys(("admin_mode_update", "contact_send", "preferences_update", "refresh_page", "view_info"), 0),
    **dict.fromkeys(("login", "login_as_anonymous", "view_albums", "album_token_delete", "album_token_move"), 1),
    **dict.fromkeys(("view_album_assets", "album_token_add", "thread_detail_from_trending"), 2),
    **dict.fromkeys(("panel_show", "panel_hide", "cam_download_open", "slide_download_open"), 3),
    **dict.fromkeys(("contact_show", "contact_hide", "settings_show", "settings_hide", "video_play_time", "video_playing"), 4),
}
"""What is neither here nor in `OF_THE_PAGE` is 4 with a position in the video, else 3."""
OF_THE_PAGE = frozenset({"logout", "view_help", "bookmarks_search", "keyword_search", "login_from_anonymous", "asset_bookmarks_delete"})
"""Their level says where the visitor stood: 1 home, 2 album, 3 asset."""

PLAYER = (
    *("playback_speed_up", "playback_speed_down", "video_volume_up", "video_volume_down", "video_mute", "video_quality"),
    *("video_fullscreen_enter", "video_fullscreen_exit", "browser_fullscreen_enter", "browser_fullscreen_exit"),
    *("panel_show", "panel_hide", "shortcuts_show", "shortcuts_hide", "link_open", "link_copy", "video_forward", "video_rewind"),
    *("video_bookmark_click", "cam_download_open", "cam_download", "slide_download"),
)
"""What people press while they watch."""

WORDS = ("intégrale", "énergie", "examen", "définition", "démonstration", "exercice", "théorème", "question", "résumé", "méthode")
LONG_TEXTS = ("À revoir avant l'examen :\r\n- la définition\r\n- l'exemple", "voir aussi - le syllabus,\r\npage 12", "Important")
MESSAGES = ("Bonjour, la vidéo s'arrête à la 12e minute.\r\n\r\nMerci d'avance", "Je ne trouve pas le cours de lundi.")
CHAT = ("#question peut-on revoir l&#039;exemple ?", "merci !\r<br/>très clair", "le son est faible **https://www.example.org/** ?")

_Value = Callable[["Visit"], object]
VALUES: dict[str, _Value] = {
    "admin_enabled": lambda visit: visit.random.choice(("1", "")),
    "album": lambda visit: visit.lecture.album if visit.depth > 1 else "",
    "asset": lambda visit: visit.lecture.asset if visit.depth > 2 else "",
    "asset_name": lambda visit: visit.lecture.title,
    "bookmark_count": lambda visit: visit.random.randint(1, 6),
    "bookmark_description": lambda visit: visit.random.choice(LONG_TEXTS),
    "bookmark_fields": lambda _: "title, description, keywords",
    "bookmark_keywords": lambda visit: ",".join(visit.random.sample(WORDS, 2)),
    "bookmark_level": lambda visit: visit.random.randint(1, 3),
    "bookmark_time": lambda visit: visit.position,
    "bookmark_title": lambda visit: visit.random.choice(WORDS).capitalize(),
    "bookmark_type": lambda visit: visit.screen,
    "browser_name": lambda visit: visit.person.browser.name,
    "browser_version": lambda visit: visit.person.browser.version,
    "chat_message_add.message": lambda visit: visit.random.choice(CHAT),
    "comment_id": lambda visit: visit.random.randint(1, 900),
    "email": lambda visit: f"{visit.person.netid}@example.org",
    "hashtag": lambda _: "#question",
    "loaded_type": lambda visit: visit.screen,
    "message": lambda visit: visit.random.choice(MESSAGES),
    "muted": lambda visit: visit.random.choice(("true", "false")),
    "new_index": lambda _: 1,
    "new_order": lambda visit: visit.random.choice(("chron", "reverse_chron")),
    "official_count": lambda visit: visit.random.randint(0, 5),
    "old_index": lambda _: 2,
    "origin": lambda visit: visit.random.choice(("from_button", "from_shortcut")),
    "panel": lambda visit: visit.random.choice(("personal", "official")),
    "parent_comment_id": lambda visit: visit.random.randint(1, 900),
    "permissions": lambda visit: "view_only" if visit.netid == "nologin" else "view_and_add",
    "personal_count": lambda visit: visit.random.randint(0, 5),
    "play_time": lambda visit: visit.random.randint(1, VIDEO_SPLIT_S),
    "playback_speed": lambda visit: visit.random.choice(("0.5", "1.0", "1.2", "1.5", "2.0")),
    "previous_type": lambda visit: "slide" if visit.screen == "cam" else "cam",
    "previous_video_time": lambda visit: max(0, visit.position - visit.random.randint(20, 400)),
    "quality": lambda visit: visit.quality,
    "record_date": lambda visit: visit.lecture.asset.removeprefix("stream_"),
    "record_type": lambda visit: visit.lecture.kind,
    "requested_quality": lambda visit: visit.quality,
    "search_target": lambda visit: visit.random.choice(("global", "album", "current")),
    "search_words": lambda visit: ", ".join(visit.random.sample(WORDS, 2)),
    "session_id": lambda visit: visit.session,
    "start": lambda visit: visit.position,
    "subject": lambda _: "Problème technique",
    "tab": lambda visit: visit.random.choice(("main", "toc")),
    "tabs": lambda _: "official, custom, threads",
    "target": lambda visit: visit.random.choice(("personal", "official")),
    "thread_count": lambda visit: visit.random.randint(0, 3),
    "thread_fields": lambda _: "title, message",
    "thread_id": lambda visit: visit.random.randint(1, 300),
    "thread_title": lambda visit: f"{visit.random.choice(WORDS).capitalize()} ?",
    "timecode": lambda visit: visit.position,
    "type": lambda visit: visit.screen,
    "uploaded_count": lambda visit: visit.random.randint(1, 9),
    "user_agent": lambda visit: visit.person.browser.agent,
    "user_os": lambda visit: visit.person.browser.system,
    "video_duration": lambda visit: visit.lecture.seconds,
    "video_time": lambda visit: visit.position,
    **dict.fromkeys(("display_new_video_notification", "display_threads", "display_thread_notification"), lambda _: 1),
    "thread_visibility": lambda visit: visit.random.randint(0, 1),
}
"""A believable value of every field (or `action.field`), from where the visitor stands."""


class Visit:
    """One browser session: who, where they stand, and the lines so far."""

    def __init__(self, random: Random, person: Person, start: float, lecture: Lecture, *, session_column: bool = True) -> None:
        self.random: Random = random
        self.person: Person = person
        self.now: float = start
        self.lecture: Lecture = lecture
        self.session_column: bool = session_column
        self.session: str = "".join(random.choices(string.ascii_lowercase + string.digits, k=26))
        self.netid: str = "nologin"
        self.depth: int = 1
        """Where the visitor stands: 1 home, 2 album, 3 asset."""
        self.position: int = 0
        """In the video, in seconds."""
        self.screen: str = "slide" if lecture.kind == "slide" else "cam"
        self.quality: str = random.choice(("low", "high"))
        self.lines: list[Line] = []

    def trace(self, action: str, *, form: Form | None = None, after_s: float = 0.0, **values: object) -> None:
        """Write the action as it happens `after_s` seconds later; `values` replace what `VALUES` would say."""
        self.now += after_s
        form = form or built_in().forms[action][0]
        fields = [str(values[name] if name in values else self._value(action, name)) for name in form.fields]
        self.write(action, _level(self, form), fields)

    def _value(self, action: str, name: str) -> object:
        return VALUES.get(f"{action}.{name}", VALUES[name])(self)

    def write(self, action: str, level: int, fields: list[str], foreign: bytes = b"", dead: int = 0) -> None:
        columns = [stamp(self.now), self.session, self.person.address, self.netid, str(level), action, *fields]
        if not self.session_column:
            del columns[1]
        data = " | ".join(columns).encode() + b"\n" + foreign
        self.lines.append(Line(self.now, daily_file(self.now), data, dead=dead))

    def log_in(self) -> None:
        if self.person.netid == "nologin":
            self.trace("login_as_anonymous")
        else:
            self.netid = self.person.netid
            self.trace("login")
        self.trace("view_albums")

    def open_album(self) -> None:
        self.depth = 2
        self.trace("view_album_assets", after_s=self.random.uniform(2, 20), origin="from_ezplayer")

    def open_lecture(self) -> None:
        self.depth, self.position = 3, 0
        action = "view_asset_bookmark" if self.random.random() < 0.1 else "view_asset_details"
        self.trace(action, after_s=self.random.uniform(2, 30), origin="from_ezplayer")

    def watch(self, seconds: int) -> None:
        """Play so many seconds of the video, told in pieces, with the hands on the keyboard now and then."""
        self.trace("video_play", after_s=self.random.uniform(1, 5))
        end = min(self.lecture.seconds, self.position + seconds)
        while self.position < end:
            piece = min(VIDEO_SPLIT_S, end - self.position)
            self.trace("video_play_time", after_s=piece, start=self.position, play_time=piece)
            self.position += piece
            if self.random.random() < 0.12:
                self._touch(end)
        self.trace("video_pause")

    def _touch(self, end: int) -> None:
        what = self.random.choice(("seek", "switch", "pause", *PLAYER))
        if what == "seek":
            before, self.position = self.position, self.random.randint(0, end)
            self.trace("video_seeked", after_s=1, previous_video_time=before)
        elif what == "switch" and self.lecture.kind == "camslide":
            self.screen = "slide" if self.screen == "cam" else "cam"
            self.trace("video_switch", after_s=1)
        elif what == "pause":
            self.trace("video_pause", after_s=1)
            self.trace("video_play", after_s=self.random.uniform(5, 600))
        elif what in PLAYER:
            self.trace(what, after_s=1)

    def bookmark(self) -> None:
        self.trace("bookmark_form_show", after_s=3, target="personal")
        self.trace("asset_bookmark_add", after_s=40, target="personal")

    def discuss(self) -> None:
        self.trace("thread_detail_show", after_s=5)
        self.trace("comment_form_show", after_s=10)
        self.trace("comment_add", after_s=60)
        self.trace(self.random.choice(("vote_up", "vote_up", "vote_down")), after_s=5)

    def log_out(self) -> None:
        self.trace("logout", after_s=5)


def stamp(at: float) -> str:
    """As PHP writes it: local, without zone, so that the hour which autumn repeats cannot be told from the one before."""
    return datetime.fromtimestamp(at, ZONE).strftime("%Y-%m-%d-%H:%M:%S")


def daily_file(at: float) -> str:
    return datetime.fromtimestamp(at, ZONE).strftime("%Y-%m-%d.trace")


def local(day: date, hour: float) -> float:
    """Seconds since 1970 of a local hour; hours above 24 are of the next day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    return midnight.timestamp() + hour * 3600


STUDENTS = 120


def day(seed: int, crowd: int = 1) -> list[Line]:
    """The traces of `DAY` and the first hours of the next, in the order of writing; of `crowd` times as many students."""
    random = Random(f"ezcast {seed}")
    shelf = lectures(random)
    lines: list[Line] = []
    for person in people(random, STUDENTS * crowd):
        for _ in range(random.choice((1, 1, 2))):
            hour = random.choices(list(HOURS), list(HOURS.values()))[0] + random.random()
            lines += _study(Visit(random, person, local(DAY, hour), _favourite(random, shelf)))
    lines += _live_lecture(random, shelf[0])
    lines += _tour(Visit(random, visitor(random, "tester001", "::1"), local(DAY, 12.5), shelf[1]))
    lines += _oddities(Visit(random, visitor(random, "student042", "noip"), local(DAY, 14.0), shelf[2]))
    return in_order(lines)


def older(seed: int) -> list[Line]:
    """Files of former years: no session column, raw bars in values, and the night that put the clock back."""
    random = Random(f"older {seed}")
    shelf = lectures(random)
    early = Visit(random, visitor(random, "tester001", "164.15.1.1"), local(date(2014, 11, 20), 9), shelf[0], session_column=False)
    barred = Visit(random, visitor(random, "student007", "164.15.2.2"), local(date(2017, 6, 14), 15), shelf[1])
    return in_order([*_old_tour(early), *_bars(barred), *_autumn_night(random, shelf)])


def _level(visit: Visit, form: Form) -> int:
    if form.action in OF_THE_PAGE:
        return visit.depth
    return LEVELS.get(form.action, 4 if "video_time" in form.fields else 3)


def _favourite(random: Random, shelf: list[Lecture]) -> Lecture:
    """Few lectures draw most of the audience: the n-th is chosen with weight 1/n."""
    return random.choices(shelf, [1 / rank for rank in range(1, len(shelf) + 1)])[0]


def _study(visit: Visit) -> list[Line]:
    """What a student does in one sitting."""
    random, diligence = visit.random, visit.person.diligence
    visit.log_in()
    if random.random() < 0.12:
        visit.trace("view_help", after_s=10)
    visit.open_album()
    if random.random() < 0.15:
        visit.trace("bookmarks_search", after_s=20)
    visit.open_lecture()
    visit.watch(int(120 + 2400 * diligence * random.random()))
    if visit.netid != "nologin":
        if random.random() < diligence / 2:
            visit.bookmark()
        if random.random() < diligence / 3:
            visit.discuss()
    if random.random() < 0.4:
        visit.log_out()
    return visit.lines


def _live_lecture(random: Random, lecture: Lecture) -> Iterator[Line]:
    """Twenty watch a stream at the same time, and chat."""
    stream = Lecture(lecture.album, f"stream_{DAY:%Y_%m_%d}_10h00", lecture.title, 7200, "camslide")
    for number in range(20):
        visit = Visit(random, visitor(random, f"student{200 + number}", f"164.15.30.{number + 1}"), local(DAY, 10) + number, stream)
        visit.log_in()
        visit.depth = 3
        visit.trace("view_asset_streaming", after_s=5, permissions="view_only", origin="from_ezplayer")
        for _ in range(random.randint(0, 4)):
            visit.trace("chat_message_add", after_s=random.uniform(60, 1500), timecode=int(visit.now) % 7200)
        visit.trace("hashtag_click", after_s=30)
        yield from visit.lines


def _tour(visit: Visit) -> list[Line]:
    """Every action that today's EZPlayer knows, once."""
    visit.log_in()
    visit.depth = 3
    for action in built_in().forms:
        if action not in GONE:
            visit.position += 7
            visit.trace(action, after_s=7)
    return visit.lines


def _old_tour(visit: Visit) -> list[Line]:
    """Every action with the oldest field list that is known of it, the five that are gone included."""
    visit.netid, visit.depth = visit.person.netid, 3
    for forms in built_in().forms.values():
        visit.position += 7
        visit.trace(forms[-1].action, form=forms[-1], after_s=7)
    return visit.lines


def _bars(visit: Visit) -> list[Line]:
    """Before August 2017 a bar in a value was not replaced. One between spaces looks like one more field."""
    visit.netid, visit.depth = visit.person.netid, 3
    visit.trace("asset_bookmark_add", bookmark_title="f(x)|x=0")
    visit.trace("asset_bookmark_add", after_s=60, bookmark_title="Chapitre 2 | exercices")
    visit.trace("login", after_s=60, form=built_in().forms["login"][-1])
    return visit.lines


def _autumn_night(random: Random, shelf: list[Lecture]) -> Iterator[Line]:
    """From 01:30 on 2016-10-30 to 03:10, a hundred and sixty minutes later: 02:00 to 02:59 occurs twice."""
    start = datetime(2016, 10, 29, 23, 30, tzinfo=UTC)
    for number in range(6):
        visit = Visit(
            random,
            visitor(random, f"student{number + 1:03}", f"81.240.5.{number + 1}"),
            (start + timedelta(minutes=number)).timestamp(),
            shelf[number],
        )
        visit.log_in()
        visit.depth = 3
        while visit.now < start.timestamp() + 160 * 60:
            visit.trace("video_play_time", after_s=random.uniform(30, 300))
        yield from visit.lines


def _oddities(visit: Visit) -> list[Line]:
    """One of each oddity, with what must become of it; the address is `noip` throughout."""
    visit.log_in()
    visit.depth = 3
    visit.trace("refresh_page", after_s=5)
    visit.write("open_sesame", 9, ["one", "two"])  # an action that nobody knows is an event all the same
    visit.write("video_play", 4, [visit.lecture.album, visit.lecture.asset])  # so is a known one with too few fields
    visit.write("view_albums", 1, [], b"PHP Warning:  session_start(): Cannot send session cookie\n", dead=1)
    visit.trace("asset_bookmark_add", after_s=9, bookmark_title="titre", bookmark_description="a\r\nb\r\n\r\nc")
    head = " | ".join((stamp(visit.now), visit.session, visit.person.address))
    for broken in (
        f"{stamp(visit.now)} | {visit.session}\n",  # the disk was full
        f"{stamp(visit.now)[:11]}25:61:00 | {visit.session} | 164.15.3.3 | nologin | 1 | view_albums\n",  # no such time
        f"{head} | student0{head} | student042 | 1 | view_albums\n",  # half a line, and then a whole one
    ):
        visit.lines.append(Line(visit.now, daily_file(visit.now), broken.encode(), events=0, dead=1))
    latin = f"{head} | {visit.netid} | 3 | asset_bookmark_copy | {visit.lecture.album} | {visit.lecture.asset} | 12.5 | custom | "
    visit.lines.append(Line(visit.now, daily_file(visit.now), latin.encode() + b"r\xe9sum\xe9 |  |  | 1\n"))
    visit.log_out()
    return visit.lines
