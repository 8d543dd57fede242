"""The paper's tables and Fig. 9: as printed (`reported`), checked (`arithmetic`, `audit`), and as layouts that a recipe's runs become.

LAYOUTS["table3"].render(scored).page[0].markdown()
"""

from __future__ import annotations

from evenface.report.paper.lambda_mu import LambdaMu
from evenface.report.paper.reported import reported
from evenface.report.paper.scored import Layout
from evenface.report.paper.table import PaperTable


__all__ = ["LAYOUTS"]

LAYOUTS: dict[str, Layout] = {**{name: PaperTable(name) for name in reported()}, "fig9": LambdaMu()}
"""What a recipe may name as its `layout`."""
