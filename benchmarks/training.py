"""One training step on a GPU, forward and backward, in up to four ways. `python benchmarks/training.py`

plain: kernels from their Cauchy sums and convolution by FFT at each step, as SSSD-ECG does; products: constant kernel
bases and convolution by stored Toeplitz matrices, for short records; kernels: the same with the engine's convolution
and correlation, for long ones. The last two compile one residual block, as `sssd-ecg train` does. Gradients are
compared with the plain ones. graph: the fastest of these with Adam, recorded as a CUDA graph, as `sssd-ecg train` runs.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sssd.benchmark import machine, median_seconds
from sssd.config.schema import PUBLISHED, Config, read_config
from sssd.engine.kernels.trainable import convolve
from sssd.factory import build_network
from sssd.models.function import biases, denoise, residual_block
from sssd.models.precision import float32_products
from sssd.models.weights import effective_weights, kernel_bases
from sssd.training.graph import recorded
from sssd.training.network import MOST_STORED_TOKENS

# The S4 network that earlier versions shipped
BUILT_IN = Config.model_validate(
    {
        "diffusion_config": {"terminal_alpha": 0.01, "prediction": "v"},
        "wavenet_config": {
            "num_res_layers": 11,
            "res_channels": 128,
            "skip_channels": 128,
            "diffusion_step_embed_dim_mid": 128,
            "diffusion_step_embed_dim_out": 128,
            "label_embed_dim": 64,
            "patch": 8,
            "attention_every": 2,
        },
    }
)


def steps(name: str, config: Config, records: int, device: torch.device) -> None:
    torch.manual_seed(0)
    length = config.trainset_config.segment_length
    net = build_network(config).to(device).train()
    torch.nn.init.normal_(net.outer_convs[2].weight, std=0.05)
    x, z = torch.randn(2, records, 8, length, device=device)
    cond = (torch.rand(records, 71, device=device) < 0.04).float()
    t = torch.randint(200, (records, 1), device=device).float()
    bases = [(a.to(device), b.to(device)) for a, b in kernel_bases(net, length)]

    def backward(block: Callable[..., tuple[Tensor, Tensor]], kept: bool) -> Tensor:
        how = {"bases": bases, "toeplitz": True} if kept else {}
        weights = effective_weights(net, length, dtype=torch.bfloat16, **how)  # type: ignore[arg-type]
        loss = (denoise(weights, x, biases(net, cond, t), 0.0, block) - z).square().mean()
        loss.backward()
        return loss.detach()

    def step(block: Callable[..., tuple[Tensor, Tensor]], kept: bool) -> None:
        net.zero_grad(set_to_none=True)
        backward(block, kept)

    expected: dict[str, Tensor] = {}
    first = 0.0
    ways = [
        ("plain", residual_block, False),
        ("products", torch.compile(residual_block), True),
        ("kernels", torch.compile(partial(residual_block, convolve=convolve)), True),
    ]
    for way, block, kept in ways if length // config.wavenet_config.patch > MOST_STORED_TOKENS else ways[:2]:
        torch._dynamo.reset()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            seconds = median_seconds(partial(step, block, kept), device, 10)
        except torch.OutOfMemoryError:
            print(f"{name:10s} {way:9s} does not fit")
            continue
        gradients = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
        expected, first = expected or gradients, first or seconds
        apart = torch.cat([(gradients[n] - g).flatten() for n, g in expected.items()]).norm()
        apart /= torch.cat([g.flatten() for g in expected.values()]).norm()
        peak = torch.cuda.max_memory_allocated() / 1e9
        print(
            f"{name:10s} {way:9s} {seconds * 1e3:8.1f} ms {first / seconds:6.2f} x   peak {peak:5.1f} GB   "
            f"gradients apart {float(apart):.1e}",
            flush=True,
        )
    torch.cuda.reset_peak_memory_stats()
    optimizer = torch.optim.Adam(
        net.parameters(), lr=torch.tensor(0.0, device=device), fused=True, capturable=True
    )

    def whole() -> Tensor:
        loss = backward(block, kept)
        optimizer.step()
        return loss

    graph = recorded(whole, optimizer)
    for _ in range(5):
        graph(())
    seconds = median_seconds(lambda: graph(()), device, 10)
    peak = torch.cuda.max_memory_allocated() / 1e9
    print(f"{name:10s} graph     {seconds * 1e3:8.1f} ms {first / seconds:6.2f} x   peak {peak:5.1f} GB")


def main() -> None:
    device = torch.device("cuda")
    print(f"{datetime.date.today()}, {machine(device)}, torch {torch.__version__}, bf16 products")
    with float32_products("high"):
        steps("built-in", BUILT_IN, 256, device)
        steps("published", read_config(PUBLISHED), 16, device)


if __name__ == "__main__":
    main()
