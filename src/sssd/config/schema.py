"""What a configuration file may say: SSSD-ECG's sections and keys, and ours beside them.

Every other key is refused. Five keys of SSSD-ECG are accepted so that its published file can be loaded as it is, but
nothing here reads them: see `UNUSED`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..checks import counted
from ..patient import Takes
from .json_text import parse_json
from .names import Other, Spacing

HERE = Path(__file__).parent
PUBLISHED = HERE / "config_SSSD_ECG.json"
DEFAULT = HERE / "default.json"

# Where SSSD-ECG writes to and loads from, and its name of the data; here these are arguments of the commands.
UNUSED = {
    "train_config": ("output_directory", "ckpt_iter"),
    "trainset_config": ("finetune_dataset",),
    "gen_config": ("output_directory", "ckpt_path"),
}

LATER = (  # keys that earlier versions do not know, by section; they are written if they are not false or 0
    ("trainset_config", "heart_rate"),
    ("trainset_config", "variability"),
    ("trainset_config", "emphasis"),
    ("transformer_config", "heart_rates"),
    ("transformer_config", "edge"),
    ("transformer_config", "slow"),
)

Count = Annotated[int, Field(ge=1)]

# What sssd.samplers.key_of writes; DDPM has no gains.
SAMPLER_KEY = re.compile(
    rf"(ddim|{'|'.join(get_args(Other))})[1-9][0-9]*(_eta[0-9.e-]+)?(_({'|'.join(get_args(Spacing))}))?"
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DiffusionConfig(_Section):
    """The noise schedule, and what the network predicts.

    beta rises linearly from beta_0 to beta_T in T steps; the schedule is rescaled to end at alpha = terminal_alpha if
    that is given. With sigma_min, sigma_max and rho, which go together, the schedule is that of sssd.schedule.karras,
    and beta_0 and beta_T have no effect. prediction: "eps", the noise, or "v", the velocity.
    """

    T: Annotated[int, Field(ge=2)] = 200
    beta_0: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    beta_T: Annotated[float, Field(gt=0, lt=1)] = 0.02
    terminal_alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    sigma_min: Annotated[float, Field(gt=0)] | None = None
    sigma_max: Annotated[float, Field(gt=0)] | None = None
    rho: Annotated[float, Field(gt=0)] | None = None
    prediction: Literal["eps", "v"] = "eps"

    @model_validator(mode="after")
    def _one_schedule(self) -> DiffusionConfig:
        levels = {name: getattr(self, name) for name in ("sigma_min", "sigma_max", "rho")}
        missing = [name for name, value in levels.items() if value is None]
        if 0 < len(missing) < len(levels):
            raise ValueError(
                f"diffusion_config lacks {' and '.join(missing)}: sigma_min, sigma_max and rho go together"
            )
        if missing:
            return self
        if self.terminal_alpha is not None:
            raise ValueError(
                "diffusion_config has terminal_alpha and sigma_max: each says how the schedule ends, so leave one out"
            )
        if levels["sigma_min"] >= levels["sigma_max"]:
            raise ValueError(
                f"diffusion_config.sigma_min is {self.sigma_min} and sigma_max is {self.sigma_max}: "
                "expected sigma_min below sigma_max"
            )
        return self


class WavenetConfig(_Section):
    """The network; see sssd.models.parameters.DenoiserConfig."""

    in_channels: Literal[8] = 8
    out_channels: Literal[8] = 8
    num_res_layers: Count = 36
    res_channels: Count = 256
    skip_channels: Count = 256
    diffusion_step_embed_dim_in: Annotated[int, Field(ge=4, multiple_of=2)] = 128
    diffusion_step_embed_dim_mid: Count = 512
    diffusion_step_embed_dim_out: Count = 512
    s4_lmax: Annotated[int, Field(ge=2)] = 1000
    s4_d_state: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    s4_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    s4_bidirectional: bool = True
    s4_layernorm: bool = True
    label_embed_dim: Count = 128
    label_embed_classes: Annotated[int, Field(ge=0)] = 71
    patch: Count = 1
    attention_every: Annotated[int, Field(ge=0)] = 0


class TransformerConfig(_Section):
    """The transformer (sssd.models.transformer), which takes the place of wavenet_config's network.

    label_embed_classes is still the one of wavenet_config.

    width          channels of a token; patch: samples of a token
    embed          width of the embedding of step, statements and patient
    sources        names of the sets of recordings that it was trained on, if there are several; records are generated
                   in the style of the first
    circumstances  rows of the table of recordings' circumstances that is kept with the weights (sssd.circumstances);
                   0 for a network that is not conditioned on them
    edge           whether these also say what is left at 48 to 50 Hz, where the filters of recordings end
    slow           whether they say, beside the edge, what there is from 0.5 to 1 Hz
    heart_rates    whether the heart rates of the same recordings are kept too, and drawn where none is asked for
    """

    width: Count = 256
    layers: Count = 12
    heads: Count = 8
    patch: Count = 8
    embed: Count = 256
    sources: list[str] = []
    circumstances: Annotated[int, Field(ge=0)] = 0
    edge: bool = False
    slow: bool = False
    heart_rates: bool = False

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> TransformerConfig:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"transformer_config.width is {self.width}: expected a multiple of {2 * self.heads}, twice the heads"
            )
        if self.slow and not self.edge:
            raise ValueError("transformer_config.slow is true and edge false: expected both, or edge alone")
        return self


# Guidance (Ho and Salimans 2022): a strength, 1 for none, or pairs of a sigma / alpha and the strength from there on.
Strength = Annotated[float, Field(ge=1)]
Guidance = Strength | Annotated[list[tuple[Annotated[float, Field(ge=0)], Strength]], Field(min_length=1)]


class TrainConfig(_Section):
    """Training.

    batch_size       records of one step, over all devices together
    guidance         the network learns what the one it started from predicts under this guidance
    heart_rate_guidance   the same for what a known heart rate changes; without it, it is guided as the rest. With it,
                     guidance is for what statements change where the heart rate is known
    circumstances_guidance   the same for what known circumstances change; without it, they are not guided
    edm_weighting    weighs the loss of each diffusion step as EDM does (Karras et al. 2022); a transformer always does
    output_directory, ckpt_iter   not used, see `UNUSED`
    focus            only in checkpoints of earlier versions
    """

    output_directory: str = "sssd_label_cond"
    ckpt_iter: Literal["max"] | int = "max"
    iters_per_ckpt: Count = 4000
    iters_per_logging: Count = 100
    n_iters: Count = 100_000
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    batch_size: Count = 8
    warmup_iters: Annotated[int, Field(ge=0)] = 0
    decay: bool = False
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["float32", "bf16"] = "float32"
    edm_weighting: bool = False
    augment: bool = False
    focus: dict[str, Any] | None = None
    guidance: Guidance | None = None
    heart_rate_guidance: Guidance | None = None
    circumstances_guidance: Guidance | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _other_guidance_needs_guidance(self) -> TrainConfig:
        for name in ("heart_rate_guidance", "circumstances_guidance"):
            if getattr(self, name) is not None and self.guidance is None:
                raise ValueError(
                    f"train_config has {name} and no guidance, without which it has no effect: give guidance too (1 "
                    f"for none), or leave {name} out"
                )
        return self


class TrainsetConfig(_Section):
    """The records.

    segment_length   samples of a record; sampling_rate: of them in a second
    lead_scale_mv    (8,) the voltages in mV that are 1 to the network; without them it works in mV
    emphasis         whether the network works on records whose high frequencies are raised (sssd.scale)
    mean             the share of a lead's mean that remains of what the network makes (sssd.scale); needs `emphasis`
    converter        whether records get the steps of the converter that recorded PTB-XL (sssd.converter)
    label_names      names of the classes
    patient          whether four classes behind the labels are the patient's age and sex (sssd.patient)
    heart_rate       whether two classes of the network are the heart rate, behind those of `patient`
    variability      whether the last two are how much the RR interval varies, which is drawn with the heart rate
    finetune_dataset not used, see `UNUSED`
    """

    segment_length: Annotated[int, Field(ge=2)] = 1000
    sampling_rate: Annotated[float, Field(gt=0)] = 100
    finetune_dataset: str = "ptbxl_all"
    lead_scale_mv: (
        Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=8, max_length=8)] | None
    ) = None
    emphasis: bool = False
    mean: Annotated[float, Field(gt=0, le=1)] | None = None
    converter: bool = False
    label_names: list[str] | None = None
    patient: bool = False
    heart_rate: bool = False
    variability: bool = False

    @model_validator(mode="after")
    def _mean_needs_emphasis(self) -> TrainsetConfig:
        if self.mean is not None and not self.emphasis:
            raise ValueError(f"mean is {self.mean}: only networks with emphasis have it")
        return self

    @model_validator(mode="after")
    def _converter_needs_its_rate(self) -> TrainsetConfig:
        if self.converter and self.sampling_rate != 100:
            raise ValueError(
                f"converter is true and sampling_rate {self.sampling_rate:g}: only records at 100 Hz get its steps"
            )
        return self

    @property
    def takes(self) -> Takes:
        """Which of the network's classes are no labels."""
        return Takes(self.patient, self.heart_rate, self.variability)


