"""`experiment.yaml`: what a person may ask for. Everything has a default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from novaloop.datasets.policies import DROPPABLE, Check
from novaloop.datasets.policies import Policy as CheckPolicy
from novaloop.experiment.spec.reward import Reward, reward_problems
from novaloop.experiment.spec.stages import (
    JUDGES,
    DeployStage,
    EvaluateStage,
    RftStage,
    Runtime,
    ServingStage,
    SftStage,
    SpecModel,
    StagePlan,
    Task,
    TrainStage,
    default_plan,
    tagged,
)
from novaloop.metrics.registry import GATED
from novaloop.rewards.labels import LabelReader

Share = Annotated[float, Field(ge=0, le=1)]
MAX_LABELS = 150
"""Their confusion matrix, read in two ways, has to fit into an item of the table."""
Labels = tuple[Annotated[str, Field(min_length=1, max_length=100)], ...]
FIELDS_ONLY = "fields only"
"""The validation context in which an ExperimentSpec may contradict itself."""


class Role(StrEnum):
    """What a dataset is for; also the name of its file in the inbox."""

    SFT = "sft"
    DPO = "dpo"
    RFT = "rft"
    EVAL = "eval"
    VALIDATION = "validation"
    LLM_JUDGE = "llm-judge"


class Split(SpecModel):
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


class Gate(SpecModel):
    """What the last evaluation must show before anything is deployed."""

    evaluation: str | None = None
    metric: str = "exact_match"
    at_least: float | None = None
    better_than: str | None = None
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    class_floors: Mapping[str, Share] = Field(default_factory=dict)
    max_format_failures: Share | None = None
    max_truncated: Share | None = None
    when_inconclusive: Literal["hold", "promote"] = "hold"


def _plan_of(fields: dict[str, Any]) -> tuple[StagePlan, ...]:
    return default_plan(fields.get("runtime", Runtime.TRAINING_JOB))


class ExperimentSpec(SpecModel):
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
        return [tagged(item) for item in plan] if isinstance(plan, list | tuple) else plan

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
            *_label_problems(self),
            *_deploy_problems(self),
            *reward_problems(self.reward, self.labels),
        ]


def _name_problems(spec: ExperimentSpec) -> list[str]:
    uses = Counter(stage.name for stage in spec.plan)
    twice = sorted(name for name, count in uses.items() if count > 1)
    return [f"plan: two stages are called {name}; give each its own name" for name in twice]


def _label_problems(spec: ExperimentSpec) -> list[str]:
    number = len(spec.labels)
    if number <= MAX_LABELS:
        return []
    return [
        (
            f"labels: {number:,} are given; at most {MAX_LABELS} fit into a score with its "
            "confusion matrix; merge rare ones, or leave labels out, so that answers are "
            "compared as texts"
        )
    ]


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
    from novaloop.recipes.catalog import metric_of  # noqa: PLC0415 - as in `default_plan`

    of_rows = gate.metric in GATED and gate.metric != metric_of(judged.task)
    asked = {
        f"metric: {gate.metric}": of_rows,
        "class_floors": bool(gate.class_floors),
        "max_format_failures": gate.max_format_failures is not None,
        "max_truncated": gate.max_truncated is not None,
    }
    if judged.task is Task.GEN_QA:
        return _row_metric_problems(gate, judged)
    advice = f"{judged.name} runs {judged.task}, which leaves no rows to measure that by"
    return [f"gate.{name}: {advice}" for name, is_asked in asked.items() if is_asked]


def _row_metric_problems(gate: Gate, judged: EvaluateStage) -> list[str]:
    if gate.metric not in GATED:
        names = ", ".join(GATED)
        return [] if judged.processor else [f"gate.metric: {gate.metric} is none of {names}"]
    most = GATED[gate.metric].most
    if gate.at_least is None or 0 <= gate.at_least <= most:
        return []
    return [f"gate.at_least: {gate.metric} lies between 0 and {most}; {gate.at_least:g} does not"]
