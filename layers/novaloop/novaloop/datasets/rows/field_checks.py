"""What the values of one field must be."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import orjson

from novaloop.datasets.errors import RowRejected
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.rows import multiturn, rft_prompt
from novaloop.datasets.rows.media import S3_URI, ImageFormat, VideoFormat
from novaloop.datasets.rows.text_rules import check_labels, check_texts

FieldCheck = Callable[[Sequence[Any]], Sequence[Any]]
_LABELLED_FIELDS = {"answer", "preferred"}
_S3_URI = re.compile(S3_URI)


def field_check(field: str, formats: Sequence[RowFormat], options: DatasetOptions) -> FieldCheck:
    """Return what checks many values of a field, and returns them as they go into the row.

    Raises RowRejected, as what it returns does.
    """
    if field in _LABELLED_FIELDS:
        return _answer_check(field, formats, options)
    if field == "prompt" and multiturn.FORMATS & set(formats):
        return _each(partial(multiturn.check_prompt, formats=formats))
    if field == "system" and options.system_prompt is not None:
        prompt = options.system_prompt
        return _each(lambda value: _text(prompt if _is_blank(value) else value, field))
    if field in _CHECKS:
        return _each(_CHECKS[field])
    return partial(check_texts, field=field)


def _answer_check(field: str, formats: Sequence[RowFormat], options: DatasetOptions) -> FieldCheck:
    labels, structured = frozenset(options.labels), set(formats) == {RowFormat.RFT}

    def check(values: Sequence[Any]) -> Sequence[Any]:
        if structured and all(isinstance(value, dict) and value for value in values):
            return values
        texts = check_texts(values, field)
        if labels:
            check_labels(texts, labels, field)
        return texts

    return check


def _each(check: Callable[[Any], Any]) -> FieldCheck:
    return lambda values: list(map(check, values))


def _text(value: Any, field: str) -> str:
    return check_texts([value], field)[0]


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _metadata(value: Any) -> str:
    if not isinstance(value, str):
        raise RowRejected("not-text", "`metadata` is not text; write it as a string", "metadata")
    return value


def _image_parts(value: Any) -> list[dict[str, str]]:
    """Return an evaluation row's images from one data URI or several, in a list or as parts."""
    images = value if isinstance(value, list) else [value]
    return [{"data": _data_uri(image)} for image in images]


def _data_uri(image: Any) -> str:
    text = _text(image.get("data") if isinstance(image, dict) else image, "images")
    if not (text.startswith("data:image/") and ";base64," in text.lower()):
        message = "`images` must hold data URIs: data:image/<type>;base64,<data>"
        raise RowRejected("image", message, "images")
    return text


def _one_of(field: str, names: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if (text := _text(value, field)) not in names:
            raise RowRejected("medium", f"`{field}` must be one of {', '.join(names)}", field)
        return text

    return check


def _s3_uri(value: Any) -> str:
    text = _text(value, "s3_uri")
    if not _S3_URI.fullmatch(text):  # `$` lets a line break follow
        message = "`s3_uri` must be s3://bucket/key, of letters, digits and the characters _-/."
        raise RowRejected("medium", message, "s3_uri")
    return text


def _tools(value: Any) -> list[Any]:
    """Return an RFT row's tools from a list or, as in a CSV cell, its JSON."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise RowRejected("schema", "`tools` is not valid JSON", "tools") from error
    return rft_prompt.check_tools(value)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "metadata": _metadata,
    "images": _image_parts,
    "image_format": _one_of("image_format", get_args(ImageFormat)),
    "video_format": _one_of("video_format", get_args(VideoFormat)),
    "s3_uri": _s3_uri,
    "tools": _tools,
    "info": multiturn.check_info,
}