class GenConfig(_Section):
    """A section of SSSD-ECG that is not used, see `UNUSED`."""

    output_directory: str = "sssd_label_cond"
    ckpt_path: str = "sssd_label_cond/"


class Fit(_Section):
    """A solver that was fitted to the network, with one value per step in each list (sssd.samplers.fitted)."""

    steps: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    eta: list[Annotated[float, Field(ge=0, le=1)]]
    slope: list[float]
    before: list[float]

    @model_validator(mode="after")
    def _one_value_per_step(self) -> Fit:
        for name in ("eta", "slope", "before"):
            found = len(getattr(self, name))
            if found != len(self.steps):
                raise ValueError(
                    f"{name} of a fit in ddim_config.fits has {counted(found, 'value')}: expected {len(self.steps)}, "
                    "one for each of its steps"
                )
        return self


class DdimConfig(_Section):
    """How records are sampled unless the caller says otherwise.

    use_ddim    DDIM with ddim_timesteps steps and ddim_eta (Song et al. 2021), or else DDPM with all T steps
    sampler     another sampler, used in place of DDIM
    nodes       the steps at which "consistency" evaluates a distilled network, the noisiest first, in place of evenly
                spaced ones; fewer evaluations take evenly chosen ones of them
    gains       factors for the eight leads by which records are multiplied, for each sampler that the model was
                calibrated for; the keys are those of sssd.samplers.key_of
    fits        fitted solvers of few evaluations, at most one for each number of evaluations
    """

    use_ddim: bool = True
    ddim_timesteps: Count = 50
    ddim_eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    sampler: Other | None = None
    nodes: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    gains: dict[str, Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=8, max_length=8)]] = {}
    fits: list[Fit] = []

    @model_validator(mode="after")
    def _gains_are_of_samplers(self) -> DdimConfig:
        for key in self.gains:
            if not SAMPLER_KEY.fullmatch(key):
                raise ValueError(
                    f"ddim_config.gains has the key {key!r}: expected a sampler and its steps, such as unipc10, "
                    "ddim50_eta1 or sde-dpmpp-2m24_karras"
                )
        return self

    @model_validator(mode="after")
    def _one_fit_for_each_number(self) -> DdimConfig:
        numbers = [len(fit.steps) for fit in self.fits]
        for number in numbers:
            if numbers.count(number) > 1:
                raise ValueError(
                    f"ddim_config.fits has several solvers of {counted(number, 'step')}: expected at most one for each "
                    "number of steps; leave the others out"
                )
        return self


