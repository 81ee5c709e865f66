"""Training as a generator of events."""

from conjoin.errors import needs_train_extra
from conjoin.training.events import EpochDone, Event, Finished, Started, StepDone

with needs_train_extra():
    from conjoin.training.dev import DevSet
    from conjoin.training.loop import training_events

__all__ = ["DevSet", "EpochDone", "Event", "Finished", "Started", "StepDone", "training_events"]
