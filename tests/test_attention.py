"""Attention: what it looks at, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch

from sssd.models.attention import HEAD, AttentionLayer, attend, attention, rotate


def layer(channels: int = 64) -> AttentionLayer:
    torch.manual_seed(0)
    net = AttentionLayer(channels)
    torch.nn.init.normal_(net.output.weight, std=0.2)
    return net


@torch.no_grad()
def test_it_is_the_textbook_attention_of_each_record() -> None:
    """Heads, softmax and scale written out. Fails if heads, records and times are mixed up by the layout."""
    net, x = layer(), torch.randn(64, 3, 10)  # (C, B, L)
    w = net.weights(10, torch.float32)
    result = attend(x, w, 10)
    for b in range(3):
        tokens = net.norm_layer(x[:, b].T)  # (L, C)
        q, k, v = net.inputs(tokens).view(10, 3, -1, HEAD).permute(1, 2, 0, 3)  # (heads, L, d)
        q, k = (rotate(u, *w.rotation) for u in (q, k))
        y = ((q @ k.mT) * HEAD**-0.5).softmax(-1) @ v
        expected = x[:, b].T + net.output(y.transpose(0, 1).flatten(1))
        torch.testing.assert_close(result[:, b].T, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_padding_stays_and_does_not_enter() -> None:
    """Fails if keys beyond the end of the record are looked at."""
    w, x = layer().weights(7, torch.float32), torch.randn(64, 2, 8)
    other = x.clone()
    other[..., 7:] = 100.0
    a, b = attend(x, w, 7), attend(other, w, 7)
    assert torch.equal(a[..., :7], b[..., :7]) and torch.equal(b[..., 7:], other[..., 7:])


@torch.no_grad()
def test_only_intervals_count() -> None:
    """Queries and keys moved together by 5 tokens meet as before. Fails if times are added instead of rotated."""
    cos, sin = layer().weights(40, torch.float32).rotation
    q, k = torch.randn(2, 1, 1, 30, HEAD)
    here = rotate(q, cos[:30], sin[:30]) @ rotate(k, cos[:30], sin[:30]).mT
    later = rotate(q, cos[5:35], sin[5:35]) @ rotate(k, cos[5:35], sin[5:35]).mT
    torch.testing.assert_close(here, later, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(here, q @ k.mT, atol=1e-2)


@torch.no_grad()
def test_it_looks_at_the_whole_record() -> None:
    """Fails if attention were causal or local."""
    qkv, rotation = torch.randn(3, 1, 2, 50, HEAD), layer().weights(50, torch.float32).rotation
    far = qkv.clone()
    far[:, :, :, -1] += 1.0
    assert (attention(far, rotation)[..., 0, :] != attention(qkv, rotation)[..., 0, :]).any()


def test_it_begins_as_nothing() -> None:
    """Fails if a network given attention does not begin as the one without."""
    x = torch.randn(32, 2, 9)
    assert torch.equal(attend(x, AttentionLayer(32).weights(9, torch.float32), 9), x)


def test_heads_have_32_channels() -> None:
    with pytest.raises(ValueError, match="expects a multiple of 32"):
        AttentionLayer(48)
