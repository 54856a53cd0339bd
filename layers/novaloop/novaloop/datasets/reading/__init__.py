"""Bytes to rows of text: encodings, CSV, byte ranges."""
