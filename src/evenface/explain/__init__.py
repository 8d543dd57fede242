"""Why the model says what it says: `class_maps` shows where each class's evidence lies, and whether the mirrored face agrees."""
