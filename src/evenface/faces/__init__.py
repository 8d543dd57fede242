"""From a picture to its faces: where they are (`detectors`, `mtcnn`, `yunet`, `cropped`), and how they are cut out (`alignment`)."""
