"""The trainer as a process that fits in itself: Ray's start takes longer than all that the sweep looks at."""

from __future__ import annotations

import argparse
import logging
import threading

from config.settings import load
from homeostat import trainer
from homeostat.parent_death import end_with_parent
from trainer.adapters.local_pool import LocalPool

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    end_with_parent(options.parent)
    trainer.run(load(options.data), threading.Event(), LocalPool)
