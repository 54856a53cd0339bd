"""Overrides: which leaf a name means, whether the value may stand there."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from novaloop.problem import Invalid, Problem, joined, shown
from novaloop.recipes.settings import Fixed, RecipeSetting, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop.recipes.catalog import Blueprint


def resolve(
    blueprint: Blueprint, overrides: Mapping[str, object], at: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the value of every setting by dotted path, and everything that is wrong.

    An override names a leaf (``lr``) or the end of its dotted path (``optim_config.lr``).
    ``at`` is the field path under which the overrides were written.
    """
    chosen, problems = _choose(blueprint, overrides, at)
    values = {
        path: setting.default for path, setting in blueprint.settings.items() if not setting.omitted
    } | chosen
    for path, setting in blueprint.settings.items():
        if setting.default_from and path not in chosen:
            values[path] = values[setting.default_from]
    named = {path: joined(at, path.rpartition(".")[2]) for path in values}
    problems += _check_order(blueprint, values, named)
    return values, problems


def _choose(
    blueprint: Blueprint, overrides: Mapping[str, object], at: str
) -> tuple[dict[str, Any], list[Problem]]:
    chosen: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in overrides.items():
        field = joined(at, str(name))
        try:
            path, setting = find(blueprint, str(name))
            if path in chosen:
                problems.append(Problem(field, "is set twice, by name and by path", "keep one"))
            chosen[path] = value  # out of bounds or not, its order relative to others is judged
            chosen[path] = setting.parse(value)
        except Invalid as invalid:
            problems += invalid.under(field)
    return chosen, problems


def find(blueprint: Blueprint, name: str) -> tuple[str, RecipeSetting]:
    """Return the one setting that ``name`` means, with its dotted path.

    Raises:
        Invalid: if no leaf, several leaves or a leaf that can't be set has that name.
    """
    paths = blueprint.paths.get(name, ())
    if not paths:
        raise Invalid(unknown_setting(blueprint.settings, name))
    if len(paths) > 1:
        do = f"write one of {listed(tuple(paths))}"
        raise Invalid(Problem("", "names several settings", do))
    leaf = blueprint.leaves[paths[0]]
    if isinstance(leaf, RecipeSetting):
        return paths[0], leaf
    reason = f"is always {shown(leaf.fixed)}" if isinstance(leaf, Fixed) else "follows from the job"
    raise Invalid(Problem("", f"can't be set here, it {reason}", "remove it"))


def unknown_setting(settings: Mapping[str, RecipeSetting], name: str) -> Problem:
    """Return what is wrong with ``name``, which is not among ``settings`` (by dotted path)."""
    spellings = _spellings(settings)
    wanted = name.rpartition(".")[2]
    near = [wanted] if wanted in spellings else get_close_matches(wanted, spellings)
    meant = dict.fromkeys(spellings[spelling] for spelling in near)
    there = f"there are {listed(tuple(dict.fromkeys(spellings.values())))}"
    do = f"did you mean {' or '.join(meant)}?" if meant else there
    return Problem("", "is no setting here", do)


def _spellings(settings: Mapping[str, RecipeSetting]) -> dict[str, str]:
    """Return what people may write instead, each with the name that works."""
    leaf_names = [path.rpartition(".")[2] for path in settings]
    count = Counter(leaf_names)
    spellings = {}
    for path, leaf_name in zip(settings, leaf_names, strict=True):
        name = leaf_name if count[leaf_name] == 1 else path
        spellings[leaf_name] = spellings[settings[path].parameter or leaf_name] = name
    return spellings


def _check_order(
    blueprint: Blueprint, values: Mapping[str, Any], named: Mapping[str, str]
) -> Iterator[Problem]:
    for lower, upper in blueprint.family.ordered:
        low, high, name = values[lower], values[upper], upper.rpartition(".")[2]
        if _is_real(low) and _is_real(high) and low > high:
            what = f"is {shown(low)}, more than {name} ({shown(high)})"
            yield Problem(named[lower], what, f"lower it or raise {name}")


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
