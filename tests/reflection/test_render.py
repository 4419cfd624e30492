"""From a record to token ids: the order, the copied span, and that no text becomes a control."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.model.entities import Message
from avalan.model.prompt import Tokenizer
from avalan.reflection.record import Record, RecordPassage, Segment
from avalan.reflection.render import Piece, encode_passage, render
from avalan.reflection.tokens import ALL, ReflectionIds
from avalan.train.tokenizer import CONTROL

QUESTION = Message(role="user", content="When are the beds watered?")
BEDS = "The greenhouse opens at seven. The beds are watered at six in the evening."
DOGS = "Dogs stay outside."


def rendered(
    tokenizer: Tokenizer, ids: ReflectionIds, *segments: Segment, **fields: object
) -> list[Piece]:
    record = Record(id="r", messages=(QUESTION,), segments=segments, **fields)  # type: ignore[arg-type]
    (eos_id,) = tokenizer.eos_ids
    return render(record, tokenizer, ids, eos_id)


def told(tokenizer: Tokenizer, pieces: list[Piece]) -> list[tuple[str, str]]:
    return [(piece.kind, tokenizer.decode(piece.token_ids)) for piece in pieces]


def quoting(text: str, span: tuple[int, int], *, title: str = "") -> Segment:
    passage = RecordPassage(pid="p", text=text, title=title, relevant=True)
    return Segment(
        decision="retrieve", passages=(passage,), text=text[slice(*span)], span=span, support="full"
    )


def test_a_record_with_evidence_is_rendered_in_the_order_of_the_loop(
    tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    wrong = RecordPassage(pid="a", text=DOGS, title="Rules", relevant=False)
    right = RecordPassage(pid="b", text=BEDS, relevant=True)
    start = BEDS.index("six")
    segment = Segment(
        decision="retrieve",
        passages=(wrong, right),
        text="six",
        span=(start, start + 3),
        support="partial",
    )

    pieces = rendered(tokenizer, ids, segment, utility=4)

    assert told(tokenizer, pieces) == [
        ("prompt", f"<|user|>{QUESTION.content}<|assistant|>"),
        ("reflection", "[Retrieval]"),
        ("markup", "<paragraph>"),
        ("passage", f"Rules\n{DOGS}"),
        ("markup", "</paragraph>"),
        ("reflection", "[Irrelevant]"),
        ("markup", "<paragraph>"),
        ("passage", BEDS),
        ("markup", "</paragraph>"),
        ("reflection", "[Relevant]"),
        ("text", " six"),
        ("reflection", "[Partially supported]"),
        ("reflection", "[Utility:4]"),
        ("eos", "<|end|>"),
    ]
    # Nothing of the first page is quoted, and of the second one word; nothing else is a page.
    of_wrong, of_right = (piece for piece in pieces if piece.kind == "passage")
    assert of_wrong.quoted == (0, 0)
    assert tokenizer.decode(of_right.token_ids[slice(*of_right.quoted or ())]) == " six"
    assert all(piece.quoted is None for piece in pieces if piece.kind != "passage")


def test_a_record_from_memory_has_no_passage_and_an_open_one_no_end(
    tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    said = told(
        tokenizer, rendered(tokenizer, ids, Segment(decision="none", text="Six."), utility=1)
    )
    assert said[1:] == [
        ("reflection", "[No Retrieval]"),
        ("text", "Six."),
        ("reflection", "[Utility:1]"),
        ("eos", "<|end|>"),
    ]
    opened = told(tokenizer, rendered(tokenizer, ids, Segment(decision="continue")))
    assert opened[1:] == [("reflection", "[Continue to Use Evidence]")]


@pytest.mark.parametrize(
    ("support", "token"),
    [
        ("full", "[Fully supported]"),
        ("partial", "[Partially supported]"),
        ("none", "[No support / Contradictory]"),
    ],
)
def test_each_support_has_its_token(
    tokenizer: Tokenizer, ids: ReflectionIds, support: str, token: str
) -> None:
    passage = RecordPassage(pid="p", text=DOGS, relevant=True)
    segment = Segment(
        decision="retrieve",
        passages=(passage,),
        text="Dogs",
        support=support,  # type: ignore[arg-type]
    )
    pieces = rendered(tokenizer, ids, segment)
    assert told(tokenizer, pieces)[-1] == ("reflection", token)
    # What is said in other words stands at no place of the page.
    assert all(piece.quoted is None for piece in pieces)


@given(data=st.data(), title=st.text(max_size=6))
def test_a_span_repeats_the_passages_own_ids(
    tokenizer: Tokenizer, ids: ReflectionIds, data: st.DataObject, title: str
) -> None:
    word = st.sampled_from(["six ", "watered", "é", "日本", "🙂", "\n", " ", "beds", "12", "\r\n"])
    text = data.draw(st.lists(word, min_size=1, max_size=12).map("".join), "text")
    start = data.draw(st.integers(0, len(text) - 1), "start")
    end = data.draw(st.integers(start + 1, len(text)), "end")

    pieces = rendered(tokenizer, ids, quoting(text, (start, end), title=title))

    passage, copied = (next(p for p in pieces if p.kind == kind) for kind in ("passage", "text"))
    encoded = encode_passage(tokenizer, title, text)
    first, last = encoded.tokens_of(start, end)
    assert passage.token_ids == encoded.token_ids
    assert copied.token_ids == passage.token_ids[first:last]
    covered = encoded.characters_of(first, last)
    assert covered[0] <= start < end <= covered[1]
    # The shortest range: without its first or its last token, the span is not covered.
    assert encoded.spans[first][1] > start
    assert encoded.spans[last - 1][0] < end


@given(title=st.text(max_size=20), text=st.text(min_size=1, max_size=40))
def test_each_tokens_place_is_counted_from_the_text_below_the_title(
    tokenizer: Tokenizer, title: str, text: str
) -> None:
    encoded = encode_passage(tokenizer, title, text)
    whole = f"{title}\n{text}" if title else text
    head = len(whole) - len(text)
    assert tokenizer.decode(encoded.token_ids) == whole
    assert encoded.spans[0][0] == -head
    assert encoded.spans[-1][1] == len(text)
    for token_id, (start, end) in zip(encoded.token_ids, encoded.spans, strict=True):
        piece = tokenizer.decode([token_id])
        assert "\ufffd" in piece or piece == whole[start + head : end + head]


# --- no text becomes a control token ------------------------------------------------------------

CONTROLS = [*ALL, *CONTROL]
AROUND = st.sampled_from(["", " ", "\n", "a", "word", "[", "]", "<", ">", "|", "é", "日"])


@st.composite
def hostile(draw: st.DrawFn) -> str:
    """Texts with control tokens' characters at the edges, side by side and inside words."""
    pieces = st.one_of(st.sampled_from(CONTROLS), AROUND, st.text(max_size=3))
    return "".join(draw(st.lists(pieces, min_size=1, max_size=6)))


