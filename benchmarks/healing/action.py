"""What a policy may do at a period's end."""

from __future__ import annotations

from enum import Enum


class Action(Enum):
    """What serves from the next period on."""

    KEEP = "keep"
    TRAIN = "train"
    SWAP = "swap"
    """Serve the challenger as it is now, frozen: costs no training."""
