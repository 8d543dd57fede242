"""From a picture to its faces: where they are (`detection`, `mtcnn`, `yunet`, `cropped`), and how they are cut out (`alignment`)."""
