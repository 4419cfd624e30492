"""Tokens are added to a tokenizer's files, and what is written loads again anywhere."""

import json
from pathlib import Path

import pytest
import transformers
from tokenizers import Tokenizer as Definition
from tokenizers import decoders, models, pre_tokenizers, processors

from avalan import testing
from avalan.errors import ConfigurationError, StateError
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.model.tokenization import own_text, read_tokens
from avalan.model.vocabulary import add_tokens, check_folder_to_save, save_tokenizer

TOKEN = "<my_token>"
TEXT = f"Who is {TOKEN}, a {TOKEN}?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return testing.pico_tokenizer(tmp_path / "pico", special_tokens=("[X]",))


def with_ends(folder: Path) -> Path:
    """The tokenizer in `folder` puts `<s>` before and `</s>` after every text."""
    path = str(folder / "tokenizer.json")
    made = Definition.from_file(path)
    ends = [(token, made.token_to_id(token)) for token in (testing.BOS, testing.EOS)]
    template = processors.TemplateProcessing(
        single=f"{testing.BOS} $A {testing.EOS}", special_tokens=ends
    )
    made.post_processor = processors.Sequence([processors.ByteLevel(), template])
    made.save(path)
    return folder


def read(folder: Path, text: str) -> list[tuple[str, str]]:
    return [(token.text, token.kind) for token in read_tokens(load_tokenizer(folder), text)]


def test_an_added_token_is_one_token(folder: Path, tmp_path: Path) -> None:
    before = read(folder, TEXT)
    save_tokenizer(folder, tmp_path / "new", tokens=[TOKEN])
    after = read(tmp_path / "new", TEXT)
    assert (TOKEN, "added") not in before
    assert after.count((TOKEN, "added")) == 2
    assert "".join(text for text, _ in after) == "".join(text for text, _ in before) == TEXT


def test_an_added_control_token_is_one(folder: Path, tmp_path: Path) -> None:
    save_tokenizer(folder, tmp_path / "new", special_tokens=[TOKEN])
    assert (TOKEN, "special") in read(tmp_path / "new", TEXT)
    assert TOKEN not in load_tokenizer(tmp_path / "new").decode(
        load_tokenizer(tmp_path / "new").encode_with_controls(TEXT)[0], skip_special_tokens=True
    )


def test_new_tokens_follow_the_others_and_old_ones_keep_their_ids(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    old, new = Tokenizer(text), Tokenizer(add_tokens(text, ["a-b", "[X]"], ["<c>"]))
    assert new.token_id("a-b") == old.vocab_size
    assert new.token_id("<c>") == old.vocab_size + 1
    assert new.token_id("[X]") == old.token_id("[X]")
    assert new.vocab_size == old.vocab_size + 2


def test_nothing_to_add_changes_nothing(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    assert add_tokens(text) is text


@pytest.mark.parametrize("kind", ["tokens", "special_tokens"])
def test_an_empty_token_is_refused(folder: Path, kind: str) -> None:
    text = (folder / "tokenizer.json").read_text()
    with pytest.raises(ConfigurationError, match="token to add is empty"):
        add_tokens(text, **{kind: ("a", "")})


# --- what is saved ------------------------------------------------------------------------------


def test_transformers_reads_what_was_saved(folder: Path, tmp_path: Path) -> None:
    with_ends(folder)
    save_tokenizer(folder, tmp_path / "new", tokens=[TOKEN], special_tokens=["<ctl>"])
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "new")
    ours = load_tokenizer(tmp_path / "new")
    text = TEXT + "<ctl>"
    assert theirs(text)["input_ids"] == ours.encode_with_controls(text)[0]
    assert theirs.decode(theirs(text)["input_ids"], skip_special_tokens=True) == TEXT
    assert "<ctl>" in theirs.all_special_tokens
    assert theirs.chat_template == testing.CHAT_TEMPLATE


def test_saving_again_adds_to_what_was_saved(folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    save_tokenizer(folder, new, special_tokens=["<a>"])
    save_tokenizer(new, new, special_tokens=["<b>", "<a>"])
    assert load_tokenizer(new).added_tokens.keys() >= {"<a>", "<b>"}
    assert json.loads((new / "tokenizer_config.json").read_text())["extra_special_tokens"] == [
        "<a>",
        "<b>",
    ]


def test_the_list_of_added_tokens_in_the_settings_is_kept_up(folder: Path, tmp_path: Path) -> None:
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {
        "added_tokens_decoder": {"0": {"content": "<s>"}},
        "additional_special_tokens": ["[X]"],
        "auto_map": {"AutoTokenizer": ["tokenization_x.X", None]},
    }
    path.write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text('{"bos_token": "<s>"}')
    save_tokenizer(folder, tmp_path / "new", special_tokens=[TOKEN])
    made = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text())
    row = made["added_tokens_decoder"][str(load_tokenizer(tmp_path / "new").token_id(TOKEN))]
    assert (row["content"], row["special"]) == (TOKEN, True)
    assert made["additional_special_tokens"] == ["[X]", TOKEN]
    assert "auto_map" not in made
    names = json.loads((tmp_path / "new" / "special_tokens_map.json").read_text())
    assert names == {"bos_token": "<s>", "extra_special_tokens": [TOKEN]}


def test_a_tokenizer_without_settings_gets_a_class(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    save_tokenizer(folder, tmp_path / "new", tokens=[TOKEN])
    made = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text())
    assert made == {"tokenizer_class": "PreTrainedTokenizerFast"}
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "new")
    assert TOKEN in theirs.tokenize(TEXT)


