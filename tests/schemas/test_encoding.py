"""Text that is no UTF-8: what is parsed from it, and that ids, offsets and dead letters stay those of the file."""

import pytest

from schemas.event import Dead, Event
from schemas.place import Place, key_prefix, split_key
from schemas.source import SourceSettings
from schemas.sources import build

PLACE = Place("f", "h", "/p")
LATIN = Place("f", "h", "/p", encoding="latin-1")
LINE = "2016-10-03-08:00:00 | s | 10.0.0.1 | andré | 2 | view_help | télé"


def test_a_key_names_the_encoding_where_it_is_not_utf_8() -> None:
    assert b"encoding" not in key_prefix(PLACE)
    assert split_key(key_prefix(LATIN) + b"7") == (LATIN, 7)


def test_fields_are_decoded_by_the_encoding_of_the_place() -> None:
    parse = build("ezcast", SourceSettings(format="ezcast", timezone="Europe/Brussels")).parse
    for place in (PLACE, LATIN):
        [event] = parse(LINE.encode(place.encoding), place, 7, None)
        assert isinstance(event, Event)
        assert (event.document["netid"], event.document["offset"]) == ("andré", 7)


def test_events_of_one_file_have_the_same_ids_in_any_encoding() -> None:
    source = build("shop", SourceSettings(format="delimited", delimiter=";", columns=["who", "what"]))
    found = [source.parse("é;ü".encode(place.encoding), place, 3, None)[0] for place in (PLACE, LATIN)]
    assert found[0] == found[1]
    assert isinstance(found[0], Event)


def test_a_dead_letter_keeps_the_bytes_and_the_offset_of_the_file() -> None:
    parse = build("ezcast", SourceSettings(format="ezcast", timezone="Europe/Brussels")).parse
    value = ("2016-10-03-08:00:00 | s | 10.0.0.1 | andré | 2 | logout\ngarbagé").encode("latin-1")
    dead = parse(value, LATIN, 100, None)[-1]
    assert isinstance(dead, Dead)
    assert dead.payload == value[dead.offset - 100 :]
    assert dead.payload.endswith(b"garbag\xe9")
    assert b"andr" not in dead.payload


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "iso-8859-15", "cp1252", "koi8-r", "ascii"])
def test_encodings_that_records_can_be_cut_in_are_taken(encoding: str) -> None:
    build("shop", SourceSettings(format="json", encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "shift_jis", "cp037", "no-such", "hex", "utf-7"])
def test_others_are_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match=f'^encoding: "{encoding}" is not supported'):
        build("shop", SourceSettings(format="json", encoding=encoding))
