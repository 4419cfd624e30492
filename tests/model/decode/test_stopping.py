"""Stop strings never leak, however the text comes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from avalan.model.decode.text import StopScanner

# Two letters only, so that stop strings overlap each other and themselves.
LETTERS = st.text("ab", max_size=5)
STOPS = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def shown(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    scanner = StopScanner(stops)
    text = ""
    for piece in pieces:
        text += scanner.push(piece)
        if scanner.stopped:
            return text, True
    return text + scanner.flush(), False


def expected(text: str, stops: list[str]) -> tuple[str, bool]:
    """Character by character: the first end of any stop string, and its leftmost start."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)], True
    return text, False


@settings(max_examples=400)
@given(pieces=st.lists(LETTERS, max_size=6), stops=STOPS)
def test_any_chunking_shows_the_text_up_to_the_first_match(
    pieces: list[str], stops: list[str]
) -> None:
    assert shown(pieces, stops) == expected("".join(pieces), stops)


@settings(max_examples=400)
@given(pieces=st.lists(LETTERS, max_size=6), stops=STOPS)
def test_nothing_shown_is_ever_part_of_a_match(pieces: list[str], stops: list[str]) -> None:
    final, _ = expected("".join(pieces), stops)
    scanner = StopScanner(stops)
    so_far = ""
    for piece in pieces:
        so_far += scanner.push(piece)
        assert final.startswith(so_far)
        if scanner.stopped:
            break


def test_only_a_possible_beginning_is_held_back() -> None:
    scanner = StopScanner(["</end>"])

    assert scanner.push("one <") == "one "
    assert scanner.push("/e") == ""
    assert scanner.push("lse") == "</else"
    assert scanner.push(" two </end> three") == " two "


def test_no_stop_strings_hold_nothing() -> None:
    assert StopScanner(()).push("anything") == "anything"
