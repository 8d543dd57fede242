"""Learning from a teacher on faces without labels: `evenface distill`."""
