"""The pages of the repeats' bitmaps as files named by digest, one folder a partition; what no snapshot names is removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streams.adapters.store import write_durably
from streams.monitor_snapshot import KeptPage, owner
from streams.release import BlobCorrupt, BlobMissing, digest_of
from streams.repeats import Page, PageName, PageTaken, Repeats


class RepeatsFiles:
    """Pages of all partitions under one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._digests: dict[tuple[str, int, PageName], str] = {}
        self._earlier: dict[tuple[str, int], set[str]] = {}

    def keep(self, topic: str, partition: int, pages: Sequence[PageTaken]) -> tuple[KeptPage, ...]:
        """Write what changed; a snapshot with the answer can be restored from here."""
        folder = self._root / owner(topic, partition)
        folder.mkdir(parents=True, exist_ok=True)
        kept = []
        for page in pages:
            place = (topic, partition, page.name)
            if page.bits is not None:
                digest = digest_of(page.bits)
                if not (folder / digest).exists():
                    write_durably(folder / digest, page.bits)
                self._digests[place] = digest
            kept.append(KeptPage(page.name.epoch, page.name.number, page.touched_ms, self._digests[place]))
        return tuple(kept)

    def prune(self, topic: str, partition: int, kept: Sequence[KeptPage]) -> None:
        """Remove files that neither this snapshot, the newest in the log, nor the one pruned for before names."""
        named = {page.digest for page in kept}
        wanted = named | self._earlier.get((topic, partition), set())
        self._earlier[(topic, partition)] = named
        for path in (self._root / owner(topic, partition)).iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)
        live = {PageName(page.epoch, page.number) for page in kept}
        for place in [place for place in self._digests if place[:2] == (topic, partition) and place[2] not in live]:
            del self._digests[place]

    def restore(self, topic: str, partition: int, kept: Sequence[KeptPage]) -> Repeats:
        """The bitmaps of a snapshot. Raises BlobMissing or BlobCorrupt."""
        pages = {}
        for page in kept:
            path = self._root / owner(topic, partition) / page.digest
            try:
                bits = path.read_bytes()
            except FileNotFoundError:
                raise BlobMissing(f"{path} is not there: was the data directory changed or moved?") from None
            if digest_of(bits) != page.digest:
                raise BlobCorrupt(f"{path} does not have the digest that it is named by.")
            name = PageName(page.epoch, page.number)
            pages[name] = Page(bytearray(bits), page.touched_ms, dirty=False)
            self._digests[(topic, partition, name)] = page.digest
        self._earlier[(topic, partition)] = {page.digest for page in kept}
        return Repeats(pages)
