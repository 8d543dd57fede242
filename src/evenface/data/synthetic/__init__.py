"""Synthetic faces drawn from facial action units: seeded, of any size and class counts, free of anybody's likeness.

    from evenface.data.synthetic import contact_sheet, synthetic_face
    contact_sheet(seed=1).save("faces.png")

The way of a face: units.py (which action units an expression has) and person.py (who) -> anatomy.py (what the units do to
that face) -> head.py, features.py (painting, on canvas.py) -> scene.py (pose, light, occlusion, blur). sets.py makes
manifests of them, face.py single images; dice.py holds the random numbers.
"""

from evenface.data.synthetic.face import synthetic_face as synthetic_face
from evenface.data.synthetic.sets import contact_sheet as contact_sheet
from evenface.data.synthetic.sets import read_synthetic as read_synthetic
from evenface.data.synthetic.sets import synthetic_manifest as synthetic_manifest


__all__ = ["contact_sheet", "read_synthetic", "synthetic_face", "synthetic_manifest"]
