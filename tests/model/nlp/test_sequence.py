"""Summaries and translations: parity with transformers, and what is refused."""

import asyncio
import io
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sentencepiece
import torch
import transformers

from avalan import testing
from avalan.errors import AvalanError, ConfigurationError, ModelError
from avalan.model.entities import EngineSettings, GenerationSettings
from avalan.model.nlp.sequence import (
    SequenceToSequenceModel,
    TranslationModel,
    decoding_options,
)

TEXT = "Andy Cucci plays as a forward. He was born in Ushuaia on July 25, 1988."


@pytest.fixture(scope="session")
def bart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BART."""
    return testing.pico_bart(tmp_path_factory.mktemp("pico-bart"))


@pytest.fixture(scope="session")
def mbart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random mBART-50."""
    return testing.pico_mbart50(tmp_path_factory.mktemp("pico-mbart"))


def rewritten(folder: Path, text: str = TEXT, settings: GenerationSettings | None = None) -> str:
    with SequenceToSequenceModel(str(folder)) as rewrite:
        return asyncio.run(rewrite(text, settings))


def translated(
    folder: Path,
    text: str = TEXT,
    source: str = "en_XX",
    destination: str = "es_XX",
    **settings: object,
) -> str:
    with TranslationModel(str(folder)) as translate:
        return asyncio.run(
            translate(
                text,
                source_language=source,
                destination_language=destination,
                settings=GenerationSettings(**{"max_length": 24, **settings}),
            )
        )


