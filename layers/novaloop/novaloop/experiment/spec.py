"""`experiment.yaml`: what a person may ask for. Everything has a default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from novaloop.datasets.checks import DROPPABLE, Check
from novaloop.datasets.checks import Policy as CheckPolicy
from novaloop.experiment import names
from novaloop.experiment.reward import Reward, reward_problems
from novaloop.metrics.names import ROW_METRICS
from novaloop.recipes.catalog import metric_of
from novaloop.recipes.serverless import carried
from novaloop.rewards.labels import LabelReader
from novaloop.training.health import HealthKind

Labels = tuple[Annotated[str, Field(min_length=1, max_length=100)], ...]
StageName = Annotated[str, Field(description="words of a-z and 0-9 joined by hyphens, at most 16")]
EndpointName = Annotated[
    str, Field(description="words of a-z and 0-9 joined by hyphens, at most 32")
]
SftIll = Literal[HealthKind.LOSS_DIVERGENCE, HealthKind.STALLED_TRAINING]
RftIll = Literal[
    HealthKind.REWARD_COLLAPSE,
    HealthKind.POLICY_INSTABILITY,
    HealthKind.LENGTH_CLIPPING,
    HealthKind.STALLED_TRAINING,
]
GPU_INSTANCE = "ml.p5.48xlarge"
DAY_SECONDS = 86_400
FIELDS_ONLY = "fields only"
"""The validation context in which an ExperimentSpec may contradict itself."""


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


class Role(StrEnum):
    """What a dataset is for; also the name of its file in the inbox."""

    SFT = "sft"
    DPO = "dpo"
    RFT = "rft"
    EVAL = "eval"
    VALIDATION = "validation"
    LLM_JUDGE = "llm-judge"


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


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(_Model):
    """How `data.csv` is divided: counts (whole numbers) or fractions (at most 1 together)."""

    sft: int | float = Field(ge=0)
    eval: int | float = Field(gt=0)
    rft: int | float = Field(ge=0)
    dpo: int | float | None = Field(default=None, ge=0)
    validation: int | float | None = Field(default=None, ge=0)
    seed: int = 7

    @model_validator(mode="after")
    def _counts_or_fractions(self) -> Self:
        shares = self.shares.values()
        counts = all(isinstance(share, int) for share in shares)
        if not counts and (max(shares) > 1 or sum(shares) > 1 + 1e-9):
            raise ValueError("give whole row counts, or fractions that add up to at most 1")
        return self

    @property
    def shares(self) -> dict[str, int | float]:
        """The share of each role that has one; the others come from files of their own."""
        return self.model_dump(exclude={"seed"}, exclude_none=True)


class _Stage(_Model):
    name: StageName

    @field_validator("name")
    @classmethod
    def _legal_name(cls, name: str) -> str:
        if not names.is_name(name, names.MAX_STAGE):
            raise ValueError(
                f"must be at most {names.MAX_STAGE} characters: lower-case letters and digits, "
                "in words joined by single hyphens"
            )
        return name


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


class SftStage(_JobStage):
    """Supervised fine-tuning from the newest checkpoint before this stage."""

    kind: Literal[StageKind.SFT] = StageKind.SFT
    name: StageName = "sft"
    peft: Literal["lora", "full"] = "lora"
    instances: int = Field(default=4, ge=1)
    validation: bool = False
    stop_on: tuple[SftIll, ...] = ()


class DpoStage(_JobStage):
    """Direct preference optimization from the newest checkpoint before this stage."""

    kind: Literal[StageKind.DPO] = StageKind.DPO
    name: StageName = "dpo"
    peft: Literal["lora", "full"] = "lora"
    instances: int = Field(default=4, ge=1)
    validation: bool = False
    stop_on: tuple[SftIll, ...] = ()


class RftStage(_JobStage):
    """Reinforcement fine-tuning with the reward function, from the newest checkpoint."""

    kind: Literal[StageKind.RFT] = StageKind.RFT
    name: StageName = "rft"
    peft: Literal["lora", "full"] = "lora"
    instances: int = Field(default=2, ge=1)
    include_sft_rows: bool = True
    stop_on: tuple[RftIll, ...] = ()


TrainStage = SftStage | DpoStage | RftStage
JobStage = EvaluateStage | TrainStage


class ServingStage(_Stage):
    """What all ways to serve the newest checkpoint have in common: they end."""

    kind: Literal[StageKind.DEPLOY] = StageKind.DEPLOY
    name: StageName = "deploy"
    ttl_hours: float = Field(default=24, gt=0, le=24 * 90)


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

    @field_validator("endpoint")
    @classmethod
    def _legal_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not names.is_name(endpoint, names.MAX_ENDPOINT):
            raise ValueError(
                f"must be at most {names.MAX_ENDPOINT} characters: lower-case letters and digits, "
                "in words joined by single hyphens"
            )
        return endpoint


class OnDemandStage(ServingStage):
    """Serve the newest checkpoint on Bedrock, paid by the token."""

    to: Literal["bedrock-on-demand"]


class ProvisionedStage(ServingStage):
    """Serve the newest checkpoint on Bedrock, paid by the hour and model unit."""

    to: Literal["bedrock-provisioned"]
    model_units: int = Field(default=1, ge=1)


ServingPlan = DeployStage | OnDemandStage | ProvisionedStage
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


class Gate(_Model):
    """What the last evaluation must show before anything is deployed."""

    evaluation: str | None = None
    metric: str = "exact_match"
    at_least: float | None = None
    better_than: str | None = None
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    class_floors: Mapping[str, float] = Field(default_factory=dict)
    max_format_failures: float | None = Field(default=None, ge=0, le=1)
    max_truncated: float | None = Field(default=None, ge=0, le=1)
    when_inconclusive: Literal["hold", "promote"] = "hold"


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


def _plan_of(fields: dict[str, Any]) -> tuple[StagePlan, ...]:
    return default_plan(fields.get("runtime", Runtime.TRAINING_JOB))


class ExperimentSpec(_Model):
    """One experiment, as asked for in `experiment.yaml`."""

    model: Literal["nova-micro", "nova-lite", "nova-pro", "nova-lite-2"] = "nova-lite-2"
    runtime: Runtime = Runtime.TRAINING_JOB
    columns: Mapping[str, str | None] = Field(default_factory=dict)
    system_prompt: str | None = Field(default=None, min_length=1)
    labels: Labels = ()
    reward: Reward | None = None
    encoding: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    max_rejects: int = Field(default=0, ge=0)
    split: Split | None = None
    checks: Mapping[Check, CheckPolicy] = Field(default_factory=dict)
    checkpoint: str | None = None
    plan: tuple[StagePlan, ...] = Field(default_factory=_plan_of, min_length=1, max_length=20)
    gate: Gate | None = None
    approval: Literal["auto", "manual"] = "auto"
    budget_usd: float | None = Field(default=None, gt=0)
    dry_run: bool = False
    report_rows: bool = True

    @field_validator("labels")
    @classmethod
    def _distinct_labels(cls, labels: Labels) -> Labels:
        if len(labels) == 1:
            raise ValueError("a classification needs at least two labels")
        if labels:
            LabelReader(labels)
        return labels

    @field_validator("checks")
    @classmethod
    def _policies_that_can_be(cls, checks: Mapping[Check, CheckPolicy]) -> Mapping[Check, Any]:
        wrong = [check for check, to in checks.items() if to == "drop" and check not in DROPPABLE]
        if wrong:
            raise ValueError(f"{wrong[0]} concerns a whole dataset: write refuse or warn")
        return checks

    @field_validator("plan", mode="before")
    @classmethod
    def _one_key_each(cls, plan: object) -> object:
        return [_stage(item) for item in plan] if isinstance(plan, list | tuple) else plan

    @model_validator(mode="after")
    def _plan_makes_sense(self, info: ValidationInfo) -> Self:
        problems = self.contradictions() if info.context != FIELDS_ONLY else []
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def contradictions(self) -> list[str]:
        """Return where settings that are fine by themselves can't be meant together."""
        return [
            *_name_problems(self),
            *_order_problems(self),
            *_gate_problems(self),
            *_check_problems(self),
            *_deploy_problems(self),
            *reward_problems(self.reward, self.labels),
        ]


