"""What is done with runs and model folders once they are trained, one verb a file: `evaluate`, `compare`, `calibrate`, their `card`s, and
another tool's `answers` beside them. What these share: `find` (which folder is meant), `data` (the faces to score on), `labels` (what the
methods of several runs are called) and `scored` (folders of scores)."""
