"""SFT rows in Bedrock's conversation schema of 2024, checked as Nova's SFT jobs want them."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from novaloop.datasets.reading.json_text import to_json
from novaloop.datasets.rows.media import (
    MAX_IMAGES,
    MAX_VIDEOS,
    S3_URI,
    TEXT_ONLY_MODEL,
    DocumentFormat,
    ImageFormat,
    VideoFormat,
)
from novaloop.datasets.rows.schema import NonBlank, Strict, parse, rejected
from novaloop.datasets.rows.text_rules import require_unreserved
from novaloop.problem import Invalid, Problem
from novaloop.typed import dotted

NOVA_2 = "nova-lite-2"
_MEDIA = ("image", "video", "document")


class S3Location(Strict):
    """Where a medium lies."""

    uri: Annotated[str, Field(pattern=S3_URI)]
    bucketOwner: str  # noqa: N815 - Bedrock's spelling


class MediaSource(Strict):
    """A medium's source."""

    s3Location: S3Location  # noqa: N815


class Image(Strict):
    """An image."""

    format: ImageFormat
    source: MediaSource


class Video(Strict):
    """A video."""

    format: VideoFormat
    source: MediaSource


class Document(Strict):
    """A document."""

    format: DocumentFormat
    source: MediaSource


class Text(Strict):
    """A text."""

    text: NonBlank


class Reasoning(Strict):
    """The thoughts before an answer."""

    reasoningText: Text  # noqa: N815


class ToolUse(Strict):
    """A call of a tool."""

    toolUseId: NonBlank  # noqa: N815
    name: NonBlank
    input: dict[str, Any]


class ToolResultPart(Strict):
    """A part of a tool's answer."""

    text: str | None = None
    json_value: Annotated[Any, Field(alias="json")] = None

    @model_validator(mode="after")
    def _one_kind(self) -> "ToolResultPart":
        if (self.text is None) is (self.json_value is None):
            raise Invalid(Problem("", "must hold either text or json"))
        return self


class ToolResult(Strict):
    """A tool's answer."""

    toolUseId: NonBlank  # noqa: N815
    content: Annotated[list[ToolResultPart], Field(min_length=1)]
    status: Literal["success", "error"] | None = None


class ContentPart(Strict):
    """One part of a turn: exactly one of its fields is set."""

    text: NonBlank | None = None
    image: Image | None = None
    video: Video | None = None
    document: Document | None = None
    reasoningContent: Reasoning | None = None  # noqa: N815
    toolUse: ToolUse | None = None  # noqa: N815
    toolResult: ToolResult | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one_kind(self) -> "ContentPart":
        if len(self.kinds) != 1:
            rule = f"must hold exactly one of {', '.join(ContentPart.model_fields)}"
            raise Invalid(Problem("", rule))
        return self

    @property
    def kinds(self) -> list[str]:
        """Names of the fields that are set."""
        return [name for name, value in self if value is not None]


class Turn(Strict):
    """What one side says."""

    role: Literal["user", "assistant"]
    content: Annotated[list[ContentPart], Field(min_length=1)]


class InputSchema(Strict):
    """The JSON schema of a tool's input."""

    json_schema: Annotated[dict[str, Any], Field(alias="json")]

    @model_validator(mode="after")
    def _has_type(self) -> "InputSchema":
        if "type" not in self.json_schema:
            raise Invalid(Problem("", "json must have a type"))
        return self


class ToolSpec(Strict):
    """A tool's description."""

    name: NonBlank
    description: NonBlank
    inputSchema: InputSchema  # noqa: N815


class ConverseTool(Strict):
    """A tool."""

    toolSpec: ToolSpec  # noqa: N815


class ToolConfig(Strict):
    """The tools that a conversation may use."""

    tools: Annotated[list[ConverseTool], Field(min_length=1)]

    @model_validator(mode="after")
    def _unique_names(self) -> "ToolConfig":
        if len(self.names) < len(self.tools):
            raise Invalid(Problem("", "two tools have the same name", "rename one"))
        return self

    @property
    def names(self) -> set[str]:
        """Names of the tools."""
        return {tool.toolSpec.name for tool in self.tools}


class Conversation(Strict):
    """One SFT row."""

    schemaVersion: Literal["bedrock-conversation-2024"]  # noqa: N815
    system: Annotated[list[Text], Field(min_length=1)] | None = None
    toolConfig: ToolConfig | None = None  # noqa: N815
    messages: Annotated[list[Turn], Field(min_length=2)]


def read_conversation(row: dict[str, Any], model: str) -> Conversation:
    """Return a valid SFT row; raises RowRejected with the path of what is wrong."""
    conversation = parse(Conversation, row)
    _require_turns(conversation)
    _require_model(conversation, model)
    _require_tools(conversation)
    return conversation


def require_unreserved_texts(conversation: Conversation) -> None:
    """Raise RowRejected if a text holds a word that the SFT containers reserve."""
    for path, text in _texts(conversation):
        require_unreserved([text], path)


def used_features(conversation: Conversation) -> frozenset[str]:
    """Return the features that all rows of a file must have if one has them."""
    system = {"system"} if conversation.system else set()
    return frozenset(used_kinds(conversation) - {"text", "document"} | system)