def _stage(item: object) -> object:
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


def _name_problems(spec: ExperimentSpec) -> list[str]:
    uses = Counter(stage.name for stage in spec.plan)
    twice = sorted(name for name, count in uses.items() if count > 1)
    return [f"plan: two stages are called {name}; give each its own name" for name in twice]


def _order_problems(spec: ExperimentSpec) -> list[str]:
    """Check what the service documents: an SFT can't follow an RFT, LoRA stays LoRA."""
    problems: list[str] = []
    trained: list[TrainStage] = []
    for index, stage in enumerate(spec.plan):
        where = f"plan[{index}].{stage.kind}"
        if isinstance(stage, SftStage) and any(isinstance(past, RftStage) for past in trained):
            problems.append(f"{where}: supervised fine-tuning can't follow reinforcement")
        if isinstance(stage, TrainStage):
            if trained and trained[-1].peft != stage.peft:
                problems.append(f"{where}: peft must stay {trained[-1].peft} along the plan")
            trained.append(stage)
        if isinstance(stage, ServingStage) and not trained and spec.checkpoint is None:
            problems.append(f"{where}: nothing was trained before it, so there is no checkpoint")
        if isinstance(stage, ServingStage) and index != len(spec.plan) - 1:
            problems.append(f"{where}: deploy must be the last stage")
    return problems


