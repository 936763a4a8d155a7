"""S4 networks for tests: the configuration that earlier versions shipped, and a small network that is quickly made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sssd.config.schema import Config
from sssd.factory import build_network
from sssd.training.checkpoint import save_model

LENGTH = 64
S4: dict[str, Any] = {
    "diffusion_config": {
        "T": 200,
        "beta_0": 0.0001,
        "beta_T": 0.02,
        "terminal_alpha": 0.01,
        "prediction": "v",
    },
    "wavenet_config": {
        "num_res_layers": 11,
        "res_channels": 128,
        "skip_channels": 128,
        "diffusion_step_embed_dim_in": 128,
        "diffusion_step_embed_dim_mid": 128,
        "diffusion_step_embed_dim_out": 128,
        "s4_dropout": 0.05,
        "label_embed_dim": 64,
        "patch": 8,
        "attention_every": 2,
        "label_embed_classes": 75,
    },
    "train_config": {
        "n_iters": 38887,
        "iters_per_ckpt": 2000,
        "batch_size": 512,
        "learning_rate": 0.001,
        "warmup_iters": 500,
        "decay": True,
        "ema_decay": 0.9997,
        "label_dropout": 0.1,
        "gradient_clip": 1.0,
        "precision": "bf16",
        "edm_weighting": True,
        "augment": True,
        "seed": 1,
    },
    "trainset_config": {
        "finetune_dataset": "PTB-XL folds 1-8, public subset of 3,396 records",
        "lead_scale_mv": [0.78, 0.92, 1.36, 1.31, 1.16, 1.11, 0.98, 0.61],
        "patient": True,
    },
    "ddim_config": {"sampler": "sde-dpmpp-2m", "ddim_timesteps": 20},
}


def s4_config() -> Config:
    """The configuration of the S4 network that earlier versions shipped and users' checkpoints have."""
    return Config.model_validate(S4)


def config() -> Config:
    """A small S4 network for records of `LENGTH` samples, sampled by DDIM."""
    content = s4_config().model_dump()
    content["wavenet_config"] |= {
        "num_res_layers": 2,
        "res_channels": 32,
        "skip_channels": 16,
        "s4_d_state": 4,
        "s4_lmax": LENGTH,
        "label_embed_classes": 71,
        "attention_every": 0,
        "patch": 4,
    }
    content["trainset_config"] |= {"segment_length": LENGTH, "patient": False}
    content["ddim_config"] = {}
    return Config.model_validate(content)


def saved(folder: Path, settings: Config) -> Path:
    """A checkpoint of the network that a configuration describes, with weights that do something."""
    torch.manual_seed(0)
    net = build_network(settings)
    torch.nn.init.normal_(net.outer_convs[2].weight, std=0.1)
    return save_model(folder / "network.safetensors", net, settings)


def labels(n: int = 40) -> np.ndarray:
    return (np.random.default_rng(0).random((n, 71)) < 0.1).astype(np.float32)
