"""State dicts: the size of their network, loading them into it, a compact form, a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from ..models.network import Network
from ..models.parameters import DenoiserConfig

_CONSTANTS = ("B", "P", "Q", "w")  # buffers of an S4 kernel that are the same for all of its features
_BLOCKS = "residual_layer.residual_blocks."


def infer_config(state: Mapping[str, Tensor]) -> DenoiserConfig:
    """Infer the size of the network from the shapes in its state dict. ValueError if it is not SSSD-ECG's network."""
    try:
        blocks = {int(k.split(".")[2]) for k in state if k.startswith(_BLOCKS)}
        for i in range(len(blocks)):
            if i not in blocks:
                raise KeyError(f"{_BLOCKS}{i}")
        first = f"{_BLOCKS}0."
        kernel = first + "S41.s4_layer.kernel.kernel."
        embedding = state.get("embedding.weight")
        patch = max(1, state["init_conv.0.conv.weight_v"].shape[1] // 8)  # of 8 leads
        omega = state.get(kernel + "omega", state.get(_shared_name(kernel + "omega")))
        return DenoiserConfig(
            in_channels=state["init_conv.0.conv.weight_v"].shape[1] // patch,
            out_channels=state["final_conv.2.conv.weight"].shape[0] // patch,
            patch=patch,
            num_res_layers=len(blocks),
            res_channels=state["init_conv.0.conv.weight_v"].shape[0],
            skip_channels=state["final_conv.0.conv.weight_v"].shape[0],
            diffusion_step_embed_dim_in=state["residual_layer.fc_t1.weight"].shape[1],
            diffusion_step_embed_dim_mid=state["residual_layer.fc_t1.weight"].shape[0],
            diffusion_step_embed_dim_out=state["residual_layer.fc_t2.weight"].shape[0],
            s4_lmax=2 * (omega.shape[0] - 1) * patch if omega is not None else 1000,
            s4_d_state=2 * state[kernel + "C"].shape[2],
            s4_bidirectional=state[kernel + "C"].shape[0] == 2,
            s4_layernorm=first + "S41.norm_layer.weight" in state,
            label_embed_dim=embedding.shape[1] if embedding is not None else DenoiserConfig.label_embed_dim,
            label_embed_classes=embedding.shape[0] if embedding is not None else 0,
            attention_every=next(
                (i + 1 for i in sorted(blocks) if f"{_BLOCKS}{i}.attention.output.weight" in state), 0
            ),
        )
    except (KeyError, ValueError, IndexError) as e:
        raise ValueError(
            f"this state dict does not belong to SSSD-ECG's network ({e} is missing or has another shape): expected "
            f"names such as init_conv.0.conv.weight_v; it has {len(state)} entries, and the first are "
            f"{', '.join(list(state)[:3])}"
        ) from None


def load_into(net: Network, state: Mapping[str, Tensor], source: str = "the checkpoint") -> None:
    """Load a state dict into `net`. Every entry must fit; constants that are stored once are expanded.

    ValueError names the first entry that is missing, unexpected, of the wrong shape, or not dense, real and finite.
    `net` then stays as it was.
    """
    own = net.state_dict()
    full = {}
    for name, target in own.items():
        value = state.get(name, state.get(_shared_name(name)))
        if value is None:
            raise ValueError(
                f"{source} does not fit the configuration: {name} {tuple(target.shape)} is missing in it"
            )
        if value.is_complex() or value.is_quantized or value.is_meta or value.layout != torch.strided:
            raise ValueError(f"{source} is damaged: {name} is not a dense tensor of real numbers")
        if target.is_floating_point() and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise ValueError(
                f"{source} holds {name} as {kind}; expected floating-point numbers, not quantized ones"
            )
        if name.rsplit(".", 1)[-1] in _CONSTANTS and _expands(value.shape, target.shape):
            value = value.expand(target.shape)
        if value.shape != target.shape:
            raise ValueError(
                f"{source} does not fit the configuration: {name} is {tuple(value.shape)} in the checkpoint and "
                f"{tuple(target.shape)} in the network; give the configuration that the checkpoint was trained with"
            )
        if not _finite(value) and not name.endswith(".z"):
            raise ValueError(f"{source} is damaged: {name} holds values that are not finite")
        full[name] = value.to(target.dtype)
    known = set(own) | {_shared_name(n) for n in own}
    unexpected = [k for k in state if k not in known]
    if unexpected:
        raise ValueError(
            f"{source} does not fit the configuration: it holds {unexpected[0]} {tuple(state[unexpected[0]].shape)} "
            f"(and {len(unexpected) - 1} more) that the network does not have"
        )
    net.load_state_dict(full)


def compact(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state in float16, with the constants that all S4 kernels share stored once, in float32.

    Constants that differ between features or layers are stored in full, so that only the rounding to float16 is lost.
    """
    shared: dict[str, Tensor] = {}
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        short = _shared_name(name)
        if short == name:
            keep = name.endswith("log_dt") or not value.is_floating_point()
            out[name] = value if keep else value.to(torch.float16)
            continue
        row = value if short.endswith(("omega", "z")) else value.narrow(value.ndim - 3, 0, 1)
        first = shared.setdefault(short, row.contiguous().clone())
        if not torch.equal(first.expand(value.shape), value):
            out[name] = value
    return {**out, **shared}


def _finite(value: Tensor) -> bool:
    """Return whether all numbers are finite; their extremes take a tenth of the time that a look at each takes."""
    return not value.numel() or bool(torch.isfinite(torch.stack(value.aminmax())).all())


def _expands(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) == len(target) and all(a in (1, b) for a, b in zip(shape, target, strict=True))


def _shared_name(name: str) -> str:
    """Return the name under which a compact file stores this entry: one for all S4 kernels if it is a constant."""
    head, _, tail = name.rpartition(".")
    return (
        f"s4_constants.{tail}"
        if head.endswith(".kernel.kernel") and tail in (*_CONSTANTS, "omega", "z")
        else name
    )


def state_hash(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the names and values of a state dict. A record's provenance names its model by it."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.view(torch.uint8).numpy().tobytes() if value.ndim else value.numpy().tobytes())
    return digest.hexdigest()
