"""What several verbs read from their flags alike."""

from __future__ import annotations

import pytest

from evenface import calibration
from evenface.cli.flags import PRIORS, parse_prior
from evenface.errors import ConfigError


def test_a_prior() -> None:
    assert parse_prior("balanced") == "balanced"
    assert parse_prior("fear=0.2, anger = 1e-1") == {"fear": 0.2, "anger": 0.1}


def test_the_priors_that_a_flag_takes_are_all_there_are() -> None:
    assert PRIORS == calibration.PRIORS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("anger=2,fear=1, fear=50", "--prior names fear twice; give each expression one share."),
        ("fear=much", "as in fear=0.2,anger=0.1,...; not 'fear=much'"),
        ("fear=1,anger", "not 'fear=1,anger'"),
        ("fear=1=2", "not 'fear=1=2'"),
    ],
)
def test_a_prior_that_cannot_be_read(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_prior(text)
