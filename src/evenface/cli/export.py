"""Make a model a file that runs without torch: ONNX or OpenVINO, in fp32, fp16 or int8; or a program of torch.export.

  evenface export runs/x -o model.onnx
  evenface export model_folder -o model_folder/model.onnx          (evenface predict then takes it by itself where there is no GPU)
  evenface export runs/x --precision int8 -o small.onnx            (calibrated on the run's training faces)
  evenface export model_folder --precision int8 --calibrate-on ferplus --data-dir DIR -o small.onnx
  evenface export runs/x --format openvino -o model.xml

The file is run on the validation faces and compared with the model first. One that disagrees is not kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from evenface.export import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="RUN", help="a run, a model folder, or a name of `evenface models list`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=".onnx, .xml (openvino) or .pt2 (torch-export)")
    parser.add_argument("--format", default="onnx", choices=["onnx", "openvino", "torch-export"], help="default: onnx")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "fp16", "int8"], help="default: fp32")
    faces = parser.add_argument_group("faces")
    faces.add_argument("--dataset", help="compare on the validation split of this data set (default: the run's; without any, drawn faces)")
    faces.add_argument("--data-dir", help="where it lies (default: the run's)")
    faces.add_argument("--calibrate-on", metavar="DATASET", help="int8: measure the ranges on its training faces (default: as above)")
    faces.add_argument("--calibration-faces", type=int, metavar="N", help="how many of them (default: 512)")
    faces.add_argument("--seed", type=int, metavar="N", help="of the choice of these faces (default: 0)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the comparison as JSON")


def run(args: argparse.Namespace) -> int:
    from evenface.errors import ConfigError
    from evenface.export import export_model
    from evenface.files import write_text

    if args.report is not None:
        _check_report(args.report, args.output)
    if args.seed is not None and args.seed < 0:
        raise ConfigError(f"--seed is a whole number of at least 0, not {args.seed}.")
    report = export_model(
        args.target,
        args.output,
        format=args.format,
        precision=args.precision,
        dataset=args.dataset,
        data_dir=args.data_dir,
        calibrate_on=args.calibrate_on,
        calibration_faces=args.calibration_faces,
        seed=args.seed,
    )
    print("\n".join(lines(report)))
    print(f"written   {args.output} ({args.format}, {args.precision}, {_megabytes(args.output)})")
    if args.report is not None:
        write_text(args.report, json.dumps(_record(args, report), indent=1) + "\n")
    return 0


def _check_report(file: Path, output: Path) -> None:
    """Refuses a place that cannot be written, or is that of the model."""
    from evenface.errors import ConfigError
    from evenface.files import require_writable

    if file.is_dir():
        raise ConfigError(f"{file} is a folder; --report names a file.")
    model = [output, output.with_suffix(".bin")] if output.suffix == ".xml" else [output]
    if file.resolve() in map(Path.resolve, model):
        raise ConfigError(f"{file} is where the model goes; give --report another name.")
    require_writable(file.parent)


def lines(report: Report) -> list[str]:
    """The report for people."""
    ours, file = report.torch, report.file
    found = [
        f"compared on {report.faces}",
        f"  largest difference   logits {report.max_logit_difference:.2e}, probabilities {report.max_probability_difference:.2e}",
        f"  in itself            probabilities {report.max_softmax_difference:.2e} from the softmax of its own logits",
        f"  maps                 off by {report.map_difference:.2%} (root mean square)",
        f"  same class           {report.agreement:.2%}",
    ]
    if report.recall is not None and report.mean_recall is not None:
        rows = {**report.recall, "mean recall": report.mean_recall}
        found += [f"  {'recall, percent':<20} {'torch':>6} {'file':>6}"]
        found += [f"    {name:<18} {100 * before:>6.1f} {100 * after:>6.1f}" for name, (before, after) in rows.items()]
    return [
        *found,
        f"  threads              torch {report.threads}, the file as its runtime chooses",
        f"  one face             torch fp32 {ours.ms:.1f} ms, file {file.ms:.1f} ms ({ours.ms / file.ms:.1f}x)",
        f"  batches of 32        torch fp32 {ours.faces_per_second:.0f} faces/s, file {file.faces_per_second:.0f} "
        f"({file.faces_per_second / ours.faces_per_second:.1f}x)",
    ]


def _record(args: argparse.Namespace, report: Report) -> dict[str, Any]:
    about = {"schema_version": 1, "model": str(args.target), "output": str(args.output), "format": args.format, "precision": args.precision}
    return {**about, **report.to_dict()}


def _megabytes(path: Path) -> str:
    size = path.stat().st_size + (path.with_suffix(".bin").stat().st_size if path.suffix == ".xml" else 0)
    return f"{size / 1e6:.1f} MB"
