"""Models as files that run elsewhere: ONNX, OpenVINO, torch.export; each is run and compared with the model before it is kept."""

from evenface.export.parity import Report as Report
from evenface.export.run import FORMATS as FORMATS
from evenface.export.run import PRECISIONS as PRECISIONS
from evenface.export.run import export_model as export_model


__all__ = ["FORMATS", "PRECISIONS", "Report", "export_model"]
