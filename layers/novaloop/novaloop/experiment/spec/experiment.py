"""`experiment.yaml`: what a person may ask for. Everything has a default."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from novaloop.datasets.options import NO_DELIMITERS, codec_name
from novaloop.datasets.policies import DROPPABLE, Check
from novaloop.datasets.policies import FindingPolicy as CheckPolicy
from novaloop.datasets.rows.columns import KNOWN_NAMES
from novaloop.experiment import names
from novaloop.experiment.spec.reward import FunctionReward, Reward, check_reward
from novaloop.experiment.spec.stages import (
    JUDGES,
    EvaluationPlan,
    Runtime,
    ServingPlan,
    ServingStage,
    SpecPart,
    StageKind,
    StagePlan,
    Task,
    TrainStage,
    default_plan,
    evaluations_of,
    tagged,
)
from novaloop.metrics.registry import GATED
from novaloop.problem import Invalid, Problem
from novaloop.rewards.labels import LabelReader

Share = Annotated[float, Field(ge=0, le=1)]
MAX_LABELS = 150
"""Their confusion matrix, read in two ways, has to fit into an item of the table."""
MAX_ASKED = 300
"""How much a gate asks: the record, an item of the table, holds what was observed of each."""
_WORDS_OF_BLEU = 4
Labels = tuple[Annotated[str, Field(min_length=1, max_length=100)], ...]
FIELDS_ONLY = "fields only"
"""The validation context in which an ExperimentSpec may contradict itself."""


class SplitSettings(SpecPart):
    """How `data.csv` is divided: counts (whole numbers) or fractions (at most 1 together).

    A dataset that has no share here is a file of its own, or none that the plan needs.
    """

    sft: int | float | None = Field(default=None, ge=0)
    eval: int | float = Field(gt=0)
    rft: int | float | None = Field(default=None, ge=0)
    dpo: int | float | None = Field(default=None, ge=0)
    validation: int | float | None = Field(default=None, ge=0)
    seed: int = 7

    @model_validator(mode="after")
    def _counts_or_fractions(self) -> Self:
        shares = self.shares.values()
        counts = all(isinstance(share, int) for share in shares)
        rows = [role for role, share in self.shares.items() if isinstance(share, int) and share > 1]
        fractions = [role for role, share in self.shares.items() if isinstance(share, float)]
        if rows and fractions:
            given = f"rows ({', '.join(rows)}) and fractions ({', '.join(fractions)})"
            what = f"{given} can't be mixed"
            do = "give whole numbers of rows for all, or fractions that add up to at most 1"
            raise Invalid(Problem("", what, do))
        if not counts and (max(shares) > 1 or sum(shares) > 1 + 1e-9):
            what = "fractions add up to at most 1"
            raise Invalid(Problem("", what, "give such fractions, or whole row counts"))
        return self

    @property
    def shares(self) -> dict[str, int | float]:
        """The share of each role that has one; the others come from files of their own."""
        return self.model_dump(exclude={"seed"}, exclude_none=True)


class GateCondition(SpecPart):
    """What an evaluation must show, or should, before anything is deployed."""

    evaluation: str | None = None
    metric: str = "exact_match"
    at_least: float | None = None
    better_than: str | None = None
    not_worse_than: str | None = None
    margin: float | None = Field(default=None, gt=0)
    each_class: bool = False
    class_floors: Mapping[str, Share] = Field(default_factory=dict)
    max_format_failures: Share | None = None
    max_truncated: Share | None = None
    tier: Literal["must", "should"] = "must"

    @property
    def limits(self) -> int:
        """How many limits it sets; what is asked of each class is one."""
        limits = self.at_least, self.better_than, self.not_worse_than
        shares = self.max_format_failures, self.max_truncated
        return len(self.class_floors) + sum(each is not None for each in (*limits, *shares))

    @property
    def asks_anything(self) -> bool:
        """Whether there is a limit of any kind."""
        return self.limits > 0


class Gate(GateCondition):
    """All that evaluations must show before anything is deployed: its own settings and more."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    when_inconclusive: Literal["hold", "promote"] = "hold"
    tries: int | None = Field(default=None, ge=1, le=1000)
    conditions: tuple[GateCondition, ...] = Field(default=(), max_length=20)

    @property
    def level(self) -> float:
        """The confidence of each interval.

        With `tries` it is such that all of them together err no more often than one without
        (Bonferroni).
        """
        return 1 - (1 - self.confidence) / (self.tries or 1)


def _plan_of(fields: dict[str, Any]) -> tuple[StagePlan, ...]:
    return default_plan(fields.get("runtime", Runtime.TRAINING_JOB))


