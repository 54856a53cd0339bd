"""What the values of one field must be."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

from novaloop.datasets.errors import RowRejected
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.reading.json_text import read_json
from novaloop.datasets.reading.text_column import is_blank
from novaloop.datasets.rows import multiturn, rft_prompt
from novaloop.datasets.rows.media import S3_URI, ImageFormat, VideoFormat
from novaloop.datasets.rows.text_rules import read_texts, require_labels

FieldReader = Callable[[Sequence[Any]], Sequence[Any]]
_LABELLED_FIELDS = {"answer", "preferred"}
_S3_URI = re.compile(S3_URI)


def field_reader(field: str, formats: Sequence[RowFormat], options: DatasetOptions) -> FieldReader:
    """Return what reads many values of a field, and gives them as they go into the row.

    Raises RowRejected, as what it returns does.
    """
    if field in _LABELLED_FIELDS:
        return _answer_reader(field, formats, options)
    if field == "prompt" and multiturn.FORMATS & set(formats):
        return _each(partial(multiturn.read_prompt, formats=formats))
    if field == "system" and options.system_prompt is not None:
        prompt = options.system_prompt
        return _each(lambda value: _text(prompt if _is_blank(value) else value, field))
    if field in _READERS:
        return _each(_READERS[field])
    return partial(read_texts, field=field)


def _answer_reader(
    field: str, formats: Sequence[RowFormat], options: DatasetOptions
) -> FieldReader:
    labels, structured = frozenset(options.labels), set(formats) == {RowFormat.RFT}

    def read(values: Sequence[Any]) -> Sequence[Any]:
        if structured and all(isinstance(value, dict) and value for value in values):
            return values
        texts = read_texts(values, field)
        if labels:
            require_labels(texts, labels, field)
        return texts

    return read


def _each(read: Callable[[Any], Any]) -> FieldReader:
    return lambda values: list(map(read, values))


def _text(value: Any, field: str) -> str:
    return read_texts([value], field)[0]


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and is_blank(value))


def _metadata(value: Any) -> str:
    if not isinstance(value, str):
        do = "write it as a string"
        raise RowRejected("not-text", "`metadata` is not text", do, field="metadata")
    return value


def _image_parts(value: Any) -> list[dict[str, str]]:
    """Return an evaluation row's images from one data URI or several, in a list or as parts."""
    images = value if isinstance(value, list) else [value]
    return [{"data": _data_uri(image)} for image in images]


def _data_uri(image: Any) -> str:
    text = _text(image.get("data") if isinstance(image, dict) else image, "images")
    if not (text.startswith("data:image/") and ";base64," in text.lower()):
        what = "`images` must hold data URIs: data:image/<type>;base64,<data>"
        raise RowRejected("image", what, field="images")
    return text


def _one_of(field: str, names: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if (text := _text(value, field)) not in names:
            what = f"`{field}` must be one of {', '.join(names)}"
            raise RowRejected("medium", what, field=field)
        return text

    return read


def _s3_uri(value: Any) -> str:
    text = _text(value, "s3_uri")
    if not _S3_URI.fullmatch(text):  # `$` lets a line break follow
        what = "`s3_uri` must be s3://bucket/key, of letters, digits and the characters _-/."
        raise RowRejected("medium", what, field="s3_uri")
    return text


def _tools(value: Any) -> list[Any]:
    """Return an RFT row's tools from a list or, as in a CSV cell, its JSON."""
    return rft_prompt.read_tools(read_json(value, "tools") if isinstance(value, str) else value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "metadata": _metadata,
    "images": _image_parts,
    "image_format": _one_of("image_format", get_args(ImageFormat)),
    "video_format": _one_of("video_format", get_args(VideoFormat)),
    "s3_uri": _s3_uri,
    "tools": _tools,
    "info": multiturn.read_info,
}
