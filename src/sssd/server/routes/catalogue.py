"""The routes that list what can be asked for: statements and models, and what is unusual together."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ... import mix, words
from ...labels import CODES, find
from ...presets import BUILTIN
from ...sampling import Sampling
from ..answers import Hints, Label, Model, Quality
from ..errors import problems
from ..generator import Generator
from ..settings import Settings
from ..work import Plan


class Understood(BaseModel):
    """What a sentence asks for, as far as the model can be asked for it."""

    statements: Annotated[list[str], Field(description="Codes, in the order of the sentence")]
    age: float | None
    sex: str | None
    heart_rate: float | None
    denied: Annotated[list[str], Field(description="Statements that the sentence denies")]
    left: Annotated[list[str], Field(description="Words that were not understood")]
    said: Annotated[
        list[str], Field(description="In words, what was understood and what was not, a line for each")
    ]


def catalogue(generator: Generator, settings: Settings) -> APIRouter:
    """Return what can be asked for: statements and models."""
    router = APIRouter(prefix="/v1", tags=["catalogue"])

    @router.get("/labels", summary="List the statements", responses=problems(401, 429))
    async def labels() -> list[Label]:
        return generator.labels

    @router.get("/labels/hints", summary="Ask what is unusual together", responses=problems(401, 422, 429))
    async def hints(
        statements: Annotated[
            str, Query(max_length=800, description="Statements, joined by commas", examples=["SBRAD,STACH"])
        ] = "",
        heart_rate: Annotated[
            float | None,
            Query(
                ge=25,
                le=250,
                description="The heart rate in beats per minute that is asked for too",
                examples=[50],
            ),
        ] = None,
    ) -> Hints:
        """Say what recordings hardly ever carry together, and what contradicts the heart rate.

        For models with other training data, nothing is said.
        """
        if generator.name != BUILTIN:
            return Hints(hints=[])
        try:
            codes = [CODES[find(name)] for name in statements.split(",") if name.strip()]
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return Hints(hints=mix.hints(list(dict.fromkeys(codes)), heart_rate))

    @router.get("/understand", summary="Ask what a sentence asks for", responses=problems(401, 422, 429))
    async def understand(
        text: Annotated[
            str,
            Query(
                max_length=400,
                description="A sentence with statements, age, sex and heart rate, as `generate --text` takes it",
                examples=["70-year-old woman, atrial fibrillation, rate about 120"],
            ),
        ] = "",
    ) -> Understood:
        """Say what is understood of a sentence, and what is not. This is a search for known words."""
        try:
            told = words.told(text, generator.model.label_names, takes=generator.model.classes.takes)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return Understood(**told)

    @router.get("/models", summary="List the models", responses=problems(401, 429))
    async def models() -> list[Model]:
        return [describe(generator, settings)]

    return router


def describe(generator: Generator, settings: Settings) -> Model:
    """Return what the service says of its model."""
    model, default = generator.model, generator.default.sampling
    return Model(
        name=generator.name,
        hash=generator.hash,
        statements=len(model.label_names),
        age=model.takes_patient,
        sex=model.takes_patient,
        heart_rate=model.takes_heart_rate,
        qualities=[_quality(name, plan) for name, plan in generator.qualities.items()],
        samplers=generator.samplers,
        steps_max=model.schedule.T,
        fitted_steps=[len(fit.steps) for fit in model.config.ddim_config.fits],
        default={"sampler": default.sampler, "steps": default.steps, "eta": _eta(default)},
        fs_hz=model.fs_hz,
        rates_hz=generator.rates_hz,
        samples=model.shape[1],
        device=model.device.type,
        precision=generator.precision,
        records_max=settings.records,
        job_records_max=settings.job_records,
    )


def _quality(name: str, plan: Plan) -> Quality:
    return Quality(
        name=name,
        sampler=plan.sampling.sampler,
        steps=plan.steps,
        eta=_eta(plan.sampling),
    )


def _eta(sampling: Sampling) -> float:
    """Return the eta of a sampling as the interface gives it: that of DDIM, 1 for DDPM, and 0 for all others."""
    return 1.0 if sampling.sampler == "ddpm" else sampling.eta or 0.0
