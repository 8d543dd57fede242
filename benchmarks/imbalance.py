"""The curve of docs/noise-and-imbalance.md: mean recall and overall of each method over the imbalance of its training faces.

    python benchmarks/imbalance.py dev/kept/imbalance_ferplus_cpu.parquet -o docs/imbalance.webp

Reads the answers that `evenface study recipes/imbalance_ferplus_cpu.yaml --keep FILE` has kept; seed 0, lines are 95 % intervals
(stratified bootstrap over the test faces). Methods with the answers of one that is drawn already are named beside it.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from evenface.errors import ConfigError, DataError, EvenfaceError
from evenface.evaluation.intervals import bootstrap_scores
from evenface.evaluation.metrics import confusion_matrix, scores
from evenface.files import write_aside
from evenface.report.figures.colours import method_style
from evenface.report.figures.figure import Figure, canvas, drawn
from evenface.report.tables import TITLES
from evenface.study import plan, read_recipe


RECIPE = Path("recipes/imbalance_ferplus_cpu.yaml")
FACTORS = {"own": 73, "100": 100, "150": 150}
KEYS = ("mean_recall", "overall")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", type=Path, help="the file of --keep")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the picture, .webp or .png")
    args = parser.parse_args()
    try:
        if args.output.suffix not in (".webp", ".png"):
            raise ConfigError(f"{args.output} must end in .webp or .png")
        table = pq.read_table(args.answers)
        runs = {(run.base, run.labels.get("imbalance", "")): run.folder.name for run in plan(read_recipe(args.recipe), seeds=[0])}
        picture = Image.open(io.BytesIO(curves(table, runs).png()))
        write_aside(args.output, lambda file: picture.save(file, args.output.suffix[1:], quality=90))
    except (EvenfaceError, OSError, pa.ArrowInvalid) as error:
        print(f"imbalance: no curve of {args.answers} in {args.output}: {error}.", file=sys.stderr)
        return 1
    print(f"written   {args.output}")
    return 0


@drawn
def curves(table: pa.Table, runs: dict[tuple[str, str], str]) -> Figure:
    """A line per method, of those that have answers at all factors.

    Raises:
        DataError: none has.
    """
    labels = table["label"].to_pylist()
    names = sorted(set(labels))
    place = {name: index for index, name in enumerate(names)}
    true = np.array([place[label] for label in labels])
    answers = {}
    for base in dict.fromkeys(base for base, _ in runs):
        columns = [runs.get((base, label), "") for label in FACTORS]
        if set(columns) <= set(table.column_names):
            answers[base] = [np.array([place[each] for each in table[column].to_pylist()]) for column in columns]
    if not answers:
        raise DataError("no method has answers at all factors there")
    drawn_already: dict[bytes, str] = {}
    for base, found in answers.items():
        key = b"".join(each.tobytes() for each in found)
        drawn_already[key] = f"{drawn_already[key]} = {base}" if key in drawn_already else base
    drawing = canvas(7.4, 3.4)
    fields = drawing.subplots(1, 2)
    rows = []
    for index, title in enumerate(drawn_already.values()):
        found = answers[title.split(" = ")[0]]
        x = np.array(list(FACTORS.values())) * 1.008 ** (index - 2)  # side by side, so that the intervals can be told apart
        intervals = [bootstrap_scores(true, each, len(names), 2000, 0) for each in found]
        rates = [scores(confusion_matrix(true, each, len(names))) for each in found]
        for axes, key in zip(fields, KEYS, strict=True):
            values = [float(getattr(each, key)) for each in rates]
            axes.plot(x, [100 * v for v in values], linewidth=1.2, markersize=4.5, label=title, **method_style(index))
            axes.vlines(
                x, *(([100 * each[key][end] for each in intervals]) for end in (0, 1)), color=method_style(index)["color"], linewidth=1
            )
            rows += [(title, f, key, v, *each[key]) for f, v, each in zip(FACTORS.values(), values, intervals, strict=True)]
    for axes, key in zip(fields, KEYS, strict=True):
        axes.set_xscale("log")
        axes.set_xticks(list(FACTORS.values()), [str(f) for f in FACTORS.values()])
        axes.minorticks_off()
        axes.set_title(TITLES[key])
        axes.set_xlabel("faces of the most frequent class per face of the rarest")
    fields[0].set_ylabel("percent")
    drawing.legend(*fields[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    caption = f"{len(true):,} test faces. Lines: 95 % intervals over them, one training each."
    return Figure(
        "imbalance", "Scores over the imbalance", caption, drawing, ("method", "factor", "score", "value", "low", "high"), tuple(rows)
    )


if __name__ == "__main__":
    sys.exit(main())
