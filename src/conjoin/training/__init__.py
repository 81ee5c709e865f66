"""Training as a generator of events."""

from conjoin.training.events import EpochDone, Event, Finished, Started, StepDone
from conjoin.training.loop import train

__all__ = ["EpochDone", "Event", "Finished", "Started", "StepDone", "train"]
