"""A 1-D residual network that reads statements from ECGs. Adherence, utility and features are measured with it.

After the xresnet1d networks of Strodthoff et al. 2021 (deep learning for ECG analysis: benchmarks on PTB-XL),
with fewer layers: a three-layer stem, four stages of residual blocks whose shortcut averages before its 1x1
convolution, mean and maximum over time, one hidden layer. Trained on random windows, it reads a record as the
mean probability of overlapping windows. Shapes: n records, B batch, C leads, L samples, W samples of a
window, K statements, D features.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import counted
from ..models.precision import float32_products
from ..models.settings import float32_modules, isolated

FloatArray = NDArray[np.floating]

WINDOW = 500  # samples: 5 s at 100 Hz
WIDTH = 64  # channels of the first stage
EPOCHS = 50

_BATCH = 128
_RATE = 5e-3
_DECAY = 1e-2
_MIXUP = 0.2


class Classifier(nn.Module):
    """Windows (B, C, W) in millivolts -> logits (B, K); `scale` (C, 1): the leads' standard deviations."""

    scale: Tensor

    def __init__(self, leads: int, statements: int, *, width: int = WIDTH) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(leads, 1))
        half = max(width // 2, 1)
        self.stem = nn.Sequential(_conv(leads, half, stride=2), _conv(half, half), _conv(half, width))
        widths = (width, width, 2 * width, 3 * width, 4 * width)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(_Block(before, after, stride=2), _Block(after, after))
                for before, after in zip(widths, widths[1:], strict=False)
            )
        )
        self.head = nn.Sequential(
            nn.BatchNorm1d(8 * width),
            nn.Dropout(0.25),
            nn.Linear(8 * width, 2 * width),
            nn.ReLU(),
            nn.BatchNorm1d(2 * width),
            nn.Dropout(0.5),
        )
        self.last = nn.Linear(2 * width, statements)

    def maps(self, x: Tensor) -> Tensor:
        """Return the last stage: (B, C, W) -> (B, D, W / 32) float32, D = 4 width."""
        h: Tensor = self.stages(self.stem(x / self.scale))
        return h.float()

    def forward(self, x: Tensor) -> Tensor:
        h = self.maps(x)
        logits: Tensor = self.last(self.head(torch.cat([h.mean(dim=-1), h.amax(dim=-1)], dim=1)))
        return logits.float()


def train(
    x: FloatArray,
    y: NDArray[np.integer],
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
    width: int = WIDTH,
    device: str | torch.device = "cpu",
    init: Classifier | None = None,
    on_epoch: Callable[[], None] | None = None,
) -> Classifier:
    """Return a classifier trained on x (n, C, L) millivolts and y (n, K) zeros and ones; the seed fixes it.

    init: a classifier trained on other records with the same leads and statements; training continues on a copy.

    AdamW over one rise and fall of the learning rate, binary cross-entropy, mixup; bfloat16 on a GPU. Global
    random state is left as it was. ValueError for shapes that do not match or fewer than two records.
    """
    if x.ndim != 3 or y.ndim != 2 or len(x) != len(y) or len(x) < 2 or epochs < 1:
        raise ValueError(
            f"cannot train on records {x.shape} with labels {y.shape} for {counted(epochs, 'epoch')}: "
            "give x (n, leads, samples), y (n, statements), two records and one epoch or more"
        )
    device = torch.device(device)
    with _reproducible(seed, device):
        signal = torch.as_tensor(np.asarray(x, dtype=np.float32), device=device)
        target = torch.as_tensor(np.asarray(y, dtype=np.float32), device=device)
        model = Classifier(x.shape[1], y.shape[1], width=width).to(device)
        if init is None:
            model.scale.copy_(signal.var(dim=-1).mean(dim=0).sqrt().clamp_min(1e-3)[:, None])
            with torch.no_grad():  # start from the statements' own frequencies
                prior = target.mean(dim=0).clamp(1e-3, 1 - 1e-3)
                model.last.bias.copy_(torch.logit(prior))
        else:
            model.load_state_dict(init.state_dict())
        _fit(model, signal, target, epochs, on_epoch or (lambda: None))
    return model.eval()


