"""Where the two processes run: on one processor, on two, or wherever the system puts them.

A wake-up across processors may cost more than all else, above all on virtual machines, so a small
call that is not pinned measures the scheduler.
"""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

SAME = 'same core'
DIFFERENT = 'different cores'
ANYWHERE = 'any cores'

CAN_PIN = hasattr(os, 'sched_setaffinity')


class Processors(NamedTuple):
    """The processors of the calling and of the serving process; None leaves it to the system."""

    client: int | None
    server: int | None


def is_possible(placement: str) -> bool:
    """Whether this machine has the processors for it."""
    return placement != DIFFERENT or not CAN_PIN or len(os.sched_getaffinity(0)) > 1


def processors(placement: str) -> Processors:
    """Choose the processors."""
    if placement == ANYWHERE or not CAN_PIN:
        return Processors(None, None)
    available = sorted(os.sched_getaffinity(0))
    return Processors(available[0], available[0 if placement == SAME else 1])


def pin(processor: int | None) -> None:
    """Keep this process, and the children it will have, on a processor."""
    if processor is not None:
        os.sched_setaffinity(0, {processor})


def raise_descriptor_limit() -> None:
    """Let this process have as many descriptors as the system allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
