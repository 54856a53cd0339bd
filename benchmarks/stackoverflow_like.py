"""A seeded CSV file like the 60k Stack Overflow questions: multi-line HTML, code, quotes, CJK."""

import csv
import random
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
MULTI_LINE_SHARE = 0.87
_WORDS = (  # noqa: SIM905 - a list of quoted words would be harder to read
    "how do i get the value of a list in python when my function returns none and error says"
    " object is not callable please help thanks <b>java</b> \"string\" 'char' int x = 5; arr[i]"
    " für naïve 日本語 テスト 🙂 null pointer https://example.com/a?b=c&d=1 <br/> &lt;b&gt; wrong"
).split()


def generate(path: Path, size: int, seed: int = 7) -> tuple[int, int]:
    """Write about `size` bytes; return the number of rows and their content sum."""
    rows = content = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Id", "Title", "Body", "Tags", "CreationDate", "Y"])
        for row in _rows(random.Random(seed)):  # noqa: S311
            writer.writerow(row)
            rows += 1
            content = (content + content_hash(row[2], row[5])) % 2**64
            if rows % 256 == 0 and file.tell() >= size:
                return rows, content
    raise AssertionError


def content_hash(question: str, answer: str) -> int:
    """Return a row's share in the content sum, which doesn't depend on the order of rows."""
    data = f"{question}\0{answer}".encode()
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def _rows(rng: random.Random) -> Iterator[list[str]]:
    number = 0
    while True:
        number += 1
        title = " ".join(rng.choices(_WORDS, k=8))
        date = f"20{rng.randint(16, 20)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02} 00:00:00"
        yield [str(number), title, _body(rng), "<python><list>", date, rng.choice(LABELS)]


def _body(rng: random.Random) -> str:
    if rng.random() > MULTI_LINE_SHARE:
        return f"<p>{' '.join(rng.choices(_WORDS, k=70))}</p>"
    line_end = rng.choice(["\n", "\r\n"])
    lines = [f"<p>{' '.join(rng.choices(_WORDS, k=rng.randint(5, 25)))}</p>" for _ in range(4)]
    code = [f"    {' '.join(rng.choices(_WORDS, k=6))}" for _ in range(rng.randint(1, 12))]
    return line_end.join([*lines, "", "<pre><code>", *code, "</code></pre>"])
