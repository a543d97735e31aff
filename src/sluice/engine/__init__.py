"""Carries units to workers and brings their results back; knows no measure.

A worker is a process of its own that journals which position of its unit it has in hand. When it dies or
hangs, the supervisor reads the journal, runs the unit again more carefully, and after a second death at the
same position tells the function to leave that one out: one bad sample costs one sample.
"""

from sluice.engine.base import Engine, Outcome, Task, WorkerContext
from sluice.engine.local import LocalEngine

__all__ = ["Engine", "LocalEngine", "Outcome", "Task", "WorkerContext"]
