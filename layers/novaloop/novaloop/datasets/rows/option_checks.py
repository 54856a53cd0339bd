"""What can be wrong with the options whatever the rows hold."""

from collections.abc import Iterator, Sequence

from novaloop.datasets.errors import DatasetRefused, RowRejected
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.rows.columns import MEDIUM_FORMATS
from novaloop.datasets.rows.media import TEXT_ONLY_MODEL
from novaloop.datasets.rows.text_rules import read_texts, require_unreserved
from novaloop.problem import Problem

_NOVA_2 = "nova-lite-2"
_NOVA_2_FORMATS = (
    RowFormat.RFT,
    RowFormat.RFT_MULTITURN,
    RowFormat.RFT_MULTITURN_SERVERLESS,
)
_EVALUATED = {RowFormat.RFT}


def require_options(
    fields: Sequence[str], formats: Sequence[RowFormat], options: DatasetOptions
) -> None:
    """Raise DatasetRefused if the options contradict the formats whatever the rows hold."""
    if options.system_prompt is not None:
        try:
            read_texts([options.system_prompt], "system_prompt")
            if {RowFormat.SFT, RowFormat.DPO} & set(formats):
                require_unreserved([options.system_prompt], "system_prompt")
        except RowRejected as reason:
            raise DatasetRefused(reason.rule, reason.what, reason.do) from reason
    trained = [each for each in formats if not (each in _EVALUATED and options.evaluates_prompts)]
    for problem in _check_model(fields, trained, options.model):
        raise DatasetRefused("model", problem.what, problem.do)


def _check_model(
    fields: Sequence[str], formats: Sequence[RowFormat], model: str
) -> Iterator[Problem]:
    media = [name for name in MEDIUM_FORMATS if name in fields]
    nova_2_only = [each.upper() for each in _NOVA_2_FORMATS if each in formats]
    nova_2_only += ["`reasoning_text`"] if "reasoning_text" in fields else []
    if RowFormat.DPO in formats and model == _NOVA_2:
        what = f"DPO needs model nova-micro, nova-lite or nova-pro, not {model}"
        yield Problem("", what, "choose one of them, or leave dpo out")
    if nova_2_only and model != _NOVA_2:
        what = f"{nova_2_only[0]} needs model {_NOVA_2}, not {model}"
        yield Problem("", what, "choose it, or leave that out")
    if media and model == TEXT_ONLY_MODEL:
        what = f"`{media[0]}` needs another model than {model}, which reads text only"
        yield Problem("", what, "choose one, or set it to null")
    if media and "reasoning_text" in fields:
        what = f"`reasoning_text` can't go with `{media[0]}`"
        yield Problem("", what, "set one of them to null")