class ExperimentSpec(SpecPart):
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
    split: SplitSettings | None = None
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
            what = "a classification needs at least two labels"
            raise Invalid(Problem("", what, "add the others, or leave labels out"))
        if labels:
            LabelReader(labels)
        return labels

    @field_validator("encoding")
    @classmethod
    def _encoding_of_texts(cls, encoding: str | None) -> str | None:
        if encoding is not None and codec_name(encoding) is None:
            raise Invalid(Problem("", "is not a known text encoding", "try utf-8 or cp1252"))
        return encoding

    @field_validator("delimiter", mode="before")
    @classmethod
    def _tab_as_it_is_written(cls, delimiter: object) -> object:
        r"""Take `\t` for a tab: so it is shown, and single quotes and shells keep the backslash."""
        return "\t" if delimiter == r"\t" else delimiter

    @field_validator("delimiter")
    @classmethod
    def _delimiter_that_divides(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and delimiter in NO_DELIMITERS:
            raise Invalid(Problem("", "divides no cells", "write the character that does"))
        return delimiter

    @field_validator("checks")
    @classmethod
    def _policies_that_can_be(cls, checks: Mapping[Check, CheckPolicy]) -> Mapping[Check, Any]:
        wrong = [check for check, to in checks.items() if to == "drop" and check not in DROPPABLE]
        if wrong:
            what = f"{wrong[0]} concerns a whole dataset"
            raise Invalid(Problem("", what, "write refuse or warn"))
        return checks

    @field_validator("reward", mode="before")
    @classmethod
    def _function_says_its_type(cls, reward: object) -> object:
        if isinstance(reward, dict) and "function" in reward:
            return {"type": "function", **reward}
        return reward

    @field_validator("plan", mode="before")
    @classmethod
    def _one_key_each(cls, plan: object) -> object:
        return [tagged(item) for item in plan] if isinstance(plan, list | tuple) else plan

    @model_validator(mode="after")
    def _plan_makes_sense(self, info: ValidationInfo) -> Self:
        problems = [] if info.context == FIELDS_ONLY else list(self.check_consistency())
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def places(self) -> tuple[tuple[str, StagePlan], ...]:
        """The stages of the plan, each with the path by which Problems tell of it."""
        return tuple((f"plan[{at}].{stage.kind}", stage) for at, stage in enumerate(self.plan))

    def judged(self) -> Iterator[tuple[str, str, GateCondition]]:
        """Yield the gate's conditions, each with its path and the evaluation that it is about.

        The gate's own come first, if it has any or lists no others. What names no evaluation is
        about that of the gate, or the last one of what the plan makes, or of all. Nothing without a
        gate or an evaluation.
        """
        evaluations = list(evaluations_of(self.plan))
        gate = self.gate
        if gate is None or not evaluations:
            return
        own = [stage for stage in evaluations if stage.recorded_as is None]
        usual = gate.evaluation or (own or evaluations)[-1].name
        if gate.asks_anything or not gate.conditions:
            yield "gate", usual, gate
        for at, condition in enumerate(gate.conditions):
            yield f"gate.conditions[{at}]", condition.evaluation or usual, condition

    def metrics_of(self, evaluation: str) -> tuple[str, ...]:
        """Return the metrics by which the gate judges an evaluation, in its order."""
        asked = (each.metric for _, name, each in self.judged() if name == evaluation)
        return tuple(dict.fromkeys(asked))

    def compared_by_class(self, evaluation: str) -> set[str]:
        """Return the evaluations against which the gate compares one label by label."""
        return {
            each.not_worse_than
            for _, name, each in self.judged()
            if name == evaluation and each.each_class and each.not_worse_than is not None
        }

    @property
    def trainings(self) -> tuple[TrainStage, ...]:
        """The stages of the plan that make a checkpoint."""
        return tuple(stage for stage in self.plan if isinstance(stage, TrainStage))

    @property
    def origin(self) -> tuple[str, str] | None:
        """The experiment and the stage that `checkpoint` names; None if it names none."""
        experiment, mark, stage = (self.checkpoint or "").partition("/")
        named = names.is_name(experiment, names.MAX_EXPERIMENT_WITHOUT_UID) and names.is_name(
            stage, names.MAX_STAGE
        )
        return (experiment, stage) if mark and named else None

    @property
    def reward_function(self) -> str | None:
        """The ARN of the user's own function that scores; None where the stack's does."""
        return self.reward.function if isinstance(self.reward, FunctionReward) else None

    @property
    def deployment(self) -> ServingPlan | None:
        """The stage of the plan that serves what it trains, if one does."""
        return next((stage for stage in self.plan if isinstance(stage, ServingStage)), None)

    def check_consistency(self) -> Iterator[Problem]:
        """Yield where settings that are fine by themselves can't be meant together."""
        yield from _check_names(self)
        yield from _check_order(self)
        yield from _check_gate(self)
        yield from _check_policies(self)
        yield from _check_labels(self)
        yield from _check_columns(self)
        yield from _check_deployments(self)
        yield from _check_recorded(self)
        yield from check_reward(self.reward, self.labels)


def _check_names(spec: ExperimentSpec) -> Iterator[Problem]:
    uses = Counter(stage.name for stage in spec.plan)
    for name in sorted(name for name, count in uses.items() if count > 1):
        yield Problem("plan", f"two stages are called {name}", "give each its own name")


def _check_labels(spec: ExperimentSpec) -> Iterator[Problem]:
    number = len(spec.labels)
    if number > MAX_LABELS:
        fit = f"at most {MAX_LABELS} fit into a score with its confusion matrix"
        do = "merge rare ones, or leave labels out, so that answers are compared as texts"
        yield Problem("labels", f"{number:,} are given; {fit}", do)


def _check_columns(spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield fields that look misspelt: RFT rows would carry them, and nothing would read them."""
    for field, column in spec.columns.items():
        near = get_close_matches(field.casefold(), KNOWN_NAMES, 1, 0.8)
        if column is None or field in KNOWN_NAMES or not near or field.startswith(near[0]):
            continue
        what = f"is no field, and near to `{near[0]}`"
        yield Problem(f"columns.{field}", what, "correct or rename it")


def _check_order(spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield what the service documents: an SFT can't follow an RFT, LoRA stays LoRA."""
    trained: list[TrainStage] = []
    for where, stage in spec.places:
        if stage.kind is StageKind.SFT and any(past.kind is StageKind.RFT for past in trained):
            what = "supervised fine-tuning can't follow reinforcement"
            yield Problem(where, what, "put it before, or leave one of both out")
        if isinstance(stage, TrainStage):
            if trained and trained[-1].peft != stage.peft:
                yield Problem(where, f"peft must stay {trained[-1].peft} along the plan")
            trained.append(stage)
        if stage.kind.serves and not trained and spec.checkpoint is None:
            what = "nothing was trained before it, so there is no checkpoint"
            yield Problem(where, what, "add a training, or set checkpoint")
        if stage.kind.serves and stage is not spec.plan[-1]:
            yield Problem(where, "deploy must be the last stage")


def _check_deployments(spec: ExperimentSpec) -> Iterator[Problem]:
    what = (
        "endpoint can't be combined with inference_component: an update in place replaces the "
        "machines, and with them every component on them"
    )
    for where, stage in spec.places:
        if stage.lasting_name and stage.has_component:
            yield Problem(where, what, "leave out one of both")


def _check_recorded(spec: ExperimentSpec) -> Iterator[Problem]:
    files: dict[str, str] = {}
    for where, stage in spec.places:
        if stage.recorded_as is None:
            continue
        file = getattr(stage, "recorded", "")
        if files.setdefault(stage.recorded_as, file) != file:
            what = f"{files[stage.recorded_as]} and {file} have one name but for their endings"
            yield Problem(f"{where}.recorded", what, "rename one of them")


def _check_policies(spec: ExperimentSpec) -> Iterator[Problem]:
    for check, policy in spec.checks.items():
        if spec.split is not None and policy == "drop":
            what = "drop needs each dataset as a file of its own"
            yield Problem(f"checks.{check}", what, "with split, write refuse or warn")


def _check_gate(spec: ExperimentSpec) -> Iterator[Problem]:
    if spec.gate is None:
        return
    evaluations = {stage.name: stage for stage in evaluations_of(spec.plan)}
    if not evaluations:
        yield Problem("gate", "the plan has no evaluation to judge", "add one, or remove the gate")
        return
    for where, judged, condition in spec.judged():
        yield from _check_condition(where, condition, spec.labels)
        if judged not in evaluations:
            what = f"no evaluation is called {judged}"
            yield Problem(f"{where}.evaluation", what, f"there are {', '.join(evaluations)}")
            continue
        names = list(evaluations)
        earlier = {name: evaluations[name] for name in names[: names.index(judged)]}
        for field in ("better_than", "not_worse_than"):
            against = getattr(condition, field)
            yield from _check_comparison(f"{where}.{field}", against, evaluations[judged], earlier)
        yield from _check_measurement(where, condition, evaluations[judged], spec.labels)
    others = len(spec.labels) - 1
    asked = sum(each.limits + each.each_class * others for _, _, each in spec.judged())
    if asked > MAX_ASKED:
        what = f"asks for {asked:,} things, and at most {MAX_ASKED} fit into its verdict"
        yield Problem("gate", what, "ask for less of each class, or merge rare labels")


def _check_condition(where: str, condition: GateCondition, labels: Labels) -> Iterator[Problem]:
    """Yield what is wrong with a condition, whatever it judges."""
    for label in sorted(set(condition.class_floors) - set(labels)):
        what = f"{label} is not one of labels"
        yield Problem(f"{where}.class_floors", what, "add it there, or remove it here")
    if condition.each_class and not labels:
        yield Problem(f"{where}.each_class", "the experiment has no labels", "add labels")
    if (condition.not_worse_than is None) != (condition.margin is None):
        if condition.margin is None:
            what = "not_worse_than needs to know which loss is as good as none"
            yield Problem(f"{where}.margin", what, "write one, such as margin: 0.01")
        else:
            what = "is for not_worse_than, which is not there"
            yield Problem(f"{where}.margin", what, "name an evaluation there, or remove it")
    elif condition.each_class and condition.not_worse_than is None:
        what = "is for not_worse_than, which is not there"
        yield Problem(f"{where}.each_class", what, "name an evaluation there, or remove it")
    if where != "gate" and not condition.asks_anything:
        what = "asks for nothing"
        do = "add at_least, better_than, not_worse_than or another limit, or remove it"
        yield Problem(where, what, do)


def _check_comparison(
    where: str, against: str | None, judged: EvaluationPlan, earlier: Mapping[str, EvaluationPlan]
) -> Iterator[Problem]:
    do = "name an evaluation of the same task before it, or remove it"
    if against is None:
        return
    if against not in earlier:
        yield Problem(where, f"no earlier evaluation is called {against}", do)
    elif judged.task in JUDGES:
        what = f"{judged.task} judges the answers in the dataset, not the model's"
        yield Problem(where, what, "remove it")
    else:
        other = earlier[against]
        if (other.task, other.subtask) != (judged.task, judged.subtask):
            asked, had = (" ".join(filter(None, (s.task, s.subtask))) for s in (judged, other))
            yield Problem(where, f"{judged.name} runs {asked}, but {against} ran {had}", do)


def _check_measurement(
    where: str, condition: GateCondition, judged: EvaluationPlan, labels: Labels
) -> Iterator[Problem]:
    """Yield what is asked for and can't be measured, as far as the names are known."""
    from novaloop.recipes.catalog import metric_of  # noqa: PLC0415 - as in `default_plan`

    if judged.task is Task.GEN_QA:
        yield from _check_row_metric(where, condition, judged, labels)
        return
    of_rows = condition.metric in GATED and condition.metric != metric_of(judged.task)
    asked = {
        "metric": of_rows,
        "each_class": condition.each_class,
        "class_floors": bool(condition.class_floors),
        "max_format_failures": condition.max_format_failures is not None,
        "max_truncated": condition.max_truncated is not None,
    }
    what = f"{judged.name} runs {judged.task}, which leaves no rows to measure that by"
    for name in (name for name, is_asked in asked.items() if is_asked):
        told = f"{condition.metric}: {what}" if name == "metric" else what
        do = "choose what the task measures, or judge a gen_qa"
        yield Problem(f"{where}.{name}", told, do)


def _check_row_metric(
    where: str, condition: GateCondition, judged: EvaluationPlan, labels: Labels
) -> Iterator[Problem]:
    metric = condition.metric
    if metric not in GATED:
        if not judged.processor:
            what = f"{metric} is none of {', '.join(GATED)}"
            yield Problem(f"{where}.metric", what, "choose one of them")
        for field in ("better_than", "not_worse_than"):
            if judged.processor and getattr(condition, field) is not None:
                what = f"{metric} is a total that a processor reports: nothing tests its change"
                yield Problem(f"{where}.{field}", what, "set at_least, or choose another metric")
        return
    if metric == "bleu" and labels and max(map(_words, labels)) < _WORDS_OF_BLEU:
        what = f"bleu counts {_WORDS_OF_BLEU} words in a row, and no label has as many"
        yield Problem(f"{where}.metric", what, "choose exact_match, or lenient_accuracy")
    most = GATED[metric].most
    if condition.at_least is not None and not 0 <= condition.at_least <= most:
        what = f"{metric} lies between 0 and {most}, and {condition.at_least:g} does not"
        yield Problem(f"{where}.at_least", what, "write a level between them")
    if condition.margin is not None and condition.margin >= most:
        what = f"{metric} lies between 0 and {most}, so it can't lose {condition.margin:g}"
        yield Problem(f"{where}.margin", what, "write a smaller margin")


def _words(label: str) -> int:
    """Count words as BLEU's tokenizer does, which makes one of each sign of punctuation."""
    return len(re.findall(r"\w+|[^\w\s]", label))
