"""The plan of an experiment: the stages that it can hold, and the one that is the default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from novaloop.datasets.options import RowFormat, SourceFormat
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
LossIll = Literal[HealthKind.LOSS_DIVERGENCE, HealthKind.NO_LEARNING, HealthKind.STALLED_TRAINING]
RewardIll = Literal[
    HealthKind.REWARD_COLLAPSE,
    HealthKind.POLICY_INSTABILITY,
    HealthKind.ENTROPY_COLLAPSE,
    HealthKind.LENGTH_CLIPPING,
    HealthKind.LENGTH_GROWTH,
    HealthKind.NO_LEARNING,
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

    @property
    def trains(self) -> bool:
        """Whether its job makes a checkpoint, from which the stages after it go on."""
        return issubclass(STAGES[self], TrainStage)

    @property
    def is_scored(self) -> bool:
        """Whether the metrics function scores what its job wrote."""
        return issubclass(STAGES[self], EvaluateStage)

    @property
    def serves(self) -> bool:
        """Whether it has no job, but makes what serves, and bills, until it is deleted."""
        return issubclass(STAGES[self], ServingStage)


class Runtime(StrEnum):
    """Where training and evaluation jobs run."""

    has_machines: bool
    """Whether a plan chooses the machines, which have a quota and are billed by the hour."""
    keeps_log: bool
    """Whether a job's log can be read while it runs."""
    leaves_manifest: bool
    """Whether a training's output names its checkpoint; else the service names a model."""

    # All that can be said of one without any recipe, of which a sweep loads none; the rest is in
    # `experiment.runtimes`. Has machines, keeps a log, leaves a manifest:
    TRAINING_JOB = "training-job", True, True, True
    SERVERLESS = "serverless", False, True, False
    BEDROCK = "bedrock", False, False, False

    def __new__(cls, value: str, *traits: bool) -> Self:
        """Make a member, which is its name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.has_machines, member.keeps_log, member.leaves_manifest = traits
        return member


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


class Role(StrEnum):
    """What a dataset is for; also the name of its file in the inbox."""

    SFT = "sft"
    DPO = "dpo"
    RFT = "rft"
    EVAL = "eval"
    VALIDATION = "validation"
    LLM_JUDGE = "llm-judge"


Input = tuple[Role, RowFormat]


def _file_of_answers(name: str) -> str:
    stem = names.stem_of(name)
    is_called = "/" not in name and names.is_name(stem, names.MAX_RECORDED)
    if SourceFormat.of(name) is None or not is_called:
        rule = "must be a file beside experiment.yaml, such as old.jsonl or old.csv, called by"
        what = f"{rule} at most {names.MAX_RECORDED} lower-case letters, digits and hyphens"
        raise Invalid(Problem("", what))
    if stem in {*Role, names.SPLIT_STEM}:
        what = f"is called like the dataset {stem}"
        raise Invalid(Problem("", what, "give the recorded answers another name"))
    return name


RecordedFile = Annotated[
    str,
    AfterValidator(_file_of_answers),
    Field(description="a file of answers in the same folder, JSON Lines or CSV"),
]


class SpecPart(BaseModel):
    """A section of `experiment.yaml`: no unknown keys, and it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class StageSpec(SpecPart):
    """What every stage can be asked; a kind of stage answers what is different with it."""

    on_bedrock: ClassVar[bool] = False
    """Whether it serves on Bedrock, which knows no machines and keeps no log."""
    bills_idle: ClassVar[bool] = False
    """Whether what serves is billed by the hour, asked or not, so that a schedule ends it."""
    name: StageName
    kind: StageKind

    @property
    def method(self) -> str:
        """What the recipes call what it does."""
        raise NotImplementedError

    @property
    def machines(self) -> tuple[str, int] | None:
        """The type and number of machines that it asks for, if it can."""
        return None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What its job reads, one after the other."""
        return ()

    @property
    def validation_input(self) -> Input | None:
        """What its job validates by, in the format that it trains on."""
        return None

    @property
    def processor_function(self) -> str | None:
        """The ARN of the function that its job calls to score answers."""
        return None

    @property
    def stops_on(self) -> tuple[HealthKind, ...]:
        """The findings about its training's health at which it is stopped."""
        return ()

    @property
    def lasting_name(self) -> str | None:
        """The name under which it serves in the place of what serves there already."""
        return None

    @property
    def has_component(self) -> bool:
        """Whether it serves by an inference component, on an endpoint that is made for it."""
        return False

    @property
    def recorded_as(self) -> str | None:
        """The dataset that its answers are, where they were recorded and no job gives them."""
        return None