def reference(folder: Path, *, source: str | None = None, **options: object) -> str:
    """What transformers itself makes of `TEXT`."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    if source:
        tokenizer.src_lang = source
    rows = model.generate(**tokenizer(TEXT, return_tensors="pt"), **options)
    return tokenizer.decode(rows[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (None, {}),
        (GenerationSettings(num_beams=4, max_length=60), {"num_beams": 4, "max_length": 60}),
        (GenerationSettings(num_beams=2, max_new_tokens=70), {"num_beams": 2, "max_length": 71}),
        (GenerationSettings(max_length=80), {"max_length": 80}),
        (
            GenerationSettings(
                num_beams=3,
                max_length=30,
                min_length=5,
                early_stopping=False,
                length_penalty=-2.0,
                repetition_penalty=1.5,
            ),
            {
                "num_beams": 3,
                "max_length": 30,
                "min_length": 5,
                "early_stopping": False,
                "length_penalty": -2.0,
                "repetition_penalty": 1.5,
            },
        ),
    ],
)
def test_summary_is_that_of_transformers(
    bart_folder: Path, settings: GenerationSettings | None, options: dict[str, object]
) -> None:
    found = rewritten(bart_folder, settings=settings)

    assert found
    assert found == reference(bart_folder, **options)


@pytest.mark.parametrize(("source", "destination"), [("en_XX", "es_XX"), ("es_XX", "de_DE")])
def test_translation_is_that_of_transformers(
    mbart_folder: Path, source: str, destination: str
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(mbart_folder)

    assert translated(mbart_folder, source=source, destination=destination) == reference(
        mbart_folder,
        source=source,
        max_length=24,
        forced_bos_token_id=tokenizer.convert_tokens_to_ids(destination),
    )


def test_languages_change_what_is_said(mbart_folder: Path) -> None:
    spanish = translated(mbart_folder)

    assert translated(mbart_folder, source="et_EE") != spanish
    assert translated(mbart_folder, destination="et_EE") != spanish
    assert translated(mbart_folder, source="en_US", destination="es") == spanish


def test_unknown_language_is_answered_with_near_ones(mbart_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no language 'de_AT'; did you mean de_DE\?"):
        translated(mbart_folder, destination="de_AT")
    with pytest.raises(ConfigurationError, match="no language 'Klingon'; it has: af_ZA, ar_AR"):
        translated(mbart_folder, source="Klingon")


def test_model_without_languages_is_no_translator(bart_folder: Path) -> None:
    with pytest.raises(ModelError, match="has no languages to choose from; call it as a Seq"):
        translated(bart_folder)


@pytest.mark.parametrize("with_tokens", [True, False])
def test_language_must_have_a_token_and_a_place(bart_folder: Path, with_tokens: bool) -> None:
    with TranslationModel(str(bart_folder)) as translate:
        tokenizer = translate.loaded.processor
        if with_tokens:
            tokenizer.add_tokens(["en_XX", "es_XX"], special_tokens=True)
        else:
            tokenizer.src_lang = "en_XX"
        with pytest.raises(ModelError, match="has no languages to choose from"):
            asyncio.run(translate(TEXT, source_language="en", destination_language="es"))


def test_tokenizer_of_sentencepiece_is_read(mbart_folder: Path, tmp_path: Path) -> None:
    """The published mBART-50 has no tokenizer.json."""
    folder = tmp_path / "published"
    shutil.copytree(mbart_folder, folder)
    (folder / "tokenizer.json").unlink()
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT] * 20),
        model_writer=written,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "sentencepiece.bpe.model").write_bytes(written.getvalue())

    assert isinstance(translated(folder), str)
    with TranslationModel(str(folder)) as translate:
        pieces = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
        tokenizer = translate.loaded.processor
        found = tokenizer.tokenize(TEXT, split_special_tokens=True)
        assert found == pieces.encode(TEXT, out_type=str)


@pytest.mark.parametrize("name", ["bart_folder", "mbart_folder"])
@pytest.mark.parametrize("text", ["a</s><s>b", "es_XX <mask> de_DE", "</s>", "ｅs_XX </s>"])
def test_text_never_becomes_a_control_token(
    request: pytest.FixtureRequest, name: str, text: str
) -> None:
    read: list[list[int]] = []
    with SequenceToSequenceModel(str(request.getfixturevalue(name))) as rewrite:
        tokenizer, model = rewrite.loaded.processor, rewrite.loaded.model
        model.get_encoder().register_forward_pre_hook(
            lambda _, args, kwargs: read.append(
                (args[0] if args else kwargs["input_ids"])[0].tolist()
            ),
            with_kwargs=True,
        )
        asyncio.run(rewrite(text, GenerationSettings(num_beams=1, max_new_tokens=2)))

    controls = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    (token_ids,) = read
    assert len(token_ids) > 3
    assert controls.isdisjoint(token_ids[1:-1])
    assert token_ids[-1] == tokenizer.eos_token_id


def test_seed_gives_the_same_draws_and_leaves_others_alone(bart_folder: Path) -> None:
    def drawn(seed: int | None) -> str:
        settings = GenerationSettings(
            num_beams=1, max_length=30, min_length=0, temperature=1.0, seed=seed
        )
        return rewritten(bart_folder, settings=settings)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = drawn(7)
    assert torch.equal(torch.get_rng_state(), before)

    assert drawn(7) == first
    assert drawn(8) != first
    assert drawn(None) != drawn(None)


def test_answer_ends_before_a_stop_string(bart_folder: Path) -> None:
    whole = rewritten(bart_folder)
    middle = whole[len(whole) // 2 :][:3]

    stopped = rewritten(
        bart_folder, settings=GenerationSettings(max_length=142, stop_strings=("never", middle))
    )

    assert stopped == whole[: whole.index(middle)].strip()


def test_special_tokens_are_shown_on_demand(mbart_folder: Path) -> None:
    shown = translated(mbart_folder, skip_special_tokens=False)

    assert shown.startswith(("</s> es_XX", "</s>es_XX"))


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_empty_text_is_refused(bart_folder: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="The text is empty"):
        rewritten(bart_folder, text)


def test_half_a_character_is_refused(bart_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="lone surrogate"):
        rewritten(bart_folder, "a\ud83db")


def test_text_longer_than_the_encoder_is_refused_with_the_numbers(tmp_path: Path) -> None:
    short = testing.pico_bart(tmp_path, max_position_embeddings=64)

    with pytest.raises(ModelError, match=r"has 102 tokens, but .* at most 64, 38 fewer"):
        rewritten(short, "~" * 100)
    # The decoder stops there too.
    assert rewritten(short, "~", GenerationSettings(max_length=1_000, min_length=64))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"num_beams": 0}, "num_beams is 0, but it must be from 1"),
        ({"num_alternatives": 3}, "num_alternatives reports the tokens"),
        ({"num_beams": 1, "length_penalty": 2.0}, "length_penalty chooses among beams"),
        ({"num_beams": 1, "early_stopping": True}, "early_stopping chooses among beams"),
        ({"max_length": 1}, r"at most 1 tokens, .*cannot have 2"),
        ({"max_length": 9, "min_length": 10}, r"at most 9 tokens, .*cannot have 10"),
    ],
)
def test_setting_that_cannot_be_honoured_is_refused(
    bart_folder: Path, settings: dict[str, object], what: str
) -> None:
    with pytest.raises(ConfigurationError, match=what):
        rewritten(bart_folder, settings=GenerationSettings(**settings))


def test_what_the_settings_leave_open_is_as_the_model_says() -> None:
    own = {"max_length": 142, "min_length": 56, "num_beams": 4}

    assert decoding_options(None, own, 1024) == {
        "max_length": 142,
        "max_new_tokens": None,
        "min_length": 56,
    }
    made = decoding_options(GenerationSettings(max_length=40), own, 1024)
    assert made["num_beams"] == 4
    assert made["min_length"] == 40  # The model's own would be above the limit.
    assert made["do_sample"] is False
    assert decoding_options(None, {}, 1024)["max_length"] == 257
    assert decoding_options(None, own, 100)["max_length"] == 100
    assert decoding_options(GenerationSettings(), own, None)["max_length"] == 257


def test_filters_that_are_left_open_filter_nothing() -> None:
    made = decoding_options(GenerationSettings(temperature=0.7), {}, None)
    assert made["do_sample"] is True
    assert [made[name] for name in ("temperature", "top_k", "top_p", "min_p")] == [
        0.7,
        0,
        1.0,
        None,
    ]
    assert "temperature" not in decoding_options(GenerationSettings(temperature=0), {}, None)


@pytest.mark.parametrize("kind", [SequenceToSequenceModel, TranslationModel])
def test_language_model_is_refused(pico_folder: Path, kind: type[SequenceToSequenceModel]) -> None:
    with pytest.raises(ModelError, match="is of the kind LlamaForCausalLM, which is not one"):
        kind(str(pico_folder)).open()


def test_classifier_over_the_same_encoder_is_refused(bart_folder: Path, tmp_path: Path) -> None:
    """transformers would load it, with a head that was never trained."""
    folder = tmp_path / "classifier"
    shutil.copytree(bart_folder, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"architectures": ["BartForSequenceClassification"]}
    path.write_text(json.dumps(config))

    with pytest.raises(ModelError, match="of the kind BartForSequenceClassification"):
        SequenceToSequenceModel(str(folder)).open()


def test_call_outside_with_says_how(bart_folder: Path) -> None:
    model = SequenceToSequenceModel(str(bart_folder))
    with pytest.raises(ConfigurationError, match=r"with SequenceToSequenceModel\(…\) as model"):
        asyncio.run(model(TEXT))
    with model:
        pass
    with pytest.raises(ConfigurationError, match="not loaded"):
        asyncio.run(model(TEXT))


def workers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("avalan-task")]


def test_calls_at_once_are_answered_one_after_another(bart_folder: Path) -> None:
    settings = GenerationSettings(num_beams=2, max_length=20, min_length=0)

    async def main() -> list[str]:
        with SequenceToSequenceModel(str(bart_folder)) as rewrite:
            made = await asyncio.gather(*(rewrite(text, settings) for text in "abcd"))
            assert len(workers()) == 1
            return made

    assert asyncio.run(main()) == [rewritten(bart_folder, text, settings) for text in "abcd"]
    assert not workers()


def test_event_loop_goes_on_while_the_model_writes(bart_folder: Path) -> None:
    async def main() -> int:
        ticks = 0
        with SequenceToSequenceModel(str(bart_folder)) as rewrite:
            answer = asyncio.create_task(rewrite(TEXT))
            while not answer.done():
                ticks += 1
                await asyncio.sleep(0.005)
        return ticks

    assert asyncio.run(main()) > 5


@pytest.mark.parametrize("num_beams", [1, 4])
def test_cancelled_call_stops_the_model(tmp_path: Path, num_beams: int) -> None:
    length = 50_000
    folder = testing.pico_bart(tmp_path, max_position_embeddings=length)
    endless = GenerationSettings(num_beams=num_beams, max_length=length, min_length=length)

    async def main() -> float:
        with SequenceToSequenceModel(str(folder)) as rewrite:
            answer = asyncio.create_task(rewrite(TEXT, endless))
            await asyncio.sleep(0.2)
            answer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await answer
            started = time.perf_counter()
        return time.perf_counter() - started

    assert asyncio.run(main()) < 5.0
    assert not workers()


def test_half_an_answer_is_never_taken_for_a_whole_one(bart_folder: Path) -> None:
    async def main() -> None:
        rewrite = SequenceToSequenceModel(str(bart_folder)).open()
        answer = asyncio.create_task(rewrite(TEXT))
        await asyncio.sleep(0.01)
        rewrite.close()
        with pytest.raises(ModelError, match="was closed before it had finished"):
            await answer

    asyncio.run(main())


def test_module_is_light_and_a_missing_extra_is_an_instruction() -> None:
    script = (
        "import sys\n"
        "from avalan.errors import MissingExtra\n"
        "from avalan.model.nlp.sequence import SequenceToSequenceModel, TranslationModel\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
        "sys.modules['torch'] = None\n"
        "for kind in (SequenceToSequenceModel, TranslationModel):\n"
        "    try:\n"
        "        kind('org/model').open()\n"
        "    except MissingExtra as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "needs the package 'torch'" in first
    assert first.endswith("[transformers]'")
    assert second.endswith("[translation]'")


def test_device_that_is_not_there_is_refused(bart_folder: Path) -> None:
    model = SequenceToSequenceModel(str(bart_folder), EngineSettings(device="toaster"))
    with pytest.raises(AvalanError, match="no device 'toaster'"):
        model.open()