class Config(_Section):
    """A whole configuration. The defaults of every section are SSSD-ECG's published values.

    distill_config is only in checkpoints of earlier versions, and nothing reads it.
    """

    diffusion_config: DiffusionConfig = DiffusionConfig()
    wavenet_config: WavenetConfig = WavenetConfig()
    transformer_config: TransformerConfig | None = None
    train_config: TrainConfig = TrainConfig()
    trainset_config: TrainsetConfig = TrainsetConfig()
    gen_config: GenConfig = GenConfig()
    ddim_config: DdimConfig = DdimConfig()
    distill_config: dict[str, Any] | None = None

    def content(self) -> dict[str, Any]:
        """Return the configuration as it is written to files: JSON values, without the keys that are None.

        None is the default of every key that may be None. A key that an earlier version does not know is therefore in
        a file only if the model needs it, and that version reads all other files. The same holds for `LATER`.
        """
        content = self.model_dump(mode="json", exclude_none=True)
        for section, name in LATER:
            if not content.get(section, {}).get(name, True):
                del content[section][name]
        return content

    @model_validator(mode="after")
    def _steps_fit(self) -> Config:
        steps, t = self.ddim_config.ddim_timesteps, self.diffusion_config.T
        if steps > t:
            raise ValueError(f"ddim_config.ddim_timesteps is {steps}: expected 1..{t} (diffusion_config.T)")
        if self.transformer_config is not None:
            self._check_transformer()
        self._check_nodes()
        rate = self.trainset_config.sampling_rate
        if self.train_config.augment and rate != 100:
            raise ValueError(
                f"train_config.augment is true and trainset_config.sampling_rate {rate:g}: only records at 100 Hz are "
                "augmented; set augment to false"
            )
        names, classes = self.trainset_config.label_names, self.wavenet_config.label_embed_classes
        trainset = self.trainset_config
        behind, what = len(trainset.takes.columns), trainset.takes.in_words
        if classes < behind:
            options = " and ".join(
                f"trainset_config.{name}"
                for name in ("patient", "heart_rate", "variability")
                if getattr(trainset, name)
            )
            raise ValueError(
                f"wavenet_config.label_embed_classes is {classes}: expected at least the {behind} of {what} ({options})"
            )
        if names is not None and len(names) != classes - behind:
            raise ValueError(
                f"trainset_config.label_names has {counted(len(names), 'name')}: expected {classes - behind} "
                "(wavenet_config.label_embed_classes" + (f", less {behind} of {what})" if behind else ")")
            )
        return self

    def _check_nodes(self) -> None:
        nodes, t = self.ddim_config.nodes, self.diffusion_config.T
        if nodes is None:
            return
        if nodes != sorted(set(nodes), reverse=True) or nodes[0] >= t:
            raise ValueError(f"ddim_config.nodes is {nodes}: expected decreasing steps below {t}")

    def _check_transformer(self) -> None:
        if self.diffusion_config.prediction != "v":
            raise ValueError(
                f'diffusion_config.prediction is "{self.diffusion_config.prediction}": expected "v" with '
                "transformer_config, because a transformer predicts the velocity"
            )
        network = self.transformer_config
        if self.trainset_config.variability and (network is None or not network.heart_rates):
            raise ValueError(
                "trainset_config.variability is true: expected transformer_config.heart_rates with it, because it is "
                "drawn with the heart rate"
            )
        if network is not None and network.heart_rates:
            if not (network.circumstances and self.trainset_config.heart_rate):
                raise ValueError(
                    "transformer_config.heart_rates is true: expected transformer_config.circumstances above 0 and "
                    "trainset_config.heart_rate with it"
                )


