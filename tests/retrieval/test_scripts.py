"""Languages without spaces between words are found; nothing else changes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.retrieval.index import SyncIndex
from avalan.retrieval.query import MAX_TERMS, any_of, words
from avalan.retrieval.scripts import joined, phrases, spaced, without_vowel_signs

UNSPACED = "数据库的最大连接数データベース接続は도서관매일ห้องสมุดเปิดທຸກວັນមេឃမြန်မာ𠀋々〇"
LATIN = "The café's Straße, naïve Ångström; łódź, ελληνικά, Привет, עברית, العربية, हिन्दी – 42 €."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("数据库", "数|据|库"),
        ("用Python编程。", "用|Python|编|程。"),
        ("第3章", "第|3|章"),
        ("数据 库", "数|据 库"),
        ("", ""),
        (LATIN, LATIN),
        ("one\x1ftwo", "one||two"),
        ("数\x1f据", "数||据"),
    ],
)
def test_characters_of_words_are_set_apart(text: str, expected: str) -> None:
    assert spaced(text) == expected.replace("|", "\x1f")


@given(st.lists(st.sampled_from([*UNSPACED, *"ab1_ .\n\x1f", "\x1f\x1f"]) | st.text()).map("".join))
def test_what_was_set_apart_is_put_together_exactly(text: str) -> None:
    assert joined(spaced(text)) == text


@given(st.text(st.sampled_from(LATIN + "\n\t\0") | st.characters(max_codepoint=0xDFF)))
def test_text_of_other_scripts_is_left_alone(text: str) -> None:
    text = text.replace("\x1f", "")
    assert spaced(text) == text == without_vowel_signs(text)
    assert list(phrases(text)) == [text] * bool(text)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How long may a file name be?", '"long" OR "may" OR "file" OR "name"'),
        ("数据库连接", '"数|据" OR "据|库" OR "库|连" OR "连|接"'),
        ("茶？", '"茶"'),
        ("Python编程", '"python" OR "编|程"'),
        ("น้ำ", '"น|ำ"'),
        ("数据数据", '"数|据" OR "据|数"'),
    ],
)
def test_a_question_asks_for_words_and_for_pairs_of_characters(
    question: str, expected: str
) -> None:
    assert any_of(words(question)) == expected.replace("|", "\x1f")


def test_a_long_question_without_spaces_is_cut() -> None:
    clause = "".join(chr(0x4E00 + n) for n in range(500))
    assert any_of(words(clause)).count(" OR ") == MAX_TERMS - 1


CORPUS = {
    "zh-db": "数据库的最大连接数默认为一百。超过之后新的连接会被拒绝。",
    "zh-library": "图书馆每天早上八点开门，晚上九点关门。周末提前两个小时闭馆。",
    "zh-tea": "绿茶应该用八十度的水冲泡两分钟，红茶则需要沸水。",
    "zh-leave": "员工每年享有十五天带薪休假，申请需要提前两周提交给部门经理。",
    "ja-db": "データベースの最大接続数は標準で百です。超えると新しい接続は拒否されます。",
    "ja-library": "図書館は毎朝八時に開館し、夜九時に閉館します。",
    "ja-tea": "緑茶は八十度のお湯で二分間いれてください。",
    "th-library": "ห้องสมุดเปิดทุกวันเวลาแปดโมงเช้าและปิดเวลาสามทุ่ม",
    "th-leave": "พนักงานมีวันลาพักร้อนสิบห้าวันต่อปี ต้องแจ้งล่วงหน้าสองสัปดาห์",
    "th-tea": "ชาเขียวควรชงด้วยน้ำร้อนแปดสิบองศาเป็นเวลาสองนาที",
    "ko-db": "데이터베이스의 최대 연결 수는 기본적으로 백 개입니다.",
    "ko-library": "도서관은 매일 아침 여덟 시에 문을 엽니다.",
    "mixed": "The library is written in Python编程语言 and opens files.",
}
QUESTIONS = {
    "数据库最多允许多少连接？": "zh-db",
    "图书馆几点开门": "zh-library",
    "绿茶要泡多久": "zh-tea",
    "休假有多少天？": "zh-leave",
    "データベースの接続数は？": "ja-db",
    "図書館は何時に開きますか": "ja-library",
    "緑茶の温度": "ja-tea",
    "ห้องสมุดเปิดกี่โมง": "th-library",
    "ลาพักร้อนได้กี่วัน": "th-leave",
    "น้ำร้อนสำหรับชาเขียว": "th-tea",
    "데이터베이스 연결": "ko-db",
    "도서관 여는 시간": "ko-library",
    "编程": "mixed",
    "python": "mixed",
}


def test_questions_without_spaces_find_their_passage_first(tmp_path: Path) -> None:
    for name, text in CORPUS.items():
        (tmp_path / f"{name}.txt").write_text(text)
    with SyncIndex.temporary() as index:
        list(index.add([tmp_path]))
        found = {question: index.search(question, 1) for question in QUESTIONS}

    names = {
        question: [Path(each.source).stem for each in hits] for question, hits in found.items()
    }
    assert names == {question: [name] for question, name in QUESTIONS.items()}
    assert all(CORPUS[Path(each.source).stem] == each.text for (each,) in found.values())


def test_headings_and_names_of_files_are_found_and_shown_as_written(tmp_path: Path) -> None:
    (tmp_path / "休假规定.md").write_text("# 带薪休假\n\n" + "每年都有十五天。" * 300)
    (tmp_path / "other.md").write_text("# 图书馆\n\n早上八点。\n")
    with SyncIndex.temporary() as index:
        list(index.add([tmp_path]))
        by_name = index.search("规定")
        by_heading = index.search("带薪")
    assert len(by_name) == len(by_heading) > 1
    assert {each.heading for each in by_heading} == {"带薪休假"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    text=st.text(st.sampled_from(UNSPACED), min_size=1, max_size=40),
    ends=st.tuples(st.integers(0, 39), st.integers(0, 39)),
)
def test_any_part_of_such_a_text_finds_it(tmp_path: Path, text: str, ends: tuple[int, int]) -> None:
    (tmp_path / "a.txt").write_text("the words " + text)
    part = text[min(ends) : max(ends) + 1]
    with SyncIndex.temporary() as index:
        list(index.add([tmp_path]))
        found = index.search(part)
    is_word = any(character.isalnum() for character in without_vowel_signs(part))
    assert [each.text for each in found] == ["the words " + text] * is_word
