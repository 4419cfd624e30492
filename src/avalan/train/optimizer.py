"""Muon for the matrices inside the blocks, AdamW for the rest, as one optimizer.

Muon orthogonalises each matrix's momentum (Jordan et al., 2024, kellerjordan.github.io/posts/muon);
torch's implementation scales its step to AdamW's size (Liu et al., 2025, arXiv:2502.16982), so both
share one learning rate.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers behind the interface of one, so that a Trainer can save and resume them."""

    def __init__(self, model: nn.Module, *, lr: float, weight_decay: float) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        inner = [p for name, p in named if p.ndim == 2 and "embed" not in name]
        outer = [p for name, p in named if p.ndim != 2 or "embed" in name]
        self.muon = torch.optim.Muon(
            inner, lr=lr, momentum=0.95, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        # Norms and the embedding, which is the output layer too, do not decay.
        self.adamw = torch.optim.AdamW(outer, lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
        super().__init__([*inner, *outer], {"lr": lr})
        self._share_groups()

    def _share_groups(self) -> None:
        """Let a schedule that writes `param_groups` reach both."""
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None if closure is None else closure()
        self.muon.step()
        self.adamw.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.muon.zero_grad(set_to_none)
        self.adamw.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self._share_groups()
