"""The plan of an experiment: the stages that it can hold, and the one that is the default."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from novaloop.experiment import names
from novaloop.problem import Invalid, Problem
from novaloop.training.notes import HealthKind


def _checked(name: str, longest: int) -> str:
    if not names.is_name(name, longest):
        rule = f"must be at most {longest} characters: lower-case letters and digits, "
        raise Invalid(Problem("", f"{rule}in words joined by single hyphens"))
    return name


StageName = Annotated[
    str,
    AfterValidator(partial(_checked, longest=names.MAX_STAGE)),
    Field(description=f"words of a-z and 0-9 joined by hyphens, at most {names.MAX_STAGE}"),
]
EndpointName = Annotated[
    str,
    AfterValidator(partial(_checked, longest=names.MAX_ENDPOINT)),
    Field(description=f"words of a-z and 0-9 joined by hyphens, at most {names.MAX_ENDPOINT}"),
]
LossIll = Literal[HealthKind.LOSS_DIVERGENCE, HealthKind.STALLED_TRAINING]
RewardIll = Literal[
    HealthKind.REWARD_COLLAPSE,
    HealthKind.POLICY_INSTABILITY,
    HealthKind.LENGTH_CLIPPING,
    HealthKind.STALLED_TRAINING,
]
GPU_INSTANCE = "ml.p5.48xlarge"
DAY_SECONDS = 86_400
LONGEST_TTL_HOURS = 24 * 90


class StageKind(StrEnum):
    """The kinds of stage that a plan can hold."""

    EVALUATE = "evaluate"
    SFT = "sft"
    DPO = "dpo"
    RFT = "rft"
    DEPLOY = "deploy"


class Runtime(StrEnum):
    """Where training and evaluation jobs run."""

    TRAINING_JOB = "training-job"
    SERVERLESS = "serverless"
    BEDROCK = "bedrock"


class Task(StrEnum):
    """What an evaluation does, by the name that its recipe gives it."""

    GEN_QA = "gen_qa"
    RFT_EVAL = "rft_eval"
    LLM_JUDGE = "llm_judge"
    RUBRIC_LLM_JUDGE = "rubric_llm_judge"
    MMLU = "mmlu"
    MMLU_PRO = "mmlu_pro"
    BBH = "bbh"
    GPQA = "gpqa"
    MATH = "math"
    STRONG_REJECT = "strong_reject"
    IFEVAL = "ifeval"
    MMMU = "mmmu"


JUDGES = {Task.LLM_JUDGE, Task.RUBRIC_LLM_JUDGE}


class SpecModel(BaseModel):
    """A section of `experiment.yaml`: no unknown keys, and it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class _Stage(SpecModel):
    name: StageName


class _JobStage(_Stage):
    instance_type: str = GPU_INSTANCE
    instances: int = Field(default=1, ge=1)
    image: str | None = None
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    max_runtime_seconds: int = Field(default=DAY_SECONDS, ge=600, le=28 * DAY_SECONDS)


class EvaluateStage(_JobStage):
    """Evaluate the newest checkpoint before this stage, or the base model if there is none."""

    kind: Literal[StageKind.EVALUATE] = StageKind.EVALUATE
    task: Task = Task.GEN_QA
    subtask: str | None = None
    processor: str | None = None


class _TrainStage(_JobStage):
    peft: Literal["lora", "full"] = "lora"


class _OnExamples(_TrainStage):
    instances: int = Field(default=4, ge=1)
    validation: bool = False
    stop_on: tuple[LossIll, ...] = ()


class SftStage(_OnExamples):
    """Supervised fine-tuning from the newest checkpoint before this stage."""

    kind: Literal[StageKind.SFT] = StageKind.SFT
    name: StageName = "sft"


class DpoStage(_OnExamples):
    """Direct preference optimization from the newest checkpoint before this stage."""

    kind: Literal[StageKind.DPO] = StageKind.DPO
    name: StageName = "dpo"


class RftStage(_TrainStage):
    """Reinforcement fine-tuning with the reward function, from the newest checkpoint."""

    kind: Literal[StageKind.RFT] = StageKind.RFT
    name: StageName = "rft"
    instances: int = Field(default=2, ge=1)
    include_sft_rows: bool = True
    stop_on: tuple[RewardIll, ...] = ()


TrainStage = SftStage | DpoStage | RftStage
JobStage = EvaluateStage | TrainStage


class ServingStage(_Stage):
    """What all ways to serve the newest checkpoint have in common: they end."""

    kind: Literal[StageKind.DEPLOY] = StageKind.DEPLOY
    name: StageName = "deploy"
    ttl_hours: float = Field(default=24, gt=0, le=LONGEST_TTL_HOURS)