def _deploy_problems(spec: ExperimentSpec) -> list[str]:
    return [
        f"plan[{index}].deploy: endpoint can't be combined with inference_component: an update in "
        "place replaces the machines, and with them every component on them; leave out one of both"
        for index, stage in enumerate(spec.plan)
        if isinstance(stage, DeployStage) and stage.endpoint and stage.inference_component
    ]


def _check_problems(spec: ExperimentSpec) -> list[str]:
    if spec.split is None:
        return []
    dropped = [check for check, policy in spec.checks.items() if policy == "drop"]
    advice = "drop needs eval as a file of its own; with split, write refuse or warn"
    return [f"checks.{check}: {advice}" for check in dropped]


def _gate_problems(spec: ExperimentSpec) -> list[str]:
    if spec.gate is None:
        return []
    unknown = sorted(set(spec.gate.class_floors) - set(spec.labels))
    problems = [f"gate.class_floors: {label} is not one of labels" for label in unknown]
    evaluations = {stage.name: stage for stage in spec.plan if isinstance(stage, EvaluateStage)}
    if not evaluations:
        return ["gate: the plan has no evaluation to judge", *problems]
    judged = spec.gate.evaluation or next(reversed(evaluations))
    if judged not in evaluations:
        return [f"gate.evaluation: no evaluation is called {judged}", *problems]
    names = list(evaluations)
    earlier = {name: evaluations[name] for name in names[: names.index(judged)]}
    return [
        *_comparison_problems(spec.gate.better_than, evaluations[judged], earlier),
        *_measurement_problems(spec.gate, evaluations[judged]),
        *problems,
    ]


def _comparison_problems(
    against: str | None, judged: EvaluateStage, earlier: Mapping[str, EvaluateStage]
) -> list[str]:
    where = "gate.better_than"
    if against is None:
        return []
    if against not in earlier:
        return [f"{where}: no earlier evaluation is called {against}"]
    if judged.task in JUDGES:
        return [f"{where}: {judged.task} judges the answers in the dataset, not the model's"]
    other = earlier[against]
    if (other.task, other.subtask) != (judged.task, judged.subtask):
        asked, had = (" ".join(filter(None, (s.task, s.subtask))) for s in (judged, other))
        return [f"{where}: {judged.name} runs {asked}, but {against} ran {had}"]
    return []


def _measurement_problems(gate: Gate, judged: EvaluateStage) -> list[str]:
    """Check that what is asked for can be measured, as far as the names are known."""
    of_rows = gate.metric in ROW_METRICS and gate.metric != metric_of(judged.task)
    asked = {
        f"metric: {gate.metric}": of_rows,
        "class_floors": bool(gate.class_floors),
        "max_format_failures": gate.max_format_failures is not None,
        "max_truncated": gate.max_truncated is not None,
    }
    if judged.task is Task.GEN_QA:
        known = gate.metric in ROW_METRICS or judged.processor is not None
        return [] if known else [f"gate.metric: {gate.metric} is none of {', '.join(ROW_METRICS)}"]
    advice = f"{judged.name} runs {judged.task}, which leaves no rows to measure that by"
    return [f"gate.{name}: {advice}" for name, is_asked in asked.items() if is_asked]
