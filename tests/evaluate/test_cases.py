"""What calibration is fitted on."""

from dataclasses import replace
from typing import Any

from avalan.data.decisions import known_questions
from avalan.evaluate.cases import Recalled, memory_cases, need_cases, reading_cases, untaught
from avalan.evaluate.examples import Page, Prompt, Question, QuestionSet
from avalan.reflection.calibrate import beta
from avalan.reflection.judge import Draft


def test_the_gates_case_is_its_score_and_the_label(stage: Any) -> None:
    judge = stage.judge(need=lambda text: 0.8 if "news" in text else 0.3)
    found = list(need_cases(judge, stage.prompts))
    assert [(case.raw, case.retrieve) for case in found] == [
        (0.8, True),
        (0.3, False),
        (0.8, True),
        (0.3, False),
    ]
    assert found[0].features == beta(0.8)


def test_a_quote_is_right_if_it_answers_from_the_page_that_does(stage: Any) -> None:
    found = list(reading_cases(stage.judge(stage.everything), stage.questions, top_k=5))
    rights = [[quote.right for quote in case.quotes] for case in found]
    assert [sum(each) for each in rights] == [1, 1, 0]
    assert [case.answerable for case in found] == [True, True, False]
    assert [case.group for case in found] == ["tea.md", "boat.txt", "boat.txt"]


def test_an_answer_from_another_page_scores_but_is_not_right(stage: Any) -> None:
    first, *others = stage.questions.questions
    moved = replace(stage.questions, questions=(replace(first, page="boat.txt"), *others))
    case, *_ = reading_cases(stage.judge(stage.oracle), moved, top_k=5)
    assert [(quote.right, quote.score) for quote in case.quotes] == [(False, 1.0)]


def test_no_more_passages_are_read_than_the_loop_reads(stage: Any) -> None:
    found = list(reading_cases(stage.judge(stage.everything), stage.questions, top_k=1))
    assert [len(case.quotes) for case in found] == [1, 1, 1]


def test_a_passage_without_a_quote_is_no_case(stage: Any) -> None:
    found = list(reading_cases(stage.judge(stage.oracle), stage.questions, top_k=5))
    assert [len(case.quotes) for case in found] == [1, 1, 0]


def test_of_a_programs_documentation_the_sentence_counts(stage: Any) -> None:
    """As in the loop, which quotes no less there."""
    text = 'Its "close" method, or os.close(), ends it; see __exit__. It opens at nine.\n'
    page = Page(name="manual.txt", text=text)
    question = Question(id="q", text="What ends it?", answers=("see __exit__",), page=page.name)

    def judge(question: str, passage: str) -> tuple[int, int]:
        start = passage.index("ends it")
        return start, start + len("ends it")

    (case,) = reading_cases(
        stage.judge(judge), QuestionSet(pages=(page,), questions=(question,)), top_k=5
    )
    assert case.is_technical
    (quote,) = case.quotes
    assert quote.score == 1
    other, *_ = reading_cases(stage.judge(stage.oracle), stage.questions, top_k=5)
    assert not other.is_technical


def test_a_draft_is_right_if_it_is_what_was_taught(stage: Any) -> None:
    drafts = {
        "capital of France?": Draft(text="Paris.", confidence=0.9, features={"x": 1.0}),
        "3 + 4": Draft(text="77", confidence=0.8),
        "Who am I?": Draft(text="Nobody", confidence=0.7),
    }
    questions = [
        Recalled(text="capital of France?", answer="Paris"),
        Recalled(text="3 + 4", answer="7"),
        Recalled(text="Who am I?", answer=None),
        Recalled(text="anything", answer=None),
    ]
    found = list(memory_cases(stage.judge(draft=drafts.get), questions))
    assert [case and (case.raw, case.right) for case in found] == [
        (0.9, True),
        (0.8, False),
        (0.7, False),
        None,
    ]
    assert found[0].features == {"x": 1.0}


def test_a_prompt_with_the_words_of_a_taught_question_has_its_answer() -> None:
    question, answer = known_questions()[0]

    def prompt(text: str, kind: str = "fact", *, retrieve: bool = False) -> Prompt:
        return Prompt(id="p", text=text, kind=kind, retrieve=retrieve)

    prompts = [
        prompt(f"hey, {question.lower()} thx"),
        prompt("who painted the ceiling of my kitchen"),
        prompt(f"{question} Name your source.", "cite", retrieve=True),
        prompt("hello there", "talk"),
    ]
    assert [each.answer for each in untaught(prompts)] == [answer, None, None]
