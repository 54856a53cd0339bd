"""The recipe families: what can be run on which model, as the packaged YAML files say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from novaloop.problem import Invalid, Problem
from novaloop.recipes.packaged import packaged_yaml
from novaloop.recipes.settings import Leaf, RecipeSetting, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LEAF: TypeAdapter[Leaf] = TypeAdapter(Leaf, config=ConfigDict(defer_build=True))


class MethodFacts(BaseModel):
    """What a method adds to the template of its family; only evaluations add anything."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    strategy: str | None = None
    metric: str | None = None
    subtasks: tuple[str, ...] = ()


class Variant(BaseModel):
    """One published recipe of a family: its model, its machines, its own limits.

    ``settings`` maps a leaf's dotted path to what differs from the family's template;
    ``absent`` lists the leaves that this recipe lacks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    model: str
    recipe: str
    version: str
    instance_types: tuple[str, ...]
    instance_counts: tuple[int, ...]
    default_count: int
    settings: dict[str, dict[str, Any]] = {}
    absent: tuple[str, ...] = ()


class Family(BaseModel):
    """One file of ``families/``; ``leaves`` maps dotted path to leaf in recipe order.

    ``ordered`` lists pairs of paths of which the first must not exceed the second.
    ``hyperparameters`` maps a request's hyperparameter to the input of the job it carries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    methods: dict[str, MethodFacts]
    image: str
    channel: Literal["Converse", "S3Prefix"] | None
    hyperparameters: dict[str, str] = {}
    holdout: bool = False
    rows_at_least: str | None = None
    variants: tuple[Variant, ...]
    ordered: tuple[tuple[str, str], ...] = ()
    leaves: dict[str, Leaf]

    @model_validator(mode="before")
    @classmethod
    def _flatten_template(cls, document: dict[str, Any]) -> dict[str, Any]:
        document = dict(document)
        document["leaves"] = dict(_leaves(document.pop("template")))
        return document

    @model_validator(mode="after")
    def _check_paths(self) -> Family:
        paths = {path for pair in self.ordered for path in pair}
        paths |= {p for variant in self.variants for p in (*variant.settings, *variant.absent)}
        paths |= {self.rows_at_least} if self.rows_at_least else set()
        unknown = paths - self.leaves.keys()
        if unknown:
            raise ValueError(f"no such leaves: {sorted(unknown)}")
        return self

    def leaves_of(self, variant: Variant) -> dict[str, Leaf]:
        """Return the family's leaves as ``variant`` has them."""
        return {
            path: _LEAF.validate_python(
                leaf.model_dump(by_alias=True, exclude_unset=True) | variant.settings.get(path, {})
            )
            for path, leaf in self.leaves.items()
            if path not in variant.absent
        }


@dataclass(frozen=True)
class Blueprint:
    """One method on one model: the family and the variant that describe the job."""

    method: str
    family: Family
    variant: Variant
    leaves: dict[str, Leaf]

    @property
    def facts(self) -> MethodFacts:
        """What the method itself adds."""
        return self.family.methods[self.method]

    @cached_property
    def settings(self) -> Mapping[str, RecipeSetting]:
        """The leaves that an override may change, by dotted path."""
        return {path: leaf for path, leaf in self.leaves.items() if isinstance(leaf, RecipeSetting)}

    @cached_property
    def paths(self) -> Mapping[str, Sequence[str]]:
        """The leaves' dotted paths by all that names them: the path, or an end of it."""
        named: dict[str, list[str]] = {}
        for path in self.leaves:
            names = path.split(".")
            for start in range(len(names)):
                named.setdefault(".".join(names[start:]), []).append(path)
        return named


@cache
def families() -> Mapping[str, Family]:
    """Return every packaged family by file name."""
    folder = files("novaloop.recipes").joinpath("families")
    return {
        file: Family.model_validate(packaged_yaml("novaloop.recipes", f"families/{file}"))
        for file in sorted(file.name for file in folder.iterdir())
        if file.endswith(".yaml")
    }


def pinned() -> list[Blueprint]:
    """Return every pinned recipe once, whatever the number of its methods."""
    return [
        next(
            one
            for one in variants(next(iter(family.methods)), variant.model)
            if one.variant == variant
        )
        for family in families().values()
        for variant in family.variants
    ]


def methods(model: str) -> list[str]:
    """Return the methods that can run on ``model``."""
    return [
        method
        for family in families().values()
        if any(variant.model == model for variant in family.variants)
        for method in family.methods
    ]


@cache
def variants(method: str, model: str) -> tuple[Blueprint, ...]:
    """Return every way to run ``method`` on ``model``, the usual one first.

    Raises:
        Invalid: if there is none.
    """
    found = tuple(
        Blueprint(method, family, variant, family.leaves_of(variant))
        for family in families().values()
        if method in family.methods
        for variant in family.variants
        if variant.model == model
    )
    if not found:
        do = f"it has {listed(tuple(methods(model)))}"
        raise Invalid(Problem("", f"{model} has no {method!r}", do))
    return found


def metric_of(task: str) -> str | None:
    """Return the metric that an evaluation's recipe asks for; None for an unknown task."""
    found = (
        family.methods[task].metric for family in families().values() if task in family.methods
    )
    return next(found, None)


def blueprint(method: str, model: str, instance_type: str | None = None) -> Blueprint:
    """Return how ``method`` runs on ``model`` with ``instance_type``, or else the usual way.

    Raises:
        Invalid: if there is no such method for this model.
    """
    found = variants(method, model)
    fitting = [one for one in found if instance_type in one.variant.instance_types]
    return (fitting or found)[0]


def _leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, node in section.items():
        if node.keys() & {"fixed", "from", "type"}:
            yield prefix + name, node
        else:
            yield from _leaves(node, f"{prefix}{name}.")