class JobStage(StageSpec):
    """A stage that is one job: a training or an evaluation."""

    instance_type: str = GPU_INSTANCE
    instances: int = Field(default=1, ge=1)
    image: str | None = None
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    max_runtime_seconds: int = Field(default=DAY_SECONDS, ge=600, le=28 * DAY_SECONDS)

    @property
    def machines(self) -> tuple[str, int]:
        """The type and number of machines that it asks for."""
        return self.instance_type, self.instances


class EvaluateStage(JobStage):
    """Evaluate the newest checkpoint before this stage, or the base model if there is none."""

    kind: Literal[StageKind.EVALUATE] = StageKind.EVALUATE
    task: Task = Task.GEN_QA
    subtask: str | None = None
    processor: str | None = None

    @property
    def method(self) -> str:
        """The task."""
        return str(self.task)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The questions of its task; a benchmark has its own."""
        if self.task is Task.GEN_QA:
            return ((Role.EVAL, RowFormat.EVALUATION),)
        if self.task is Task.RFT_EVAL:
            return ((Role.EVAL, RowFormat.RFT),)
        return ((Role.LLM_JUDGE, RowFormat.LLM_JUDGE),) if self.task in JUDGES else ()

    @property
    def processor_function(self) -> str | None:
        """Its processor."""
        return self.processor


class RecordedStage(StageSpec):
    """Evaluate answers that were recorded anywhere, one for each evaluation row, without a job."""

    task: ClassVar[Task] = Task.GEN_QA
    subtask: ClassVar[str | None] = None
    processor: ClassVar[str | None] = None
    kind: Literal[StageKind.EVALUATE] = StageKind.EVALUATE
    recorded: RecordedFile

    @property
    def method(self) -> str:
        """What its answers were, instead of given by a job."""
        return "recorded"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The questions that were answered, with their reference answers."""
        return ((Role.EVAL, RowFormat.REFERENCE),)

    @property
    def recorded_as(self) -> str:
        """What its file is called, without the extensions."""
        return names.stem_of(self.recorded)


class TrainStage(JobStage):
    """A stage that makes a checkpoint from the newest one before it."""

    peft: Literal["lora", "full"] = "lora"
    stop_on: tuple[HealthKind, ...] = ()

    @property
    def method(self) -> str:
        """The kind of training, and of what it changes."""
        return f"{self.kind}-{self.peft}"

    @property
    def stops_on(self) -> tuple[HealthKind, ...]:
        """What it is told to stop on."""
        return self.stop_on


class _OnExamples(TrainStage):
    instances: int = Field(default=4, ge=1)
    validation: bool = False
    stop_on: tuple[LossIll, ...] = ()

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The examples of its kind."""
        return ((Role(self.kind), RowFormat(self.kind)),)

    @property
    def validation_input(self) -> Input | None:
        """Examples of the same format, if it validates."""
        return (Role.VALIDATION, self.inputs[0][1]) if self.validation else None


class SftStage(_OnExamples):
    """Supervised fine-tuning from the newest checkpoint before this stage."""

    kind: Literal[StageKind.SFT] = StageKind.SFT
    name: StageName = "sft"


class DpoStage(_OnExamples):
    """Direct preference optimization from the newest checkpoint before this stage."""

    kind: Literal[StageKind.DPO] = StageKind.DPO
    name: StageName = "dpo"


class RftStage(TrainStage):
    """Reinforcement fine-tuning with the reward function, from the newest checkpoint."""

    kind: Literal[StageKind.RFT] = StageKind.RFT
    name: StageName = "rft"
    instances: int = Field(default=2, ge=1)
    include_sft_rows: bool = True
    stop_on: tuple[RewardIll, ...] = ()

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Its own prompts, and those of the SFT examples."""
        own = (Role.RFT, RowFormat.RFT)
        return (own, (Role.SFT, RowFormat.RFT)) if self.include_sft_rows else (own,)


