"""What the checks across datasets need to know of one of them: at most 12 MB, without text."""

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import orjson

from novaloop.datasets.profile.histogram import Distribution, Histogram
from novaloop.datasets.profile.label_leaks import FEATURES
from novaloop.datasets.profile.near_duplicates import SignatureSketch, SignatureSketcher
from novaloop.datasets.profile.sketch import RowSketch, RowSketcher
from novaloop.datasets.rows.encoded import NO_PAIRS, RewardedPairs

MAX_DISTINCT_ANSWERS = 64


@dataclass(frozen=True)
class DatasetProfile:
    """Hashes, signatures and counts of the accepted rows; `label_counts` None means free text."""

    rows: int
    label_counts: Mapping[str, int] | None
    sketch: RowSketch
    signatures: SignatureSketch
    tokens: Distribution
    pairs: RewardedPairs = NO_PAIRS

    @classmethod
    def empty(cls) -> "DatasetProfile":
        """Return the profile of no rows."""
        sketch, signatures = RowSketcher().sketch(), SignatureSketcher().sketch()
        return cls(0, {}, sketch, signatures, Histogram().distribution())

    def joined(self, other: "DatasetProfile") -> "DatasetProfile":
        """Return the profile of the rows of both, those of `other` after those here."""
        sketcher = RowSketcher()
        sketcher.absorb(self.sketch)
        sketcher.absorb(other.sketch)
        tokens = Histogram()
        tokens.absorb(self.tokens)
        tokens.absorb(other.tokens)
        labels = _added(self.label_counts, other.label_counts)
        return DatasetProfile(
            rows=self.rows + other.rows,
            label_counts=labels,
            sketch=sketcher.sketch(),
            signatures=self.signatures.joined(other.signatures),
            tokens=tokens.distribution(),
            pairs=self.pairs + other.pairs,
        )

    def to_bytes(self) -> bytes:
        """Return the profile as an .npz file, to be kept beside the dataset."""
        counts = orjson.dumps(
            {
                "rows": self.rows,
                "label_counts": self.label_counts,
                "sampling_bits": [self.sketch.sampling_bits, self.signatures.sampling_bits],
                "tokens": asdict(self.tokens),
                "pairs": tuple(self.pairs),
            }
        )
        buffer = io.BytesIO()
        np.savez(
            buffer,
            counts=np.frombuffer(counts, np.uint8),
            questions=self.sketch.questions,
            answers=self.sketch.answers,
            signed_questions=self.signatures.questions,
            signatures=self.signatures.signatures,
            features=self.signatures.features,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "DatasetProfile":
        """Read what to_bytes wrote; raises ValueError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                counts = orjson.loads(file["counts"].tobytes())
                row_bits, signature_bits = counts["sampling_bits"]
                signed = file["signed_questions"]
                # Earlier profiles have none; where all are alike, they give nothing away.
                none = np.zeros((len(signed), len(FEATURES)), np.uint16)
                features = file.get("features", none)
                buckets = tuple((bound, rows) for bound, rows in counts["tokens"]["buckets"])
                return cls(
                    counts["rows"],
                    counts["label_counts"],
                    RowSketch(file["questions"], file["answers"], row_bits),
                    SignatureSketch(signed, file["signatures"], features, signature_bits),
                    Distribution(**{**counts["tokens"], "buckets": buckets}),
                    RewardedPairs(*counts.get("pairs", ())),
                )
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ValueError("not a dataset profile") from error


def _added(
    one: Mapping[str, int] | None, other: Mapping[str, int] | None
) -> Mapping[str, int] | None:
    if one is None or other is None:
        return None
    labels = Counter(one) + Counter(other)
    return None if len(labels) > MAX_DISTINCT_ANSWERS else dict(labels.most_common())
