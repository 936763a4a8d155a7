"""The samplers' names, for configurations, the command line and the service: nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal

Other = Literal[  # in place of DDIM and of the DDPM of all steps
    "dpmpp-2m", "dpmpp-3m", "dpmpp-3m-exact", "deis", "unipc", "sde-dpmpp-2m", "consistency", "fitted"
]
Sampler = Literal["ddim", "ddpm", Other]