class DeployStage(ServingStage):
    """Serve the newest checkpoint on a SageMaker endpoint until `ttl_hours` have passed.

    With `endpoint`, serve under that lasting name, in the place of what serves there already.
    """

    to: Literal["sagemaker"] = "sagemaker"
    instance_type: str = GPU_INSTANCE
    instances: int = Field(default=1, ge=1)
    context_length: int = Field(default=12_000, ge=1)
    max_concurrency: int = Field(default=16, ge=1)
    environment: Mapping[str, Any] = Field(default_factory=dict)
    inference_component: bool = False
    endpoint: EndpointName | None = None


class OnDemandStage(ServingStage):
    """Serve the newest checkpoint on Bedrock, paid by the token."""

    to: Literal["bedrock-on-demand"]


class ProvisionedStage(ServingStage):
    """Serve the newest checkpoint on Bedrock, paid by the hour and model unit."""

    to: Literal["bedrock-provisioned"]
    model_units: int = Field(default=1, ge=1)


OnBedrock = OnDemandStage | ProvisionedStage
ServingPlan = DeployStage | OnBedrock
Target = Literal["sagemaker", "bedrock-on-demand", "bedrock-provisioned"]
TARGETS: tuple[Target, ...] = get_args(Target)
BEDROCK_TARGETS = TARGETS[1:]


def _kind_of(stage: object) -> object:
    """Return the tag of a stage: its kind, or for a deployment to Bedrock its target."""
    if isinstance(stage, dict):
        kind, to = stage.get("kind"), stage.get("to")
    else:
        kind, to = getattr(stage, "kind", None), getattr(stage, "to", None)
    return to if kind == StageKind.DEPLOY and to in BEDROCK_TARGETS else kind


StagePlan = Annotated[
    Annotated[EvaluateStage, Tag("evaluate")]
    | Annotated[SftStage, Tag("sft")]
    | Annotated[DpoStage, Tag("dpo")]
    | Annotated[RftStage, Tag("rft")]
    | Annotated[DeployStage, Tag("deploy")]
    | Annotated[OnDemandStage, Tag("bedrock-on-demand")]
    | Annotated[ProvisionedStage, Tag("bedrock-provisioned")],
    Discriminator(_kind_of),
]
SFT_OVERRIDES: Mapping[str, Any] = {
    "lr": 5e-6,
    "warmup_steps": 17,
    "max_steps": 100,
    "global_batch_size": 64,
    "max_length": 8192,
}
RFT_OVERRIDES: Mapping[str, Any] = {
    "lr": 1e-5,
    "number_generation": 4,
    "reasoning_effort": None,
    "max_new_tokens": 50,
    "kl_loss_coef": 0.02,
    "temperature": 1,
    "ent_coeff": 0.01,
    "max_steps": 40,
    "save_steps": 30,
    "top_k": 5,
    "global_batch_size": 64,
}


def default_plan(runtime: Runtime = Runtime.TRAINING_JOB) -> tuple[StagePlan, ...]:
    """Plan the stages of AWS's walkthrough of the Nova Forge SDK.

    Its settings are the walkthrough's too, as far as the runtime can carry them.
    """
    # Whoever reads a plan needs no recipes, which take longer to load than all the rest.
    from novaloop.recipes.serverless import carried  # noqa: PLC0415

    if runtime is Runtime.BEDROCK:
        return (SftStage(), OnDemandStage(to="bedrock-on-demand"))
    serverless = runtime is Runtime.SERVERLESS
    return (
        EvaluateStage(name="baseline"),
        SftStage(overrides=carried("sft-lora", SFT_OVERRIDES) if serverless else SFT_OVERRIDES),
        EvaluateStage(name="after-sft"),
        RftStage(overrides=carried("rft-lora", RFT_OVERRIDES) if serverless else RFT_OVERRIDES),
        EvaluateStage(name="after-rft"),
        DeployStage(),
    )


def tagged(item: object) -> object:
    """Turn `{sft: {...}}`, `{evaluate: name}` or `sft` into the tagged form `{kind: sft, ...}`."""
    if isinstance(item, str):
        return {"kind": item}
    if not isinstance(item, dict) or len(item) != 1 or "kind" in item:
        return item
    ((kind, settings),) = item.items()
    if isinstance(settings, str):
        return {"kind": kind, "name": settings}
    if settings is None:
        return {"kind": kind}
    return {"kind": kind, **settings} if isinstance(settings, dict) else item


def method_of(stage: JobStage) -> str:
    """Return what the recipes call the stage's method."""
    return str(stage.task) if isinstance(stage, EvaluateStage) else f"{stage.kind}-{stage.peft}"
