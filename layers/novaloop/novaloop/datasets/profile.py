"""What the checks across datasets need to know of one of them: at most 12 MB, without text."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import orjson

from .label_leaks import FeatureCounts
from .near_duplicates import SignatureSketch
from .sketch import RowSketch


@dataclass(frozen=True)
class DatasetProfile:
    """Hashes, signatures and counts of the accepted rows; `label_counts` None means free text."""

    rows: int
    label_counts: Mapping[str, int] | None
    feature_counts: FeatureCounts
    sketch: RowSketch
    signatures: SignatureSketch

    def to_bytes(self) -> bytes:
        """Return the profile as an .npz file, to be kept beside the dataset."""
        counts = orjson.dumps(
            {
                "rows": self.rows,
                "label_counts": self.label_counts,
                "feature_counts": self.feature_counts,
                "sampling_bits": [self.sketch.sampling_bits, self.signatures.sampling_bits],
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
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "DatasetProfile":
        """Read what to_bytes wrote; raises ValueError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                counts = orjson.loads(file["counts"].tobytes())
                row_bits, signature_bits = counts["sampling_bits"]
                return cls(
                    counts["rows"],
                    counts["label_counts"],
                    counts["feature_counts"],
                    RowSketch(file["questions"], file["answers"], row_bits),
                    SignatureSketch(file["signed_questions"], file["signatures"], signature_bits),
                )
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ValueError("not a dataset profile") from error
