"""Which predictions were seen: a bitmap of sequence numbers per serving epoch, in pages, bounded by age and by number.

Repeats come from senders that try again. The same (epoch, seq) twice in one partition is one row.
A page's bytes depend on what was seen alone, so that the files of two monitors that read the same log are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PAGE_BITS: Final = 2**16
PAGE_BYTES: Final = PAGE_BITS // 8
MAXIMUM_PAGES: Final = 16_384
"""128 MiB a partition: 12 days at 1,000 rows a second of one serving process, 30 days at 400."""


@dataclass(frozen=True, slots=True, order=True)
class PageName:
    """Which sequence numbers of which epoch a page holds: `number` * 65,536 and on."""

    epoch: int
    number: int


@dataclass(slots=True)
class Page:
    """Bits of one page, and the broker time (ms) of the last row that it took."""

    bits: bytearray
    touched_ms: int
    dirty: bool = True
    """Not yet in a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTaken:
    """A page as it is kept; `bits` None: unchanged since it was last taken."""

    name: PageName
    touched_ms: int
    bits: bytes | None


class Repeats:
    """The pages of one partition. Owned by one fold, which uses it up: there is never a second reader of an old state."""

    def __init__(self, pages: dict[PageName, Page] | None = None, *, maximum_pages: int = MAXIMUM_PAGES) -> None:
        self.pages = {} if pages is None else pages
        self._maximum_pages = maximum_pages

    def seen(self, epoch: int, seq: int, now_ms: int) -> bool:
        """Whether this row came before; from now on it has.

        >>> repeats = Repeats()
        >>> repeats.seen(1, 7, 0), repeats.seen(1, 7, 1), repeats.seen(2, 7, 2)
        (False, True, False)
        """
        name = PageName(epoch, seq // PAGE_BITS)
        page = self.pages.get(name)
        if page is None:
            page = self._add(name, now_ms)
        index, mask = (seq % PAGE_BITS) // 8, 1 << (seq % 8)
        if page.bits[index] & mask:
            return True
        page.bits[index] |= mask
        page.touched_ms = max(page.touched_ms, now_ms)
        page.dirty = True
        return False

    def forget(self, before_ms: int) -> int:
        """Drop the pages that took no row since `before_ms`; returns how many."""
        old = [name for name, page in self.pages.items() if page.touched_ms < before_ms]
        for name in old:
            del self.pages[name]
        return len(old)

    def take(self) -> tuple[PageTaken, ...]:
        """All pages in order, with the bytes of those that changed since the last time."""
        taken = []
        for name, page in sorted(self.pages.items(), key=lambda item: item[0]):
            taken.append(PageTaken(name=name, touched_ms=page.touched_ms, bits=bytes(page.bits) if page.dirty else None))
            page.dirty = False
        return tuple(taken)

    def _add(self, name: PageName, now_ms: int) -> Page:
        if len(self.pages) >= self._maximum_pages:
            oldest = min(self.pages, key=lambda other: (self.pages[other].touched_ms, other))
            del self.pages[oldest]
        page = self.pages[name] = Page(bytearray(PAGE_BYTES), now_ms)
        return page
