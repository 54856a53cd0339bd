"""Drift: where the recipe that the hub publishes today differs from the pinned one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novaloop.problem import joined
from novaloop.recipes.settings import Fixed, Leaf, RecipeSetting

if TYPE_CHECKING:
    from novaloop.recipes.catalog import Blueprint

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# What a constraint is called in the hub's override parameters, and here.
_CONSTRAINTS = {"default": "default", "min": "at_least", "max": "at_most", "enum": "choices"}


@dataclass(frozen=True)
class Drift:
    """One difference; ``None`` stands for a side that has nothing there."""

    path: str
    pinned: object
    published: object

    def __str__(self) -> str:
        return f"{self.path}: pinned {self.pinned!r}, published {self.published!r}"


def published_entry(
    hub_document: Mapping[str, Any], blueprint: Blueprint
) -> Mapping[str, Any] | None:
    """Return the entry of a hub document's RecipeCollection that ``blueprint`` pins, if any."""
    entries = hub_document.get("RecipeCollection", [])
    named = (entry for entry in entries if entry.get("Name") == blueprint.variant.recipe)
    return next(named, None)


def drift(
    blueprint: Blueprint,
    entry: Mapping[str, Any],
    template: Mapping[str, Any],
    override_parameters: Mapping[str, Mapping[str, Any]],
) -> list[Drift]:
    """Return every difference between the pinned recipe and the published one.

    ``entry`` is the recipe's entry in the hub document, ``template`` the parsed YAML behind
    its SmtjRecipeTemplateS3Uri and ``override_parameters`` the JSON behind its
    SmtjOverrideParamsS3Uri. Limits that only Novaloop sets are no drift.
    """
    leaves = dict(_leaves(template))
    pinned = blueprint.leaves
    found = list(_entry_drift(blueprint, entry))
    found += [Drift(path, None, leaves[path]) for path in leaves.keys() - pinned.keys()]
    for path, leaf in pinned.items():
        if path in leaves:
            found += _leaf_drift(path, leaf, leaves[path], override_parameters)
        elif not (isinstance(leaf, RecipeSetting) and leaf.omitted):
            found.append(Drift(path, _pinned_value(leaf), None))
    return sorted(found, key=lambda drift: drift.path)


def _entry_drift(blueprint: Blueprint, entry: Mapping[str, Any]) -> Iterator[Drift]:
    variant = blueprint.variant
    if variant.version not in entry.get("Versions", [variant.version]):
        yield Drift("version", variant.version, entry["Versions"])
    image = str(entry.get("SmtjImageUri", blueprint.family.image)).partition("/")[2]
    if image and image != blueprint.family.image:
        yield Drift("image", blueprint.family.image, image)
    types = sorted(entry.get("SupportedInstanceTypes", variant.instance_types))
    if types and not set(variant.instance_types) <= set(types):
        yield Drift("instance_types", sorted(variant.instance_types), types)


def _leaf_drift(
    path: str,
    leaf: Leaf,
    published: object,
    override_parameters: Mapping[str, Mapping[str, Any]],
) -> Iterator[Drift]:
    placeholder = _PLACEHOLDER.fullmatch(published) if isinstance(published, str) else None
    if isinstance(leaf, RecipeSetting) and placeholder:
        yield from _setting_drift(path, leaf, override_parameters.get(placeholder[1], {}))
    elif isinstance(leaf, RecipeSetting | Fixed) and not placeholder:
        pinned = _pinned_value(leaf)
        if not _same(pinned, published):
            yield Drift(path, pinned, published)


def _setting_drift(
    path: str, setting: RecipeSetting, published: Mapping[str, Any]
) -> Iterator[Drift]:
    for theirs, ours in _CONSTRAINTS.items():
        if published.get(theirs) is None:
            continue
        pinned = getattr(setting, ours)
        if not _same(pinned, published[theirs]):
            yield Drift(joined(path, ours), pinned, published[theirs])


def _pinned_value(leaf: Leaf) -> object:
    if isinstance(leaf, Fixed):
        return leaf.fixed
    return leaf.default


def _same(pinned: object, published: object) -> bool:
    if isinstance(pinned, tuple) and isinstance(published, list):
        return {str(one) for one in pinned if one} == {str(one) for one in published if one}
    return pinned == _number(published)


def _number(value: object) -> object:
    """Return a number that a YAML 1.1 reader took for text as a number."""
    try:
        return float(value) if isinstance(value, str) and "e" in value.lower() else value
    except ValueError:
        return value


def _leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, node in section.items():
        if isinstance(node, Mapping) and node:
            yield from _leaves(node, f"{prefix}{name}.")
        else:
            yield prefix + name, node
