"""The user's settings of the agent executor: the table ``[executor]`` of a build with ``kind = "agent"``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dynamic_track.grading.verdict import GradingLimits
from dynamic_track.rehearsal.skills import DEFAULT_SKILLS
from dynamic_track.running.agent import ActionFormat
from dynamic_track.tasks.sources import REHEARSAL
from twinbench.calls.attempts import RetryLimits
from twinbench.containers.container import ContainerLimits
from twinbench.errors import UsageError
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.storage.manifest_files import DEFAULT_LIVE

TABLE = "[executor]"
"""The table of the settings in a build's configuration."""

MAX_MODELS_PER_TIER = 3
"""The largest number of candidates of a tier that are tried (construction.md, "Cascade")."""

_MOST_SEEDS = 1000
_SIMULATED_MEMORY_MIB = 1024
_MEMORY_MIB = 8192

Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
_GATEWAY_KEYS = ("api_base", "api_key_env", "candidate_limits", "call_timeout_s")
_REHEARSAL_KEYS = ("skills", "faults")


class AgentExecutorSettings(BaseModel):
    """Which tasks are executed, by which models, under which limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    provider: Literal["gateway", "rehearsal"]
    """Who answers: an OpenAI-compatible gateway, or the rehearsal's simulated models, which cost nothing."""
    tasks: str = REHEARSAL
    """The set of tasks, as for ``twinbench dynamic run --tasks``."""
    dataset: str | None = None
    """A file from which ``verified`` or ``heldout100`` is read, instead of the hub."""
    only: list[str] = []
    """Globs for the ids of tasks; an empty list selects all tasks."""
    limit: Positive | None = None
    """The largest number of tasks; None: all tasks."""
    seeds: Annotated[int, Field(ge=1, le=_MOST_SEEDS)] | Annotated[list[Natural], Field(min_length=1)] = 1
    """How often each task is labelled anew: 3 means the seeds 0, 1 and 2, a list names the seeds. Session keys follow
    from the seed, and so do the random choices of simulated models."""
    pool: str = DEFAULT_LIVE
    """A live pool: the name of one that comes with twinbench, or a file."""
    models_a_tier: Annotated[int, Field(ge=1, le=MAX_MODELS_PER_TIER)] = MAX_MODELS_PER_TIER
    """How many candidates of a tier are tried, the cheapest first."""
    actions: Literal["tool", "text"] = "tool"
    """How models state the commands to run."""
    reuse_observations: bool = True
    """Whether the output of a command is reused if an earlier execution of the same task, seed and repeat ran the same
    commands up to it; False: each execution is done in full, in its own container."""
    api_base: str | None = None
    """The address of the gateway, such as ``https://host/v1``."""
    api_key_env: str | None = None
    """The environment variable with its key; None for a server that needs no key."""
    candidate_limits: list[str] = []
    """The limits of the gateway, each as ``ID:connections=4,rpm=60,tpm=100000``."""
    call_timeout_s: Annotated[float, Field(ge=0.1)] = RetryLimits.attempt_s
    """The time limit of one attempt, in seconds."""
    skills: str = DEFAULT_SKILLS
    """The simulated models' declared skills, by name or file."""
    faults: str | None = None
    """The share of simulated attempts that fail, and how, such as ``0.1:429,cut``; None: no attempt fails."""
    network: bool = False
    """Whether a task's container has a network."""
    build: bool = False
    """Whether to build images from the tasks' Dockerfiles; those of our own tasks are always built."""
    memory_mib: Positive | None = None
    """The memory limit of a container, in MiB; None: 1,024 with simulated models, otherwise 8,192."""
    min_free_mib: Natural = ContainerLimits.min_free_mib
    """Start no container with less free disk space, in MiB."""
    tests_s: Annotated[float, Field(gt=0)] = GradingLimits.tests_s
    """The time limit of the tests of a patch, in seconds."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.provider == "gateway" and self.api_base is None:
            raise ValueError('api_base is missing: provider = "gateway" needs its address, such as https://host/v1')
        others = _REHEARSAL_KEYS if self.provider == "gateway" else _GATEWAY_KEYS
        if wrong := [name for name in others if name in self.model_fields_set]:
            raise ValueError(f'{wrong[0]} cannot be combined with provider = "{self.provider}"')
        if isinstance(self.seeds, list) and len({*self.seeds}) < len(self.seeds):
            raise ValueError("seeds contains a seed twice")
        return self

    @property
    def all_seeds(self) -> tuple[str, ...]:
        """The seeds as strings, from which session keys are made."""
        return tuple(str(seed) for seed in (range(self.seeds) if isinstance(self.seeds, int) else self.seeds))

    @property
    def action_format(self) -> ActionFormat:
        """How models state the commands to run."""
        return ActionFormat(self.actions)

    @property
    def max_memory_mib(self) -> int:
        """The memory limit of a container, in MiB."""
        usual = _SIMULATED_MEMORY_MIB if self.provider == "rehearsal" else _MEMORY_MIB
        return usual if self.memory_mib is None else self.memory_mib


def read_settings(settings: Mapping[str, Any]) -> AgentExecutorSettings:
    """Read the settings from a table.

    Raises:
        UsageError: a key is unknown, or its value is not valid; all such keys are named.
    """
    try:
        return AgentExecutorSettings.model_validate(settings)
    except ValidationError as error:
        found = [_problem_text(details) for details in error.errors(include_url=False)]
        raise UsageError("\n".join(dict.fromkeys(found))) from None


def _problem_text(details: Any) -> str:
    # Of a key that takes several types there is a finding for each type, with the type's name in its place.
    location = [part for part in details["loc"] if part == details["loc"][0] or isinstance(part, int)]
    place = f"{TABLE} {field_path(location)}: " if location else f"{TABLE} "
    return place + describe_validation_error(details)


@contextmanager
def errors_name_key(key: str, option: str | None = None) -> Iterator[None]:
    """Name the key in errors about its value, where a command line would have named its option.

    Args:
        key: the key of the table.
        option: the name of the option; default: the same as the key.

    Raises:
        UsageError: the error that was raised inside, with the key.
    """
    try:
        yield
    except UsageError as error:
        called = option or f"--{key.replace('_', '-')}"
        lines = [line.removeprefix(f"{called} ") for line in str(error).splitlines()]
        raise UsageError("\n".join(f"{TABLE} {key}: {line}" for line in lines)) from None
