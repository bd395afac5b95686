"""Random weights under which a PyTorch model does something: with their initial values many give zero, or have no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["prepared"]


def prepared(build: Callable[[], Any], size: int, inputs: Callable[[Any], Any] | None = None) -> Any:
    """Build a module, and return it in evaluation mode with statistics of noise and without empty heads.

    Batch normalisations with their initial statistics let the gradient of some models vanish; heads of vision transformers start
    at zero, and so do the scales of some residual branches.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().eval()
        with torch.no_grad():
            for part in model.parameters():
                if part.ndim >= 2 and part.is_floating_point() and not part.any():
                    part.normal_(std=0.05)
            for name, part in model.named_parameters():
                # Without it no gradient reaches the branches of a residual network that ends them in an empty normalisation.
                if part.ndim <= 1 and name.endswith(("weight", "gain")) and not part.any():
                    part.fill_(0.5)
        _calibrate(model, size, inputs)
        return model


def _calibrate(model: Any, size: int, inputs: Callable[[Any], Any] | None) -> None:
    import torch

    norms = [part for part in model.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [part.momentum for part in norms]
    for part in norms:
        if part.track_running_stats:
            part.momentum = None
            part.train()
    noise = torch.randn(4, 3, size, size)
    given = noise if inputs is None else inputs(noise)
    try:
        with torch.no_grad():
            model(*given) if isinstance(given, tuple) else model(given)
    except Exception:  # noqa: BLE001 - it is used as it is; whether it runs at all is for the trial to find
        pass
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum
    model.eval()
