"""Template marks inside documents, broken visibly for servers that make the prompt themselves.

Where we make the prompt, a document's text is encoded as text and can be no control token. A server
that is given messages may parse `<|im_end|>` inside one; a backslash in it keeps it readable and
takes its power. Nothing is hidden: whoever reads the prompt sees that it was done.
"""

import re

_MARKS = re.compile(
    r"""
      <\|[^<>|\s][^<>|]{0,63}\|>                     # ChatML, Llama 3, Phi, GPT
    | <\uff5c[^<>\uff5c]{1,64}\uff5c>                # DeepSeek
    | </?(?:s|bos|eos|pad|unk|mask)>
    | <</?SYS>> | \[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]
    | <(?:start|end)_of_(?:turn|image|audio)>        # Gemma
    | </?(?:think|thinking|tool_call|tool_response|tools|function_call|paragraph)>
    | \[(?:Retrieval|No\ Retrieval|Continue\ to\ Use\ Evidence|Relevant|Irrelevant
         |Fully\ supported|Partially\ supported|No\ support\ /\ Contradictory|Utility:[1-5])\]
    """,
    re.VERBOSE | re.IGNORECASE,
)


def broken(text: str) -> str:
    """The text with a backslash after the first character of each mark; again, until none is left.

    What a broken mark leaves behind could be a mark with its neighbours: `<<s>s>` has two.
    """
    while (found := _MARKS.sub(lambda mark: f"{mark[0][0]}\\{mark[0][1:]}", text)) != text:
        text = found
    return text
