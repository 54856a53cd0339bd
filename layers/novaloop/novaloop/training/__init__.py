"""What a training job's log tells of its course: curves, progress, and whether it is healthy."""
