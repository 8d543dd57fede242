"""The pieces that several systems share; a system is a sum of them.

    total = l_cls + lambda l_rbc + mu l_rbf          equation 7 of the paper

`Sum` turns the terms that a subclass lists into a loss. The option classes carry the names, defaults and help texts of each piece, so that
the same thing has the same flag in every method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.losses import class_weights, rebalanced_consistency, rebalanced_focal, weight_notes
from evenface.losses.consistency import Distance, Norm, Weighting
from evenface.losses.weights import Normalize, Scheme
from evenface.methods._options import about
from evenface.methods.base import AnyOptions, Batch, Losses, Method, Options, Setting
from evenface.models.output import Output


Views = Literal["both", "original"]
Term = tuple[float, Tensor]  # coefficient, unweighted value


@dataclass(frozen=True)
class OriginalView(Options):
    """Classification on the first view only."""

    cls_views: Views = field(default="original", metadata=about("views of a face that the classification loss is summed over"))


@dataclass(frozen=True)
class BothViews(OriginalView):
    """Classification summed over both views (equation 1)."""

    cls_views: Views = field(default="both", metadata=about("views of a face that the classification loss is summed over"))


@dataclass(frozen=True)
class WeightOptions(Options):
    """Class weights B (equation 6)."""

    weights: Scheme = field(
        default="effective", metadata=about("class weights: effective number, inverse frequency, MEK's 0.1 N/n, or none")
    )
    beta: float = field(default=0.999, metadata=about("beta of the effective number, in [0, 1): 0 is uniform, towards 1 inverse frequency"))
    normalize: Normalize = field(
        default="sum_to_C", metadata=about("scale of the weights: sum to the classes, mean 1 over the faces, or raw")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        class_weights((1, 1), self.weights, self.beta)  # it says what is wrong with a beta
        if not 0 <= self.beta < 1:  # of a scheme that has no beta
            raise ConfigError(
                f"beta must be at least 0 and below 1, not {self.beta}; --weights {self.weights} does not use it, so leave it out."
            )


@dataclass(frozen=True)
class ConsistencyOptions(Options):
    """Rebalanced consistency (equations 2, 3)."""

    lam: float = field(default=0.1, metadata=about("lambda, weight of the consistency of the class maps", low=0))
    rbc_norm: Norm = field(default="mek_sum_classes", metadata=about("sum over classes as MEK's code, or the printed mean over all"))
    rbc_weighting: Weighting = field(default="outside", metadata=about("weight outside the square (MEK's code) or inside as printed"))
    rbc_distance: Distance = field(default="sq", metadata=about("difference of two maps: squared, or absolute as printed"))
    flip_back: bool = field(
        default=True, metadata=about("bring the second view's maps back to the first's grid; off compares them as printed")
    )
    detach_maps: bool = field(default=True, metadata=about("no gradient into the head's weight through the maps"))


@dataclass(frozen=True)
class FocalOptions(Options):
    """Rebalanced focal loss (equations 4, 5), on the views that are classified."""

    mu: float = field(default=0.5, metadata=about("weight of the rebalanced focal loss", low=0))
    gamma: float = field(default=2.0, metadata=about("focusing on hard faces; 0 is cross-entropy", low=0))


@dataclass(frozen=True)
class FocusOptions(FocalOptions):
    """Rebalanced focal loss on views that an option of its own names."""

    rbf_views: Views = field(default="both", metadata=about("views of a face that the focal loss is summed over"))


class Sum(Method):
    """A method whose loss is a sum of terms."""

    @property
    def cls_views(self) -> Views:
        return self.options.cls_views if isinstance(self.options, OriginalView) else "original"

    @property
    def views(self) -> int:
        return 2 if self.cls_views == "both" else 1

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        """Name -> (coefficient, value). A term whose coefficient is 0 is left out, so that it costs nothing."""
        raise NotImplementedError

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        if self.views == 2:
            terms = self.terms(batch, *self.forward_views(batch, model))
        else:
            terms = self.terms(batch, model(batch.x), None)
        total = torch.stack([coefficient * value for coefficient, value in terms.values()]).sum()
        return Losses(total, {name: value.detach() for name, (_, value) in terms.items()})


class Weighted(Sum):
    """A sum of terms with class weights `B`, a float32 buffer (L,). The options must hold those of `WeightOptions`."""

    B: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        values = self.make_weights(setting.counts)
        # Not persistent: they follow from the counts, and a checkpoint of other counts must not bring its own.
        self.register_buffer("B", torch.tensor(values, dtype=torch.float32), persistent=False)

    def make_weights(self, counts: Sequence[int]) -> list[float]:
        o = self.options
        assert isinstance(o, WeightOptions), "Weighted needs WeightOptions, or its own make_weights"
        return list(class_weights(counts, o.weights, o.beta, o.normalize))

    @property
    def uses_weights(self) -> bool:
        """Whether a term with B has a coefficient above 0."""
        return True

    def notes(self) -> list[str]:
        o = self.options
        if not self.uses_weights or (isinstance(o, WeightOptions) and o.weights == "none"):
            return super().notes()
        return [*weight_notes(self.B.tolist(), self.setting.class_names, self.setting.counts), *super().notes()]

    def idle(self) -> dict[str, tuple[str, ...]]:
        o = self.options
        return {f"--weights {o.weights}": _UNUSED[o.weights]} if isinstance(o, WeightOptions) else {}


_UNUSED: dict[Scheme, tuple[str, ...]] = {  # options of a scheme that do nothing
    "effective": (),
    "inverse": ("beta",),
    "inverse_mek": ("beta", "normalize"),
    "none": ("beta", "normalize"),
}


def over_views(views: Views, first: Output, second: Output | None, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """`loss` of the logits (N, L), summed over the views asked for."""
    value = loss(first.logits)
    if views == "both":
        assert second is not None, "the method's `views` must be 2"
        value = value + loss(second.logits)
    return value


def consistency(options: ConsistencyOptions, batch: Batch, first: Output, second: Output | None, weights: Tensor) -> Tensor:
    """l_rbc of the maps of both views, the second brought back to the grid of the first."""
    assert second is not None, "the method's `views` must be 2"
    back = batch.undo(second.maps) if options.flip_back else second.maps
    return rebalanced_consistency(first.maps, back, weights, options.rbc_norm, options.rbc_weighting, options.rbc_distance)


def focus(options: FocusOptions, batch: Batch, first: Output, second: Output | None, weights: Tensor) -> Tensor:
    """l_rbf over the views asked for."""
    return over_views(options.rbf_views, first, second, lambda z: rebalanced_focal(z, batch.labels, weights, options.gamma))


def set_detach(model: nn.Module, detach: bool) -> None:
    """Tell the classifier whether gradient flows from its maps into its head (it detaches by default).

    Raises:
        ConfigError: gradient is asked for and the model has no such switch.
    """
    while not hasattr(model, "detach_maps") and isinstance(getattr(model, "module", None), nn.Module):
        model = model.get_submodule("module")  # a wrapper for several processes
    if hasattr(model, "detach_maps"):
        model.detach_maps = detach  # type: ignore[assignment]
    elif not detach:
        raise ConfigError(f"{type(model).__name__} always detaches its head in the maps; leave detach_maps on.")
