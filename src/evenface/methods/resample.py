"""Cross-entropy on faces that are drawn class by class.

    p_l = n_l^q / sum_k n_k^q                        balanced: q = 0;  sqrt: q = 1/2
    p_l(t) = (1 - t) n_l / N + t / L                 progressive: t from 0 in the first epoch to 1 in the last

An epoch has as many draws as the training split has faces. The paper draws a face of the class at random; like the authors' class-aware
sampler, this one goes through the class before any face comes again. The paper's t is epoch / epochs; as in its code, t reaches both ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evenface.methods._options import about
from evenface.methods._sampling import class_counts, class_probabilities, draw_rows, progressive_probabilities
from evenface.methods.base import AnyOptions, Setting
from evenface.methods.ce import Ce, CeOptions


@dataclass(frozen=True)
class ResampleOptions(CeOptions):
    sampling: Literal["balanced", "sqrt", "progressive"] = field(
        default="balanced",
        metadata=about("classes alike, by the square root of their faces, or from a plain shuffle to classes alike over the epochs"),
    )


class Resample(Ce):
    """Cross-entropy with a class-balanced, square-root or progressive sampler."""

    name = "resample"
    title = "Re-sampling"
    paper = "Kang et al.: Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020"
    year = 2020
    Options = ResampleOptions
    options: ResampleOptions

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.epoch = 0

    def start_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def draw(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        counts = class_counts(labels, len(self.setting.class_names))
        return draw_rows(labels, self.probabilities(counts, self.epoch), len(labels), generator)

    def probabilities(self, counts: np.ndarray, epoch: int) -> np.ndarray:
        """Of each class, in one epoch (L,)."""
        if self.options.sampling == "progressive":
            return progressive_probabilities(counts, epoch / max(self.setting.epochs - 1, 1))
        return class_probabilities(counts, 0.0 if self.options.sampling == "balanced" else 0.5)

    def notes(self) -> list[str]:
        counts, names = np.asarray(self.setting.counts), self.setting.class_names
        visits = self.probabilities(counts, self.setting.epochs - 1) * counts.sum() / np.maximum(counts, 1)
        rare, common = int(visits.argmax()), int(counts.argmax())
        when = "In the last epoch" if self.options.sampling == "progressive" else "In an epoch"
        drawn = f"a face of '{names[rare]}' is drawn {visits[rare]:.2f} times, one of '{names[common]}' {visits[common]:.2f} times"
        return [f"{when} {drawn}.", *super().notes()]
