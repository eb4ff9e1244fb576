"""The scenarios, in the order in which they run."""

from autoscaling.scenarios import drop, noise, outage, step, switch

#: In sequence: two processors can't run two loads at the same time.
ALL = [step.SCENARIO, noise.SCENARIO, outage.SCENARIO, drop.SCENARIO, switch.SCENARIO]
