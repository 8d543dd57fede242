"""The sections of a report, one per file: each takes what was gathered and gives HTML, figures and tables."""