class ServingStage(StageSpec):
    """What all ways to serve the newest checkpoint have in common: they end."""

    kind: Literal[StageKind.DEPLOY] = StageKind.DEPLOY
    name: StageName = "deploy"
    ttl_hours: float = Field(default=24, gt=0, le=LONGEST_TTL_HOURS)
    to: str

    @property
    def method(self) -> str:
        """Where it serves."""
        return self.to


class DeployStage(ServingStage):
    """Serve the newest checkpoint on a SageMaker endpoint until `ttl_hours` have passed.

    With `endpoint`, serve under that lasting name, in the place of what serves there already.
    """

    bills_idle: ClassVar[bool] = True
    to: Literal["sagemaker"] = "sagemaker"
    instance_type: str = GPU_INSTANCE
    instances: int = Field(default=1, ge=1)
    context_length: int = Field(default=12_000, ge=1)
    max_concurrency: int = Field(default=16, ge=1)
    environment: Mapping[str, Any] = Field(default_factory=dict)
    inference_component: bool = False
    endpoint: EndpointName | None = None

    @property
    def method(self) -> str:
        """An endpoint, as SageMaker's quotas call it."""
        return "endpoint"

    @property
    def machines(self) -> tuple[str, int]:
        """The type and number of machines that it asks for."""
        return self.instance_type, self.instances

    @property
    def lasting_name(self) -> str | None:
        """The endpoint's name, if one is given."""
        return self.endpoint

    @property
    def has_component(self) -> bool:
        """Whether it asks for one."""
        return self.inference_component


class OnBedrock(ServingStage):
    """What all ways to serve on Bedrock have in common."""

    on_bedrock: ClassVar[bool] = True


class OnDemandStage(OnBedrock):
    """Serve the newest checkpoint on Bedrock, paid by the token."""

    to: Literal["bedrock-on-demand"]


class ProvisionedStage(OnBedrock):
    """Serve the newest checkpoint on Bedrock, paid by the hour and model unit."""

    bills_idle: ClassVar[bool] = True
    to: Literal["bedrock-provisioned"]
    model_units: int = Field(default=1, ge=1)


ServingPlan = DeployStage | OnDemandStage | ProvisionedStage
Target = Literal["sagemaker", "bedrock-on-demand", "bedrock-provisioned"]
TARGETS: tuple[Target, ...] = get_args(Target)
BEDROCK_TARGETS = TARGETS[1:]
RECORDED = "recorded"
EvaluationPlan = EvaluateStage | RecordedStage


def _kind_of(stage: object) -> object:
    """Return the tag of a stage: its kind, or what tells it from others of its kind.

    Of a deployment to Bedrock, that is its target.
    """
    if isinstance(stage, dict):
        kind, to, is_recorded = stage.get("kind"), stage.get("to"), "recorded" in stage
    else:
        kind, to = getattr(stage, "kind", None), getattr(stage, "to", None)
        is_recorded = isinstance(stage, RecordedStage)
    if kind == StageKind.EVALUATE and is_recorded:
        return RECORDED
    return to if kind == StageKind.DEPLOY and to in BEDROCK_TARGETS else kind


StagePlan = Annotated[
    Annotated[EvaluateStage, Tag("evaluate")]
    | Annotated[RecordedStage, Tag(RECORDED)]
    | Annotated[SftStage, Tag("sft")]
    | Annotated[DpoStage, Tag("dpo")]
    | Annotated[RftStage, Tag("rft")]
    | Annotated[DeployStage, Tag("deploy")]
    | Annotated[OnDemandStage, Tag("bedrock-on-demand")]
    | Annotated[ProvisionedStage, Tag("bedrock-provisioned")],
    Discriminator(_kind_of),
]
STAGES: Mapping[str, type[StageSpec]] = {
    tag.tag: stage for stage, tag in map(get_args, get_args(get_args(StagePlan)[0]))
}
"""What may stand in a plan, by its kind, or by what tells it from others of its kind."""
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


def evaluations_of(plan: Iterable[StagePlan]) -> Iterator[EvaluationPlan]:
    """Yield the evaluations of a plan."""
    return (stage for stage in plan if isinstance(stage, EvaluateStage | RecordedStage))


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
