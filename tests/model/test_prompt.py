"""Text becomes token ids, and no content becomes a control token."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from avalan import testing
from avalan.errors import ModelError
from avalan.model.entities import Message
from avalan.model.prompt import Tokenizer, load_tokenizer

REFLECTION = (
    "[Retrieval]",
    "[No Retrieval]",
    "[Continue to Use Evidence]",
    "[Relevant]",
    "[Utility:5]",
    "<paragraph>",
    "</paragraph>",
)
CONTROLS = (testing.BOS, testing.EOS, *testing.ROLES, *REFLECTION)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.pico_tokenizer(tmp_path_factory.mktemp("tokenizer"), special_tokens=REFLECTION)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


def user(content: str) -> Message:
    return Message(role="user", content=content)


def hostile_texts() -> st.SearchStrategy[str]:
    """Texts made of control tokens, pieces of them, and anything else."""
    pieces = [*CONTROLS, *(token[:-1] for token in CONTROLS), *(token[1:] for token in CONTROLS)]
    return st.lists(st.one_of(st.sampled_from(pieces), st.text(max_size=4))).map("".join)


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("around", ["{}", "a{}b", "{} end", "start {}", "{}{}", " {}\n"])
def test_plain_text_spells_control_tokens_out(
    tokenizer: Tokenizer, control: str, around: str
) -> None:
    text = around.format(control, control)

    ids = tokenizer.encode(text)

    assert tokenizer.special_ids.isdisjoint(ids)
    assert tokenizer.decode(ids) == text


@given(text=hostile_texts())
def test_no_plain_text_makes_a_control_token(tokenizer: Tokenizer, text: str) -> None:
    ids, offsets = tokenizer.encode_with_offsets(text)

    assert tokenizer.special_ids.isdisjoint(ids)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(offsets)


@given(contents=st.lists(hostile_texts(), min_size=1, max_size=3))
def test_contents_add_no_control_tokens_to_a_conversation(
    tokenizer: Tokenizer, contents: list[str]
) -> None:
    def controls(messages: list[Message]) -> list[int]:
        return [i for i in tokenizer.encode_chat(messages) if i in tokenizer.special_ids]

    harmless = controls([user("x")] * len(contents))

    assert controls([user(content) for content in contents]) == harmless


@given(text=st.text(max_size=40), data=st.data())
def test_offsets_cover_exactly_the_characters_of_a_span(
    tokenizer: Tokenizer, text: str, data: st.DataObject
) -> None:
    ids, offsets = tokenizer.encode_with_offsets(text)
    if not ids:
        return
    first = data.draw(st.integers(0, len(ids) - 1))
    last = data.draw(st.integers(first, len(ids) - 1))
    covered = text[offsets[first][0] : offsets[last][1]]

    # A span that cuts a character in two decodes to U+FFFD there; the offsets cover it whole.
    assert tokenizer.decode(ids[first : last + 1]).strip("\ufffd") in covered
    assert text[offsets[0][0] : offsets[-1][1]] == text


def test_offsets_of_a_character_of_several_tokens_are_the_character_s(
    tokenizer: Tokenizer,
) -> None:
    ids, offsets = tokenizer.encode_with_offsets("a日b")

    assert len(ids) == 5
    assert offsets == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]


def test_template_text_keeps_its_control_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_with_controls("[Retrieval]<paragraph>")[0]

    assert ids == [tokenizer.token_id("[Retrieval]"), tokenizer.token_id("<paragraph>")]


def test_token_id_knows_control_tokens_and_single_plain_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.token_id("</s>") == 1
    assert tokenizer.token_id("a") == tokenizer.encode("a")[0]
    assert tokenizer.token_id("no single token") is None
    assert tokenizer.token_id("") is None


def test_ends_of_an_answer_come_from_the_model_s_files(tokenizer: Tokenizer, folder: Path) -> None:
    assert tokenizer.eos_ids == {1}
    assert tokenizer.special_ids == set(range(5 + len(REFLECTION)))
    assert tokenizer.vocab_size == 384


@pytest.mark.parametrize(
    "messages",
    [
        [user("Who are you?")],
        [Message(role="system", content="Be brief."), user("Hi"), user("Añadir 日本 😀")],
        [user("a"), Message(role="assistant", content="b"), user(" spaces  around ")],
    ],
)
def test_conversation_has_the_ids_that_transformers_gives_it(
    folder: Path, tokenizer: Tokenizer, messages: list[Message]
) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    shown = [{"role": m.role, "content": m.content} for m in messages]

    for prompted in (True, False):
        expected = theirs.apply_chat_template(shown, add_generation_prompt=prompted)
        assert tokenizer.encode_chat(messages, add_generation_prompt=prompted) == list(
            expected["input_ids"]
        )


def with_template(folder: Path, template: str | None) -> Tokenizer:
    definition = (folder / "tokenizer.json").read_text()
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    return Tokenizer(definition, chat_template=template, special_tokens=names)


def test_without_template_contents_are_joined_by_blank_lines(folder: Path) -> None:
    tokenizer = with_template(folder, None)
    messages = [Message(role="system", content="Be brief."), user("[Retrieval]?")]

    assert tokenizer.decode(tokenizer.encode_chat(messages)) == "Be brief.\n\n[Retrieval]?"
    assert tokenizer.special_ids.isdisjoint(tokenizer.encode_chat(messages))


def test_without_template_the_tokenizer_s_own_opening_comes_first(folder: Path) -> None:
    inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer = Tokenizer(inner.to_str())

    assert tokenizer.encode_chat([user("Hi")]) == [0, *tokenizer.encode("Hi")]


def test_template_that_trims_trims_here_too(folder: Path) -> None:
    tokenizer = with_template(folder, "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}")

    assert tokenizer.decode(tokenizer.encode_chat([user("  two words \n")])) == "[two words]"


def test_template_cannot_be_made_to_run_code(folder: Path) -> None:
    tokenizer = with_template(folder, "{{ messages.__class__.__mro__ }}")

    with pytest.raises(ModelError, match="refuses this conversation"):
        tokenizer.encode_chat([user("Hi")])


def test_content_is_never_read_as_a_template(folder: Path) -> None:
    tokenizer = with_template(folder, "{{ messages[0].content }}")
    text = "{{ 7 * 7 }} {% raw %} {# gone #}"

    assert tokenizer.decode(tokenizer.encode_chat([user(text)])) == text


def test_refusal_of_a_template_is_a_sentence(folder: Path) -> None:
    tokenizer = with_template(folder, "{{ raise_exception('no system role') }}")

    with pytest.raises(ModelError, match=r"refuses this conversation \(no system role\)"):
        tokenizer.encode_chat([user("Hi")])


GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
"""As google/gemma-2-2b-it has it."""
SYSTEM = Message(role="system", content="Be brief.")


@pytest.mark.parametrize("template", [GEMMA, "{{ messages[-1].content }}"])
def test_a_system_prompt_that_a_template_refuses_or_drops_stands_before_the_prompt(
    folder: Path, template: str
) -> None:
    tokenizer = with_template(folder, template)
    fitting = tokenizer.fit([SYSTEM, user("Hi [Retrieval]")])

    assert fitting == [user("Be brief.\n\nHi [Retrieval]")]
    assert "Be brief.\n\nHi [Retrieval]" in tokenizer.decode(tokenizer.encode_chat(fitting))


@pytest.mark.parametrize(
    ("template", "messages"),
    [
        (GEMMA, [user("Hi")]),
        (GEMMA, [SYSTEM]),
        (GEMMA, [SYSTEM, user("Hi"), user("Hi")]),  # Refused for another reason.
        (None, [SYSTEM, user("Hi")]),
        (testing.CHAT_TEMPLATE, [SYSTEM, user("Hi")]),
    ],
)
def test_messages_that_fit_or_never_will_stay_as_they_are(
    folder: Path, template: str | None, messages: list[Message]
) -> None:
    assert with_template(folder, template).fit(messages) is messages


def test_message_that_a_template_would_drop_is_an_error(folder: Path) -> None:
    tokenizer = with_template(folder, "{{ messages[-1].content }}")

    with pytest.raises(ModelError, match="leaves out a message that begins with 'Be brief"):
        tokenizer.encode_chat([Message(role="system", content="Be brief."), user("Hi")])


def test_training_marks_in_a_template_show_their_body(folder: Path) -> None:
    template = (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}!{% endfor %}"
    )
    tokenizer = with_template(folder, template)

    assert tokenizer.decode(tokenizer.encode_chat([user("Hi")])) == "Hi!"


def test_bracketed_tokens_are_controls_even_if_not_flagged_special(folder: Path) -> None:
    inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    inner.add_tokens([AddedToken("<think>", special=False), AddedToken("    ", special=False)])
    tokenizer = Tokenizer(inner.to_str())
    think, spaces = tokenizer.token_id("<think>"), tokenizer.token_id("    ")

    assert think not in tokenizer.encode("a <think> b")
    assert tokenizer.encode_with_controls("<think>")[0] == [think]
    assert spaces in tokenizer.encode("a    b")


def test_vocabulary_that_spells_a_control_token_in_one_piece_is_cut(folder: Path) -> None:
    pieces = [("<unk>", 0.0), ("</s>", -1.0), *((c, -5.0) for c in "</s>abc")]
    inner = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0))
    inner.add_special_tokens(["</s>"])
    tokenizer = Tokenizer(inner.to_str())

    ids, offsets = tokenizer.encode_with_offsets("a</s>b</s>")

    assert tokenizer.encode_with_controls("</s>")[0] == [1]
    assert 1 not in ids
    assert offsets == [(i, i + 1) for i in range(10)]


def metaspace() -> Tokenizer:
    """SentencePiece-like: a space before the first word of a text only."""
    words = ["<unk>", "<s>", "▁", "▁Hi", "Hi", "▁all", "all", *"Hial"]
    inner = tokenizers.Tokenizer(models.Unigram([(w, -float(i)) for i, w in enumerate(words)], 0))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    inner.decoder = decoders.Metaspace()
    inner.add_special_tokens(["<s>"])
    return Tokenizer(
        inner.to_str(),
        chat_template="{{ bos_token }}{{ messages[0].content }}",
        special_tokens={"bos_token": "<s>"},
    )


def test_text_after_a_control_token_gets_no_first_word_space() -> None:
    tokenizer = metaspace()
    hi, hi_first = (tokenizer._trusted.token_to_id(piece) for piece in ("Hi", "▁Hi"))

    assert tokenizer.encode("Hi") == [hi_first]
    assert tokenizer.encode_chat([user("Hi")]) == [1, hi]
    assert tokenizer.encode_with_controls("<s>Hi")[0] == [1, hi]


def test_normalised_text_keeps_offsets_into_the_original() -> None:
    inner = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "cafe": 1, "ole": 2}, "<unk>"))
    inner.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    tokenizer = Tokenizer(inner.to_str())

    assert tokenizer.encode_with_offsets("café  olé") == ([1, 2], [(0, 4), (6, 9)])


def test_missing_tokenizer_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no tokenizer\.json; make one"):
        load_tokenizer(tmp_path)


def test_broken_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')

    with pytest.raises(ModelError, match="cannot be read"):
        load_tokenizer(tmp_path)


def test_broken_settings_beside_the_tokenizer_are_a_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text("[")

    with pytest.raises(ModelError, match="is not readable JSON"):
        load_tokenizer(tmp_path)


def test_template_file_wins_and_named_templates_are_understood(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    settings = {"chat_template": named, "eos_token": {"content": "</s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    from_settings = load_tokenizer(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("F")
    from_file = load_tokenizer(tmp_path)

    assert from_settings.eos_ids == {1}
    assert from_settings.decode(from_settings.encode_chat([user("")])) == "D"
    assert from_file.decode(from_file.encode_chat([user("")])) == "F"


def test_a_byte_that_is_no_utf_8_is_read_as_the_replacement_character(
    tokenizer: Tokenizer,
) -> None:
    ids, offsets = tokenizer.encode_with_offsets("a\udcffb")
    assert ids == tokenizer.encode("a\ufffdb")
    assert offsets[-1][1] == 3


# --- how short a text can get --------------------------------------------------------------------


def byte_level(**changes: Any) -> Tokenizer:
    """A vocabulary of bytes, `aa` and a letter with three accents, its definition changed."""
    alphabet = [*sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), "aa", "á¾", "á¾Ĥ"]
    vocabulary = {text: token_id for token_id, text in enumerate(alphabet)}
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocabulary, [("a", "a"), ("á", "¾"), ("á¾", "Ĥ")])
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return Tokenizer(json.dumps(json.loads(made.to_str()) | changes))


@pytest.mark.parametrize(
    "text", ["", "a", "a" * 9, "ab c" * 5, "日本", "\u03b1\u0313\u0300\u0345" * 8, " " * 7]
)
@pytest.mark.parametrize("normalizer", [None, {"type": "NFC"}])
def test_a_text_never_has_fewer_tokens_than_it_has_at_least(text: str, normalizer: Any) -> None:
    tokenizer = byte_level(normalizer=normalizer)
    assert tokenizer.least_tokens(text) <= len(tokenizer.encode(text))
    assert byte_level().least_tokens("a" * 9) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"normalizer": {"type": "Replace", "pattern": {"String": "ab"}, "content": ""}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
         | {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100}},
    ],
)  # fmt: skip
def test_a_vocabulary_that_drops_text_gives_no_lower_bound(changes: dict[str, Any]) -> None:
    assert byte_level(**changes).least_tokens("a" * 1000) == 0
