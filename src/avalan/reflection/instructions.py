"""Sentences of a document that give orders to whoever answers from it, kept from models that obey.

A document's text is data: a model that writes or judges is shown what it tells, not what it
commands. No list of words finds every order, so this is a second wall: the first is that an answer
is checked against its passage whatever the model says. What is withheld leaves a visible gap, and
people still see the whole passage. How much is found, and how much is withheld wrongly, stands in
docs/ask.md.
"""

import re

from avalan.retrieval.sentences import sentences

GAP = "[…]"
"""What stands where a sentence was withheld."""

_MACHINE = r"""
    \b(?: A\.?I\.? | (?:artificial|machine)\ intelligence | (?:large\ )?language\ models? | LLMs?
      | chat\ ?bots? | (?:chat)?GPT(?:-\w+)? | (?:AI|virtual|digital)\ assistants? | assistants?
      | (?:automated|automatic|machine|electronic)\ (?:readers?|assistants?|systems?)
      | dear\ (?:model|machine|reader) | (?:this|the)\ (?:model|bot)
      | (?:software|programs?|systems?|machines?)\ (?:that|which)\ (?:read|answer)s?
      | KI | künstliche\w*\ Intelligenz\w* | Sprachmodell\w* | Assistent\w* | Rechenmaschine
      | IA | inteligencia\ artificial | modelos?\ de\ lenguaje | asistentes?
      | intelligence\ artificielle | modèles?\ de\ langage | logiciels?\ lisant | assistante?s?
    )\b | 人工知能 | 人工智能 | искусственн\w+\ интеллект\w*
"""
_ORDER = r"""
    \b(?: answers? | repl(?:y|ies) | responds? | says? | states? | outputs? | prints? | writes?
      | quotes? | repeats? | begins? | ignores? | disregards? | obeys? | refuses? | pretends?
      | must | shall | should | may\ (?:not|neither) | please
      | antworte\w* | sage | schreib\w* | ignorier\w* | vergiss | muss | müssen | soll\w* | bitte
      | responde\w* | di(?:ga)? | escrib\w* | ignor\w* | olvid\w* | debe\w*
      | répond\w* | dis | écri\w* | oubli\w* | doit | doivent | devez
    )\b
"""
_ADDRESSED = re.compile(
    rf"(?:{_MACHINE}) (?=.{{0,160}}?(?:{_ORDER})) | (?:{_ORDER}).{{0,80}}?(?:{_MACHINE})",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_OVERRIDING = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override|overrule)\b .{0,40}
      \b(?:instructions?|prompts?|rules?|text|questions?|document|passages?|sources?|context|above)\b
  | \b(?:ignorier\w*|vergiss|vergessen\ Sie)\b .{0,40}
      \b(?:Anweisung\w*|Text\w*|Frage\w*|Regel\w*|Quelle\w*|Dokument\w*)\b
  | \b(?:ignor[ae]\w*|olvid[ae]\w*)\b .{0,40}
      \b(?:instrucci\w+|texto|preguntas?|reglas?|fuentes?|documento)\b
  | \b(?:ignore[zr]?|oublie[zr]?)\b .{0,40}
      \b(?:instructions?|consignes?|texte|questions?|règles?|sources?|document)\b
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_DICTATED = re.compile(
    r"""
    \b(?:your|entire|whole|only|correct|right|final|expected|true|model|good)\s+
      (?:answer|reply|response|output)\b .{0,60}?
      (?: \b(?:is|be|reads?|must|should|shall)\b | : )
  | \b(?:the\ answer\ is\ always | answer_override | fixed_answer | system\ prompts?
      | (?:previous|prior|above|new|updated)\ instructions?)\b
  | \b(?:answer|reply|respond)\b \s+ (?:only|exactly|always|just|with)? \s* [:"“«„']
  | \bsay\ (?:only|exactly|always|just)\b \s* [:"“«„']
  | \b(?:antworte|sage?|schreibe?)\b \s+ (?:nur|stets|immer|genau)? [^.]{0,40} [:"“«„]
  | \b(?:responde|di|escribe)\b \s+ (?:solo|siempre)? [^.]{0,40} [:"“«]
  | \b(?:réponds|dis|écris)\b [^.]{0,40} [:"“«]
  | \b(?:asked?|asks|questions?)\b .{0,60} \b(?:reply|answer|state|report|respond)\ that\b
  | \b(?:tell|report\ to)\ (?:the|your)\ user\b | \btell\ people\ instead\b
  | \bas\ (?:your|the)\ (?:answer|reply)\b | \bin\ place\ of\ every\ answer\b
  | \b(?:start|begin)(?:s|ning|ing)?\s+(?:your\ \w+\s+)?with\ the\ words?\b
  | \b(?:without|no|skip)\s+(?:retrieval|searching)\b | \bfully\ supported\b
  | \bthis\ (?:document|passage|page|text|context)\s+
      (?:does\ not\ contain|is\ only\ about|contains\ no)\b
  | ["']role["']\s*: | ["']?(?:final_answer|tool_choice)["']?\s*:
  | ^\W*(?:system|assistant|developer|user|human|response|instruction|answer)\b[^\w\n]{0,3}:
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_FORGED = re.compile(
    r"""
    \[(?:Relevant|Irrelevant|Fully\ supported|Partially\ supported|Utility:\d
        |(?:No\ |Continue\ )?Retrieval)\]
  | (?:<\||<start_of_turn>|\[|<</?|</?)\s*
      (?:im_start\|>|start_header_id\|>|channel\|>|start\|>|/?INST\]|/?SYS>>)?\s*
      (?:system|assistant|developer|tool_call|tool_response)\b
  | \[/?INST\].*\[/?INST\]
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""A turn, a call or a judgement that nobody but the program could write."""


def is_order(sentence: str) -> bool:
    """Whether a sentence speaks to the machine that reads it, or forges a part of its prompt."""
    return (
        _FORGED.search(sentence) is not None
        or _ADDRESSED.search(sentence) is not None
        or _OVERRIDING.search(sentence) is not None
        or _DICTATED.search(sentence) is not None
    )


def withheld(text: str) -> str:
    """The text with `GAP` in the place of each order."""
    found, end = [], 0
    for first, last in sentences(text):
        found.append(text[end:first])
        sentence = text[first:last]
        found.append(GAP if is_order(sentence) else sentence)
        end = last
    return "".join(found) + text[end:]
