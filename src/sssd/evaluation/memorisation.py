"""Memorisation: are generated records nearer to the training records than unseen real records are?

Each record is centred per lead and scaled to unit energy over all leads. rho of two records is the largest
value, over all circular shifts in time, of their cross-correlation summed over leads; their distance
sqrt(2 - 2 rho) is the Euclidean distance at the best shift. It is 0 for a copy, even a shifted or rescaled one,
and about sqrt(2) for records that have nothing in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.precision import float32_products
from ..models.settings import isolated
from .auc import weighted_auc

FloatArray = NDArray[np.floating]

_QUERIES = 16  # records compared with the whole training set at a time: about 0.5 GB for 3,400 x 1000 samples


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training record, of generated records and of real ones kept from training.

    median: generated median over held-out median; well below 1 means copies.
    share_near: share of generated records nearer than the 1st percentile of the held-out; 0.01 is expected.
    closest: the smallest generated distance over the smallest held-out distance.
    """

    median: float
    share_near: float
    closest: float


@isolated()
@float32_products("highest")
@torch.no_grad()
def nearest(
    x: FloatArray, training: FloatArray, *, device: str | torch.device = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distance of each record to its nearest training record, and that record's row: (n, C, L), (m, C, L).

    Returns (n,) distances in 0..2 and (n,) rows. ValueError for sets of different leads or lengths.
    """
    if x.ndim != 3 or training.ndim != 3 or x.shape[1:] != training.shape[1:] or not len(training):
        raise ValueError(
            f"records of {x.shape} cannot be compared with training records of {training.shape}: "
            "give (records, leads, samples), the same leads and length in both"
        )
    length = x.shape[-1]
    library = _spectra(training, device).conj().permute(2, 1, 0).resolve_conj().contiguous()  # (F, C, m)
    similarity, row = [], []
    for start in range(0, len(x), _QUERIES):
        query = _spectra(x[start : start + _QUERIES], device).permute(2, 0, 1)  # (F, q, C)
        rho = torch.fft.irfft(query @ library, length, dim=0).amax(dim=0)  # (q, m), the best circular shift
        best = rho.max(dim=1)
        similarity.append(best.values)
        row.append(best.indices)
    rho = torch.cat(similarity).double().cpu().clamp(-1.0, 1.0)
    return torch.sqrt(2.0 - 2.0 * rho).numpy(), torch.cat(row).cpu().numpy()


def compare(generated: NDArray[np.float64], held_out: NDArray[np.float64]) -> Memorisation:
    """Return a summary of two sets of nearest distances, generated (n,) against held-out real (m,)."""
    return Memorisation(
        median=float(np.median(generated) / np.median(held_out)),
        share_near=float(np.mean(generated < np.percentile(held_out, 1))),
        closest=float(generated.min() / held_out.min()),
    )


def membership_auc(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return how well the distance to the nearest generated record tells training records from unseen real ones.

    members (n,), others (m,): distances of training and of held-out records. The area under the ROC curve of calling
    the nearer one a member: 0.5 where generated records give nothing away.
    """
    y = np.append(np.ones(len(members), np.int64), np.zeros(len(others), np.int64))
    score = -np.append(members, others)
    return float(weighted_auc(y, score, np.ones((1, len(y))))[0])


def _spectra(x: FloatArray, device: str | torch.device) -> torch.Tensor:
    """Return spectra (n, C, F) of the records after centring and scaling to unit energy."""
    signal = torch.as_tensor(np.asarray(x, dtype=np.float32), device=device)
    signal = signal - signal.mean(dim=-1, keepdim=True)
    energy = torch.linalg.vector_norm(signal, dim=(1, 2), keepdim=True)
    spectra: torch.Tensor = torch.fft.rfft(signal / energy.clamp_min(1e-6))
    return spectra
