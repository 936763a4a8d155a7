"""The names that users choose from, and defaults, for configurations, the command line, the service and corpora.

Nothing heavy is imported here.
"""

from __future__ import annotations

from typing import Literal

Other = Literal[  # all but DDIM and DDPM
    "dpmpp-2m",
    "dpmpp-3m",
    "dpmpp-3m-exact",
    "deis",
    "unipc",
    "sde-dpmpp-2m",
    "sde-ode-dpmpp-2m",
    "consistency",
    "fitted",
]
Sampler = Literal["ddim", "ddpm", Other]
Spacing = Literal["uniform", "leading", "trailing", "log_snr", "karras"]
Quality = Literal["draft", "standard", "best"]
Cauchy = Literal["conjugate_pairs", "half_spectrum"]  # see sssd.models.s4
Sex = Literal["female", "male"]
CorpusFormat = Literal["parquet", "hdf5", "npz", "wfdb"]

VARY_STRENGTH = 0.4  # of a variation; docs/recordings.md compares strengths
EDIT_STRENGTH = 0.54  # of an edit; the same
