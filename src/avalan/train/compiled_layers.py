"""A model's layers, compiled: what stands between two products of matrices is computed at once.

Layer by layer, for they are alike: one is compiled, and serves them all. The head is not, so that
it may read different places in every step.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch._dynamo.exc import TorchDynamoException

from avalan.errors import ConfigurationError


def compile_layers(model: nn.Module) -> None:
    """Compile every layer of `model` when it is first used; names and weights stay as they are."""
    for layer in _layers(model):
        layer.compile()


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _layers(child)


@contextmanager
def compiling() -> Iterator[None]:
    """Raise ConfigurationError where this machine cannot compile."""
    try:
        with warnings.catch_warnings():
            # torch warns of itself while it compiles.
            warnings.filterwarnings("ignore", message=r"\S+ \.grad")
            yield
    except TorchDynamoException as error:
        raise ConfigurationError(
            "The model's layers cannot be compiled here ({reason}); install a C++ compiler and "
            "Python's headers, or set run.compile = false.",
            reason=str(error).strip().splitlines()[0],
        ) from error