def test_a_chat_template_in_a_file_of_its_own_comes_along(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    names = save_tokenizer(folder, tmp_path / "new", tokens=[TOKEN])
    assert "chat_template.jinja" in names
    assert load_tokenizer(tmp_path / "new").chat_template == "{{ messages[0].content }}"


def test_a_folder_with_other_things_is_left_alone(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    check_folder_to_save(other)
    (other / "letter.txt").write_text("Dear")
    with pytest.raises(ConfigurationError, match=r"holds other files \(letter.txt\)"):
        save_tokenizer(folder, other, tokens=[TOKEN])
    assert [path.name for path in other.iterdir()] == ["letter.txt"]
    with pytest.raises(ConfigurationError, match="is a file"):
        save_tokenizer(folder, other / "letter.txt")


def test_a_place_that_cannot_be_written_is_a_sentence(folder: Path) -> None:
    with pytest.raises(StateError, match="cannot be saved to '/proc/nowhere'"):
        save_tokenizer(folder, Path("/proc/nowhere"))


# --- how a text is read -------------------------------------------------------------------------


def test_what_a_tokenizer_puts_around_a_text_is_there(folder: Path) -> None:
    assert read(with_ends(folder), "the") == [
        (testing.BOS, "special"),
        *read_plain(folder, "the"),
        (testing.EOS, "special"),
    ]


def read_plain(folder: Path, text: str) -> list[tuple[str, str]]:
    tokenizer = load_tokenizer(folder)
    return [(own_text(tokenizer, token_id), "plain") for token_id in tokenizer.encode(text)]


def test_places_cover_the_text(folder: Path) -> None:
    tokens = read_tokens(load_tokenizer(folder), TEXT)
    assert [TEXT[token.start : token.end] for token in tokens] == [t.text for t in tokens]


def test_a_part_of_a_character_is_shown_by_its_bytes(folder: Path) -> None:
    texts = [text for text, _ in read(folder, "é日")]
    assert texts == ["\\xc3", "\\xa9", "\\xe6", "\\x97", "\\xa5"]


def test_a_space_that_a_vocabulary_writes_as_a_sign_is_a_space() -> None:
    vocab = {"▁is": 0, "is": 1, "<unk>": 2, "▁": 3, "<0xE6>": 4}
    made = Definition(models.Unigram([(text, 0.0) for text in vocab], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = Tokenizer(made.to_str())
    assert [own_text(tokenizer, i) for i in (0, 1, 3, 4)] == [" is", "is", " ", "<0xE6>"]
