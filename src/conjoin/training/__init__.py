"""Training as a generator of events."""

from conjoin.errors import needs_train_extra
from conjoin.training.events import EpochDone, Event, Finished, Started, StepDone

with needs_train_extra():
    from conjoin.training.loop import train

__all__ = ["EpochDone", "Event", "Finished", "Started", "StepDone", "train"]
