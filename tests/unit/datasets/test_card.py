"""The dataset card tells everything and trusts nothing."""

import json
from html.parser import HTMLParser

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.policies import Check, FindingPolicy
from novaloop.datasets.profile.card import card_html, dataset_card
from novaloop.datasets.profile.checks import Finding
from novaloop.datasets.profile.summary import DatasetSummary

EVIL = "<script>alert(1)</script>"


def summary(data: bytes, **options: int) -> DatasetSummary:
    return convert(
        [data],
        {RowFormat.EVALUATION: lambda _: None},
        DatasetOptions(**options),  # type: ignore[arg-type]
        lambda _: None,
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(page: str) -> set[str]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def test_card_is_json_and_tells_rows_labels_sizes_and_rejects() -> None:
    data = b"question,answer\n" + b"q,A\n" * 3 + b"long question,B\nragged\n"

    card = json.loads(json.dumps(dataset_card("eval", summary(data, max_rejects=1))))

    assert card["accepted"]
    assert (card["rows_in"], card["rows_out"], card["duplicate_rows"]) == (5, 4, 2)
    assert card["label_counts"] == {"A": 3, "B": 1}
    assert card["rejects"] == {"ragged-row": {"rows": 1, "first_lines": [6], "first_rows": [5]}}
    assert card["question_bytes"]["histogram"] == [{"from": 1, "rows": 3}, {"from": 8, "rows": 1}]
    assert card["question_bytes"]["max"] == len("long question")
    assert card["samples"][0] == {"question": "q", "answer": "A"}
    assert len(card["outputs"]["evaluation"]["sha256"]) == 64


def test_page_escapes_what_comes_from_the_dataset() -> None:
    data = f"question,answer\n{EVIL},{EVIL}\n".encode()
    finding = Finding(Check.IMBALANCE, FindingPolicy.WARN, ("eval",), 1, f"label {EVIL}")

    page = card_html(dataset_card("eval", summary(data), [finding]))

    assert "script" not in tags(page)
    assert page.count("&lt;script&gt;") == 4


def test_page_of_a_refused_dataset_says_why() -> None:
    page = card_html(dataset_card("sft", summary(b"question,answer\nq\n")))

    tags(page)
    assert "Refused (too-many-rejects): line 2: 1 cells where the header has 2" in page


def test_page_of_an_empty_file_is_complete() -> None:
    tags(card_html(dataset_card("sft", summary(b""))))


def test_findings_stand_on_the_cards_they_concern() -> None:
    finding = Finding(
        Check.SHARED_QUESTIONS, FindingPolicy.REFUSE, ("eval", "sft"), 3, "3 rows ..."
    )
    good = summary(b"question,answer\nq,A\n")

    assert dataset_card("sft", good, [finding])["findings"][0]["policy"] == "refuse"
    assert dataset_card("rft", good, [finding])["findings"] == []


def test_long_samples_are_cut() -> None:
    data = b"question,answer\n" + b"x" * 2_000 + b",A\n"

    assert len(dataset_card("sft", summary(data))["samples"][0]["question"]) == 501
