"""How large the activations of a network are: how many records are computed, and kept, at once depends on it."""

from __future__ import annotations

from ..config.schema import TransformerConfig
from .parameters import DenoiserConfig

LAYER_BYTES = 64  # for each element: in S4, spectra at twice the length, their product and signals


def layer_elements(config: DenoiserConfig | TransformerConfig, length: int) -> int:
    """Return the elements of the widest tensor of one layer, for a record of `length` samples."""
    channels = config.width if isinstance(config, TransformerConfig) else config.res_channels
    return 2 * channels * -(-length // config.patch)


def layer_bytes(config: DenoiserConfig | TransformerConfig, length: int) -> int:
    """Estimate the bytes of the activations of one layer, for a record of `length` samples."""
    return LAYER_BYTES * layer_elements(config, length)


def activation_bytes(config: DenoiserConfig | TransformerConfig, records: int, length: int) -> int:
    """Estimate the bytes of the activations of one evaluation of `records` records of `length` samples.

    They are those of one layer and, in S4, the gates of all blocks in bf16: half as many elements, of 2 bytes each.
    """
    blocks = 0 if isinstance(config, TransformerConfig) else config.num_res_layers
    return records * (layer_bytes(config, length) + blocks * layer_elements(config, length))
