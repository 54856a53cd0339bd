"""The names by which metrics may be asked for."""

from collections.abc import Mapping

SHORT_NAMES: Mapping[str, str] = {"exact_match": "em", "quasi_exact_match": "qem"}
LENIENT_ACCURACY = "lenient_accuracy"
BLEU = "bleu"
ROW_METRICS = (
    *SHORT_NAMES,
    *SHORT_NAMES.values(),
    "f1",
    "f1_score_quasi",
    "rouge1",
    "rouge2",
    "rougeL",
    BLEU,
    LENIENT_ACCURACY,
)
"""What is measured by the rows of an evaluation."""
