"""How much text a model reads in one go for a row of each format."""

from collections.abc import Iterator, Mapping, Sequence

from novaloop.datasets.options import DatasetOptions, RowFormat

# Nova's tokenizer isn't published; English prose takes about 4.5 bytes a token, code about 3.
BYTES_PER_TOKEN = 3.5
Sequences = tuple[tuple[str, ...], ...]
# The model reads each answer of a preference after the prompt, so a row is two sequences. It never
# reads the reference answers of RFT and evaluation.
_SEQUENCES: Mapping[RowFormat, Sequences] = {
    RowFormat.SFT: (("system", "question", "reasoning_text", "answer"),),
    RowFormat.RFT: (("system", "question", "tools"),),
    RowFormat.EVALUATION: (("system", "question"),),
    RowFormat.DPO: (("system", "prompt", "preferred"), ("system", "prompt", "non_preferred")),
    RowFormat.CPT: (("text",),),
    RowFormat.LLM_JUDGE: (("prompt", "response_A", "response_B"),),
    RowFormat.RFT_MULTITURN: (("prompt",),),
    RowFormat.RFT_MULTITURN_SERVERLESS: (("prompt",),),
    RowFormat.REFERENCE: (("system", "question"),),
}


def tokens_of(size: int) -> int:
    """Return about how many tokens a text of so many bytes has."""
    return int(size / BYTES_PER_TOKEN) + 1


class TextSizes:
    """Adds up the sizes of the fields of rows whose values stand in the order of `fields`."""

    def __init__(
        self, fields: Sequence[str], formats: Sequence[RowFormat], options: DatasetOptions
    ) -> None:
        prompt = "" if "system" in fields else options.system_prompt or ""
        constant = len(prompt.encode())
        self._sums = [
            (
                [fields.index(name) for name in names if name in fields],
                constant if "system" in names else 0,
            )
            for names in _longest(formats)
        ]

    def of(self, encoded: Sequence[Sequence[bytes]]) -> Sequence[int]:
        """Return the bytes of the longest sequence of each row, from its fields' JSON."""
        first, *others = [_added(encoded, *each) for each in self._sums]
        return list(map(max, first, *others)) if others else first


def _longest(formats: Sequence[RowFormat]) -> Iterator[tuple[str, ...]]:
    """Yield the sequences of the formats but those that are a part of another one."""
    found = {names for each in formats for names in _SEQUENCES[each]}
    return (names for names in found if not any(set(names) < set(other) for other in found))


def _added(
    encoded: Sequence[Sequence[bytes]], indexes: Sequence[int], constant: int
) -> Sequence[int]:
    constant -= len('""') * len(indexes)
    sizes = zip(*(map(len, encoded[index]) for index in indexes), strict=True)
    return [constant + size for size in map(sum, sizes)]
