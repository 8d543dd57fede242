"""What several verbs read from their flags alike."""

from __future__ import annotations

from evenface import calibration
from evenface.cli.flags import PRIORS


def test_the_priors_that_a_flag_takes_are_all_there_are() -> None:
    assert PRIORS == calibration.PRIORS