def train_and_predict(
    x: FloatArray, y: NDArray[np.integer], x_test: FloatArray, **how: Any
) -> NDArray[np.float32]:
    """Train a classifier on x (n, C, L) and y (n, K) as `train` does, and predict x_test (m, C, L): (m, K)."""
    return predict(train(x, y, **how), x_test)


def predict(model: Classifier, x: FloatArray) -> NDArray[np.float32]:
    """Return the probability of each statement, mean over windows: x (n, C, L) millivolts -> (n, K)."""
    return _over_windows(model, x, lambda windows: model(windows).sigmoid())


def features(model: Classifier, x: FloatArray) -> NDArray[np.float32]:
    """Return the mean over time and windows of the last stage: x (n, C, L) millivolts -> (n, D), D = 4 width."""
    return _over_windows(model, x, lambda windows: model.maps(windows).mean(dim=-1))


class _Block(nn.Module):
    """Two convolutions beside a shortcut; the last normalisation starts at 0, so the block starts as its shortcut."""

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(before, after, stride=stride)
        self.second = nn.Conv1d(after, after, 5, padding=2, bias=False)
        self.norm = nn.BatchNorm1d(after)
        nn.init.zeros_(self.norm.weight)
        shortcut: list[nn.Module] = [nn.AvgPool1d(stride, ceil_mode=True)] if stride > 1 else []
        if before != after:
            shortcut += [nn.Conv1d(before, after, 1, bias=False), nn.BatchNorm1d(after)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.second(self.first(x))) + self.shortcut(x))


def _conv(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv1d(before, after, 5, stride=stride, padding=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(after), nn.ReLU(inplace=True))


def _fit(
    model: Classifier, signal: Tensor, target: Tensor, epochs: int, on_epoch: Callable[[], None]
) -> None:
    n, leads, length = signal.shape
    device = signal.device
    window = min(WINDOW, length)
    batches = math.ceil(n / _BATCH)
    total = epochs * batches
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=_RATE, weight_decay=_DECAY, fused=device.type == "cuda"
    )
    offset = torch.arange(window, device=device)
    lead = torch.arange(leads, device=device)[:, None]
    mixing = torch.distributions.Beta(_MIXUP, _MIXUP)
    model.train()
    step = 0
    for _ in range(epochs):
        order = torch.randperm(n, device=device)
        for rows in order.tensor_split(batches):  # equal to within one record: no batch of one
            for group in optimiser.param_groups:
                group["lr"] = _RATE * _one_cycle(step / total)
            start = torch.randint(0, length - window + 1, (len(rows), 1, 1), device=device)
            x, y = signal[rows[:, None, None], lead, start + offset], target[rows]  # (B, C, W), (B, K)
            share = float(mixing.sample())
            x, y = x.lerp(x.roll(1, 0), share), y.lerp(y.roll(1, 0), share)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                loss = F.binary_cross_entropy_with_logits(model(x), y)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            step += 1
        on_epoch()


def _one_cycle(progress: float) -> float:
    """Return the share of the peak learning rate: half a cosine up over the first quarter, half a cosine down to 0."""
    if progress < 0.25:
        return 0.04 + 0.96 * (0.5 - 0.5 * math.cos(math.pi * progress / 0.25))
    return 0.5 + 0.5 * math.cos(math.pi * (progress - 0.25) / 0.75)


@isolated()
@float32_products("highest")
@torch.no_grad()
def _over_windows(model: Classifier, x: FloatArray, read: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    device = model.scale.device
    results = []
    for start in range(0, len(x), _BATCH):
        signal = torch.as_tensor(np.asarray(x[start : start + _BATCH], dtype=np.float32), device=device)
        window = min(WINDOW, signal.shape[-1])
        windows = signal.unfold(-1, window, max(window // 2, 1)).transpose(1, 2)  # (B, W, C, window)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            out = read(windows.flatten(0, 1)).float()
        results.append(out.reshape(*windows.shape[:2], -1).mean(dim=1))
    joined: NDArray[np.float32] = torch.cat(results).cpu().numpy()
    return joined


@contextlib.contextmanager
def _reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Draw everything random inside from the seed, with gradients, whatever the caller has set for PyTorch.

    Generators and settings are restored afterwards.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with (
        isolated(),
        float32_modules(),
        float32_products("highest"),
        torch.enable_grad(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        torch.manual_seed(seed)
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before
