"""What stored releases lose on the same rows, by the measure of one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.encoding import Matrix, encode_columns
from trainer.candidate import NotTrainable
from trainer.stored_release import StoredRelease
from trainer.table import Table, encode_target, losses
from trainer.workshop import Workshop


class ScoredRows:
    """Rows of contract `common`, whose target and measure count. They are encoded once for each contract that reads them."""

    def __init__(self, common: Contract, table: Table, shop: Workshop) -> None:
        """Raises ValueError where the table has a target outside the contract."""
        self._common = common
        self._table = table
        self._shop = shop
        self._actual = encode_target(common.target, table.target)
        self._encoded: dict[str, Matrix] = {}

    def losses_of(self, stored: StoredRelease) -> NDArray[np.float64]:
        """The losses of a release.

        Raises NotTrainable where it cannot be asked about such rows, and what reading and loading its artefact raises.
        """
        contract, target, common = stored.contract, stored.contract.target, self._common.target
        if (target.name, target.task, target.classes) != (common.name, common.task, common.classes):
            raise NotTrainable(f"it predicts another target, {target.name!r} ({target.task}).")
        absent = [feature.name for feature in contract.features if feature.name not in self._table.columns]
        if absent:
            raise NotTrainable(f"it needs features that are served no more: {', '.join(absent)}.")
        model = self._shop.formats.load(stored.release.format, contract, self._shop.store.get(stored.release.artefact))
        values, _ = model.predict_matrix(self._read_by(stored))
        return losses(common, values, self._actual)

    def _read_by(self, stored: StoredRelease) -> Matrix:
        digest = stored.release.contract
        if digest not in self._encoded:
            self._encoded[digest] = encode_columns(stored.contract, self._table.columns)
        return self._encoded[digest]
