"""A network with its configuration and schedule: read from a checkpoint, written to one, and what it is.

`sssd.model_wrapper.SSSDECG` adds generating and the training loss.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import hub, presets
from .checkpoints import card, model_bytes, open_checkpoint, state_hash, write_model
from .config.names import Cauchy
from .config.schema import PUBLISHED, Config, read_config
from .device import choose_device
from .factory import build_network, build_schedule, label_names
from .io.files import write_files
from .models.network import Network
from .models.settings import isolated
from .presets import checkpoint_file
from .request import Classes
from .scale import Scale
from .utils.util import hyperparams_of

if TYPE_CHECKING:
    from typing_extensions import Self

File = str | os.PathLike[str]


class PretrainedModel:
    """A network, its configuration and its schedule.

    config         the configuration (sssd.config.schema.Config)
    model          the network, called as model((x (B, 8, L), cond (B, K), steps (B, 1))) -> eps (B, 8, L)
    schedule       alpha, sigma in float64
    label_names    (K,) names of the classes
    """

    _given: Config | None = None  # the configuration that the caller gave
    _source: Path | None = None  # of the weights

    @isolated()
    def __init__(
        self, config_path: File | Config | None = None, *, device: str | torch.device | None = None
    ) -> None:
        """Make a network with random weights, which `load_checkpoint` replaces.

        config_path: a JSON file or a Config; by default the published configuration. device: by default CUDA, else MPS,
        else the CPU. FileNotFoundError or ValueError if the file is missing or wrong, or there is no such device.
        """
        chosen = choose_device(device)
        config = config_path if isinstance(config_path, Config) else read_config(config_path or PUBLISHED)
        self._given = None if config_path is None else config
        self._set(config, build_network(config).to(chosen))

    @classmethod
    @isolated()
    def from_pretrained(
        cls,
        path: File | None = None,
        *,
        config: File | Config | None = None,
        cauchy: Cauchy | None = None,
        device: str | torch.device | None = None,
        revision: str | None = None,
        sha256: str | None = None,
        cache_dir: File | None = None,
        local_files_only: bool = False,
        token: str | None = None,
    ) -> Self:
        """Load the built-in model, or another checkpoint as `load_checkpoint` does.

        path: a file, or a folder that `save_pretrained` wrote. A text "org/name" that is neither names a model at the
            Hugging Face Hub, and so does "hf://org/name@revision"; see `sssd.hub.fetch` for its errors.
        config: a JSON file or a Config that the checkpoint must fit; by default the file's own, or the one inferred.
        revision: a branch, a tag or a commit at the Hub. cache_dir, local_files_only, token: see huggingface_hub.
        sha256: of the weights, as `model_hash` and the provenance of records have it. ValueError if it is another.
        """
        named = hub.as_name(path)
        if named is not None:
            asked = revision if named[1] is None else named[1]
            if revision is not None and revision != asked:
                raise ValueError(
                    f"revision is {revision!r}, and {path!r} names {asked!r}: give one of the two"
                )
            path = hub.fetch(
                named[0],
                revision=asked,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                token=token,
            )
        elif revision is not None:
            raise ValueError(f"revision is {revision!r}, and {path!r} is no model at the Hugging Face Hub")
        model, chosen = cls.__new__(cls), choose_device(device)
        model._given = config if isinstance(config, Config) or config is None else read_config(config)
        checkpoint = open_checkpoint(checkpoint_file(path), model._given, cauchy)
        model._set(checkpoint.config, checkpoint.network().to(chosen), checkpoint.path)
        if sha256 is not None and model.model_hash != sha256.lower():
            raise ValueError(
                f"the weights of {str(checkpoint.path)!r} have the SHA-256 {model.model_hash}; expected {sha256}"
            )
        return model

    def _set(self, config: Config, network: Network, source: Path | None = None) -> None:
        self.config, self.schedule, self.model = config, build_schedule(config), network.eval()
        self._source = source

    @isolated()
    def load_checkpoint(self, path: File, *, cauchy: Cauchy | None = None) -> Self:
        """Load a checkpoint: SSSD-ECG's .pkl, a bare state dict (keys may begin with model. or module.), safetensors.

        It must fit the configuration that was given. Without one, the file's own configuration is used, or else the
        size of the network is inferred from the shapes. `model` stays the same object where the network keeps its size.
        cauchy: "conjugate_pairs" or "half_spectrum"; by default what the file says, or else the first.
        FileNotFoundError or ValueError if the file is missing, damaged or does not fit; the model then stays as it was.
        """
        checkpoint = open_checkpoint(checkpoint_file(path), self._given, cauchy)
        parts = ("wavenet_config", "transformer_config", "diffusion_config")
        if all(getattr(checkpoint.config, part) == getattr(self.config, part) for part in parts):
            network = checkpoint.load_into(self.model)
        else:
            network = checkpoint.network().to(self.device)
        self._set(checkpoint.config, network, checkpoint.path)
        return self

    def save_checkpoint(self, path: File, overwrite: bool = False) -> Path:
        """Write the model with its configuration: as .safetensors, or as .pkl or .pt in SSSD-ECG's form.

        Returns the path. FileExistsError if the file exists and `overwrite` is not set.
        """
        return write_model(Path(path), self.model, self.config, overwrite)

    def save_pretrained(
        self,
        folder: File,
        *,
        name: str | None = None,
        measurements: File | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the model into a folder in the form of the Hugging Face Hub, and return the folder.

        model.safetensors holds the weights and the configuration, config.json the configuration alone, README.md the
        card. name: of the model in its card; by default that of the folder. measurements: a file that `sssd-ecg
        evaluate --json` wrote, whose figures the card shows. FileExistsError if a file exists and `overwrite` is not
        set; ValueError for other measurements.
        """
        folder = Path(folder)
        text = card(
            self.config,
            name=name or folder.resolve().name,
            model_hash=self.model_hash,
            parameters=sum(p.numel() for p in self.model.parameters()),
            shipped=self._source == presets.WEIGHTS,
            measurements=measurements,
        )
        files = {
            hub.FILE: model_bytes(self.model, self.config),
            hub.CONFIG: (json.dumps(self.config.content(), indent=2) + "\n").encode(),
            hub.CARD: text.encode(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_files(folder, files, overwrite=overwrite)
        return folder

    def push_to_hub(
        self,
        name: str,
        *,
        measurements: File | None = None,
        revision: str | None = None,
        private: bool | None = None,
        token: str | None = None,
    ) -> str:
        """Put the files of `save_pretrained` into the model "org/name" of the Hub, and return the commit's address.

        The model is made if it is not there. revision: a branch. OSError if the Hub refuses or cannot be reached.
        """
        with tempfile.TemporaryDirectory(prefix="sssd-ecg-") as folder:
            self.save_pretrained(folder, name=name, measurements=measurements)
            return hub.upload(Path(folder), name, revision=revision, private=private, token=token)

    @property
    def device(self) -> torch.device:
        """Where the network is and records are made."""
        return next(self.model.parameters()).device

    @property
    def label_names(self) -> tuple[str, ...]:
        """(K,) the configuration's names, else PTB-XL's 71 codes where K is 71, else class_0, class_1, ..."""
        return label_names(self.config)

    @property
    def classes(self) -> Classes:
        """What the model can be asked for."""
        named = self.config.trainset_config.label_names is not None
        return Classes(self.label_names, self.config.trainset_config.takes, named=named)

    @property
    def takes_patient(self) -> bool:
        """Whether the model takes a patient's age and sex."""
        return self.config.trainset_config.patient

    @property
    def takes_heart_rate(self) -> bool:
        """Whether the model takes the heart rate of a record."""
        return self.config.trainset_config.heart_rate

    @property
    def model_hash(self) -> str:
        """SHA-256 of the weights. It is computed once, and again after a weight has changed (see `Network.kept`)."""
        return self.model.kept("hash", (), lambda: state_hash(self.model.state_dict()))

    @property
    def diffusion_hyperparams(self) -> dict[str, Any]:
        """The schedule as SSSD-ECG's functions take it: {"T", "Beta", "Alpha", "Alpha_bar", "Sigma"}, (T,) float32."""
        return hyperparams_of(self.config.diffusion_config, self.schedule)

    @property
    def shape(self) -> tuple[int, int]:
        """(8, L) of a record."""
        return 8, self.config.trainset_config.segment_length

    @property
    def fs_hz(self) -> float:
        """The sampling rate of its records."""
        return self.config.trainset_config.sampling_rate

    @property
    def scale(self) -> Scale:
        """The scale on which the network sees records."""
        return Scale.of(self.config.trainset_config)
