"""What several stories of the simulated App Store share."""

from tests.flows.town import app, asking, town

__all__ = ["app", "asking", "town"]
