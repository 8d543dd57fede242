"""The figures of a report, one per file: each is drawn from plain arrays and carries the numbers that it shows."""
