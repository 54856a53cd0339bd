"""One row of text to one line of a row format."""
