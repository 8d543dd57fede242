"""The kinds of network that a model folder can hold: the plain classifier, and those of methods whose inference needs more.

    model = build_network("linear", "resnet18", BASIC, img_size=112, settings={})

Each is a `Classifier` with another head, or with branches; all take faces (B, 3, S, S) and give `Output`. A method makes one by
`Kind.of(classifier, ...)` in its `prepare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenface.errors import ModelError, unknown_name
from evenface.models.backbone import outside_inference_mode
from evenface.models.bbn import Bilateral
from evenface.models.classifier import Classifier, build_classifier
from evenface.models.cosine import CosineClassifier
from evenface.models.experts import Experts
from evenface.models.patches import Patches
from evenface.models.regions import Regions
from evenface.models.scaled import Scaled
from evenface.models.uncertain import Uncertain


KINDS: dict[str, type[Classifier]] = {
    kind.kind: kind for kind in (Classifier, CosineClassifier, Patches, Regions, Experts, Scaled, Bilateral, Uncertain)
}


@outside_inference_mode()
def build_network(kind: str, model: str, class_names: Sequence[str], img_size: int, settings: dict[str, Any]) -> Classifier:
    """A network of that kind around a backbone, with random weights.

    Raises:
        ConfigError: see `build_classifier`.
        ModelError: an unknown kind (a newer evenface may have written it), or settings that it does not take.
    """
    if kind not in KINDS:
        raise ModelError(unknown_name("kind of network", kind, KINDS))
    plain = build_classifier(model, class_names, img_size)
    if kind == Classifier.kind:
        return plain
    try:
        return KINDS[kind].of(plain, **settings)
    except TypeError as error:
        raise ModelError(f"The network '{kind}' does not take these settings: {error}.") from error
