"""What Nova reads besides text, and where it may lie."""

from typing import Literal

ImageFormat = Literal["gif", "jpeg", "png", "webp"]
VideoFormat = Literal["mov", "mkv", "mp4", "webm"]
DocumentFormat = Literal["pdf"]
S3_URI = r"^s3://[\w\-/.]+$"
TEXT_ONLY_MODEL = "nova-micro"
MAX_IMAGES = 10
MAX_VIDEOS = 1
