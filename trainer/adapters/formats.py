"""The formats that this version writes and reads, put together."""

from __future__ import annotations

from typing import Final

from streams.adapters.artefact import Predictor, UnusableArtefact
from streams.adapters.predictors import load_artefact
from streams.adapters.xgboost_predictor import FORMAT
from streams.contract import Contract
from trainer.adapters.snapshot import from_parquet, to_parquet
from trainer.adapters.worker import pack
from trainer.candidate import NotTrainable
from trainer.workshop import Formats


def load(artefact_format: str, contract: Contract, artefact: bytes) -> Predictor:
    """The model of an artefact. Raises NotTrainable: an artefact that cannot be used now cannot be used later."""
    try:
        return load_artefact(artefact_format, contract, artefact)
    except UnusableArtefact as error:
        raise NotTrainable(str(error)) from error


FORMATS: Final = Formats(artefact=FORMAT, to_parquet=to_parquet, from_parquet=from_parquet, pack=pack, load=load)