def assert_only_the_hosts(tokenizer: Tokenizer, ids: ReflectionIds, pieces: list[Piece]) -> None:
    allowed = {
        "prompt": {tokenizer.token_id("<|user|>"), tokenizer.token_id("<|assistant|>")},
        "passage": set(),
        "text": set(),
    }
    for piece in pieces:
        if piece.kind in allowed:
            assert tokenizer.special_ids & set(piece.token_ids) <= allowed[piece.kind]
    prompt = pieces[0].token_ids
    assert [each for each in prompt if each in tokenizer.special_ids] == [prompt[0], prompt[-1]]


@given(question=hostile(), title=hostile(), text=hostile(), data=st.data())
def test_no_text_can_become_a_control_token(
    tokenizer: Tokenizer,
    ids: ReflectionIds,
    question: str,
    title: str,
    text: str,
    data: st.DataObject,
) -> None:
    start = data.draw(st.integers(0, len(text) - 1)) if text else 0
    passage = RecordPassage(pid="p", title=title, text=text, relevant=True)
    segments = (
        Segment(decision="retrieve", passages=(passage,), text=text[start:], support="full"),
        Segment(decision="none", text=question),
    )
    record = Record(
        id="r", messages=(Message(role="user", content=question),), segments=segments, utility=5
    )
    (eos_id,) = tokenizer.eos_ids

    pieces = render(record, tokenizer, ids, eos_id)

    assert_only_the_hosts(tokenizer, ids, pieces)
    shown = [tokenizer.decode(piece.token_ids) for piece in pieces if piece.kind == "passage"]
    assert shown == [f"{title}\n{text}" if title else text]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("place", ["{}", "{} end", "start {}", "in{}side", "{}{}", "\n{}\n"])
def test_every_control_tokens_text_is_read_as_plain_text(
    tokenizer: Tokenizer, ids: ReflectionIds, control: str, place: str
) -> None:
    text = place.replace("{}", control)
    pieces = rendered(tokenizer, ids, quoting(text, (0, len(text)), title=text), utility=5)
    assert_only_the_hosts(tokenizer, ids, pieces)
    assert tokenizer.decode(pieces[3].token_ids) == f"{text}\n{text}"
    assert tokenizer.token_id(control) in tokenizer.special_ids
