"""What can be wrong with the options whatever the rows hold."""

from collections.abc import Sequence

from .errors import DatasetRefused, RowRejected
from .options import DatasetOptions, RowFormat
from .text_rules import check_reserved_words, check_texts


def check_options(
    fields: Sequence[str], formats: Sequence[RowFormat], options: DatasetOptions
) -> None:
    """Raise DatasetRefused if the options contradict the formats whatever the rows hold."""
    if options.system_prompt is not None:
        try:
            check_texts([options.system_prompt], "system_prompt")
            if RowFormat.SFT in formats:
                check_reserved_words([options.system_prompt], "system_prompt")
        except RowRejected as reason:
            raise DatasetRefused(reason.rule, str(reason)) from reason
    if options.model != "nova-lite-2":
        if RowFormat.RFT in formats:
            raise DatasetRefused("model", f"RFT needs model nova-lite-2, not {options.model}")
        if "reasoning_text" in fields:
            message = f"`reasoning_text` needs model nova-lite-2, not {options.model}; set it null"
            raise DatasetRefused("model", message)