def read_config(path: str | os.PathLike[str]) -> Config:
    """Read a configuration from a JSON file.

    Comments and trailing commas are allowed, with a warning. FileNotFoundError if there is no file. ValueError names
    the line of a mistake in the JSON, or the key and what it may hold.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no configuration at {path}: give the path of a JSON file such as {PUBLISHED.name}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8: expected a JSON configuration") from None
    return parse_config(text, str(path))


def parse_config(text: str, source: str = "the configuration") -> Config:
    """Return a configuration from JSON text; see `read_config`."""
    content = parse_json(text, source)
    try:
        return Config.model_validate(content)
    except ValidationError as e:
        raise ValueError(f"{source}: {_explain_values(e)}") from None


def _explain_values(error: ValidationError) -> str:
    """Name the first wrong key, its value and what is allowed."""
    problems = error.errors()
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}; {_known_keys(first['loc'])}"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    reasons = dict.fromkeys(p["msg"] for p in problems if p["loc"][:2] == first["loc"][:2])
    return f"{key or 'the file'} is {first['input']!r}: {' or '.join(reasons)}"


def _known_keys(location: tuple[int | str, ...]) -> str:
    section = Config.model_fields.get(str(location[0])) if len(location) > 1 else None
    annotation: Any = Config if section is None else section.annotation
    model = next(a for a in (annotation, *get_args(annotation)) if hasattr(a, "model_fields"))
    return f"expected one of {', '.join(model.model_fields)}"
