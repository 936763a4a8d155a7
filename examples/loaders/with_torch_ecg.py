"""A corpus with a network of torch_ecg: python examples/loaders/with_torch_ecg.py CORPUS"""

import sys

import torch
from torch_ecg.cfg import CFG
from torch_ecg.model_configs import ECG_CRNN_CONFIG
from torch_ecg.models import ECG_CRNN

import sssd.corpus


def load(corpus: str) -> tuple[torch.utils.data.DataLoader, ECG_CRNN]:
    records = sssd.corpus.open(corpus)  # a PyTorch dataset
    network = ECG_CRNN(records.label_names, n_leads=12, config=CFG(ECG_CRNN_CONFIG))
    return torch.utils.data.DataLoader(records, batch_size=8, shuffle=True), network


if __name__ == "__main__":
    loader, network = load(sys.argv[1])
    batch = next(iter(loader))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(network(batch["signal"]), batch["labels"])
    print(batch["signal"].shape, f"loss {loss:.3f}")
