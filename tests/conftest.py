"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How fast a machine is, and what else it is doing, is no fault of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
