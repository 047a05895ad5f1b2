"""The formats that this version writes and reads, put together."""

from __future__ import annotations

from typing import Final

from streams.adapters.xgboost_predictor import FORMAT, load_booster
from trainer.adapters.snapshot import from_parquet, to_parquet
from trainer.adapters.worker import pack
from trainer.workshop import Formats

FORMATS: Final = Formats(artefact=FORMAT, to_parquet=to_parquet, from_parquet=from_parquet, pack=pack, load=load_booster)
