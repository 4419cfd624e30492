"""Checks that every stepping engine makes before it computes anything."""

from collections.abc import Sequence

from avalan.errors import ModelError


def check_room(held: int, new: int, context_length: int) -> None:
    """Whether `new` more tokens fit after `held` ones.

    Raises:
        ModelError: they do not; the sentence has the numbers.
    """
    if not held and new > context_length:
        raise ModelError(
            "The model reads at most {context_length} tokens, but the prompt has {new}, "
            "{excess} too many; shorten it, or choose a model with a longer context.",
            context_length=context_length,
            new=new,
            excess=new - context_length,
        )
    if held + new > context_length:
        raise ModelError(
            "The model reads at most {context_length} tokens, but {held} are held and {new} "
            "more were given, {excess} too many; shorten the prompt or ask for fewer new "
            "tokens.",
            context_length=context_length,
            held=held,
            new=new,
            excess=held + new - context_length,
        )


def check_rewind(held: int, num_tokens: int) -> None:
    """Whether the last `num_tokens` of `held` tokens can be dropped.

    Raises:
        ModelError: there are fewer.
    """
    if not 0 <= num_tokens <= held:
        raise ModelError(
            "The state holds {held} tokens, so {num_tokens} cannot be dropped from it.",
            held=held,
            num_tokens=num_tokens,
        )


def check_token_ids(token_ids: Sequence[int], vocab_size: int) -> None:
    """Whether there is at least one token, and all are in the vocabulary.

    Raises:
        ModelError: there is none, or one is unknown to the model.
    """
    if not token_ids:
        raise ModelError("The prompt is empty; give the model at least one token to read.")
    outside = next((i for i in token_ids if not 0 <= i < vocab_size), None)
    if outside is not None:
        raise ModelError(
            "Token id {outside} is outside the model's vocabulary of {vocab_size}; the "
            "tokenizer and the weights do not belong together.",
            outside=outside,
            vocab_size=vocab_size,
        )