def used_kinds(conversation: Conversation) -> set[str]:
    """Return the kinds of the parts of all turns, such as text or image."""
    return {kind for _, part in _parts(conversation) for kind in part.kinds}


def question(conversation: Conversation) -> str:
    """Return all that is said before the last answer, its media apart: by the last turn alone,
    "yes, please" in two conversations would be one question. The system's text is no part of it,
    as in plain rows; nor are the ids by which tools' results are found."""
    parts = (part for turn in conversation.messages[:-1] for part in turn.content)
    return "\n".join(text for text in map(_said, parts) if text)


def last_answer(conversation: Conversation) -> str:
    """Return the text of the last turn, which is the assistant's."""
    return "\n".join(part.text for part in conversation.messages[-1].content if part.text)


def media(conversation: Conversation) -> list[str]:
    """Return where the images, videos and documents lie that are shown, in order."""
    shown = (part.image or part.video or part.document for _, part in _parts(conversation))
    return [each.source.s3Location.uri for each in shown if each]


def _said(part: ContentPart) -> str:
    if part.toolUse:
        return f"{part.toolUse.name} {to_json(part.toolUse.input).decode()}"
    if part.toolResult:
        results = part.toolResult.content
        return "\n".join(each.text or to_json(each.json_value).decode() for each in results)
    return part.text or (part.reasoningContent.reasoningText.text if part.reasoningContent else "")


def text_size(conversation: Conversation) -> int:
    """Return the bytes of all text that the model reads, tools included."""
    sizes = [len(text.encode()) for _, text in _texts(conversation)]
    config = conversation.toolConfig
    tools = to_json(config.model_dump(by_alias=True)) if config else b""
    return sum(sizes) + len(tools)


def _parts(conversation: Conversation) -> Iterator[tuple[str, ContentPart]]:
    for turn_number, turn in enumerate(conversation.messages):
        for number, part in enumerate(turn.content):
            yield dotted("messages", turn_number, "content", number), part


def _texts(conversation: Conversation) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(conversation.system or []):
        yield dotted("system", number), text.text
    for path, part in _parts(conversation):
        if part.text:
            yield path, part.text
        if part.reasoningContent:
            yield path, part.reasoningContent.reasoningText.text
        if part.toolResult:
            yield from ((path, each.text) for each in part.toolResult.content if each.text)


def _require_turns(conversation: Conversation) -> None:
    for number, turn in enumerate(conversation.messages):
        path, expected = dotted("messages", number), ("user", "assistant")[number % 2]
        if turn.role != expected:
            rule = f"must be the {expected}'s turn"
            raise rejected(path, rule, "turns alternate, the user begins")
        _require_part_kinds(path, turn)
    if conversation.messages[-1].role != "assistant":
        raise rejected("messages", "the last turn must be the assistant's")


def _require_part_kinds(path: str, turn: Turn) -> None:
    counts = Counter(kind for part in turn.content for kind in part.kinds)
    foreign = {"user": ("reasoningContent", "toolUse"), "assistant": (*_MEDIA, "toolResult")}
    for kind in foreign[turn.role]:
        if counts[kind]:
            raise rejected(path, f"a {turn.role} turn can't hold {kind}", "move or remove it")
    if sum(bool(counts[kind]) for kind in _MEDIA) > 1:
        what = "images, videos and documents can't be mixed in one turn"
        raise rejected(path, what, "keep one of these kinds")
    if counts["image"] > MAX_IMAGES or counts["video"] > MAX_VIDEOS:
        most = f"at most {MAX_IMAGES} images or {MAX_VIDEOS} video in one turn"
        raise rejected(path, most, "leave the others out")


def _require_model(conversation: Conversation, model: str) -> None:
    kinds = used_kinds(conversation)
    nova_2_only = kinds & {"reasoningContent", "document", "toolUse", "toolResult"}
    if conversation.toolConfig:
        nova_2_only.add("toolConfig")
    if nova_2_only and model != NOVA_2:
        what = f"{min(nova_2_only)} needs model {NOVA_2}, not {model}"
        raise rejected("messages", what, "choose it, or leave that out")
    if model == TEXT_ONLY_MODEL and kinds & set(_MEDIA):
        do = "choose another, or leave out what is no text"
        raise rejected("messages", f"model {model} reads text only", do)
    if "reasoningContent" in kinds and kinds & set(_MEDIA):
        what = "reasoningContent can't go with images, videos or documents"
        raise rejected("messages", what, "leave one of both out")


def _require_tools(conversation: Conversation) -> None:
    known = conversation.toolConfig.names if conversation.toolConfig else set()
    open_uses: set[str] = set()
    seen: set[str] = set()
    for path, part in _parts(conversation):
        if part.toolUse:
            use = part.toolUse
            if use.name not in known:
                raise rejected(path, "toolUse names a tool that toolConfig lacks", "add it there")
            if use.toolUseId in seen:
                raise rejected(path, "toolUseId is used twice", "give each its own")
            seen.add(use.toolUseId)
            open_uses.add(use.toolUseId)
        elif part.toolResult:
            if part.toolResult.toolUseId not in open_uses:
                do = "give it the toolUseId of one"
                raise rejected(path, "toolResult answers no open toolUse before it", do)
            open_uses.remove(part.toolResult.toolUseId)
    if open_uses:
        raise rejected("messages", "a toolUse has no toolResult", "add one in the next turn")
