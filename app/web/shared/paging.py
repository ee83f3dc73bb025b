"""Paging of long lists."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from app.given import within
from app.web.shared.fields import Fields, one_of, whole_number

SIZES = (20, 50, 100)


@dataclass(frozen=True)
class ListPage:
    """One page of a list of `count` rows; pages are numbered from 1, and there is always a first."""

    number: int
    size: int
    count: int

    @classmethod
    def of(cls, number: str, size: int, count: int) -> ListPage:
        """Return the requested page.

        Raises:
            InvalidInput: there is no such page.

        >>> ListPage.of("3", 20, 45).rows
        (41, 45)
        >>> ListPage.of("4", 20, 45)
        Traceback (most recent call last):
        ...
        app.errors.InvalidInput: page is 4, but must be a whole number from 1 to 3.
        """
        page = cls(1, size, count)
        accepted = "" if page.pages > 1 else "1: there is only one page"
        wanted = within("page", whole_number(number), range(1, page.pages + 1), accepted)
        return cls(wanted, size, count)

    @classmethod
    def read(cls, fields: Fields, size: int, count: int) -> ListPage:
        """The page of an address; the first one if the address is invalid."""
        return fields.read("page", lambda text: cls.of(text, size, count), cls(1, size, count))

    @property
    def pages(self) -> int:
        return max(1, ceil(self.count / self.size))

    @property
    def skip(self) -> int:
        return (self.number - 1) * self.size

    @property
    def rows(self) -> tuple[int, int]:
        """The first and the last row on the page, from 1; (0, 0) if the list is empty."""
        return (self.skip + 1, min(self.skip + self.size, self.count)) if self.count else (0, 0)

    @property
    def nearby(self) -> list[int | None]:
        """The pages to link to: the first, the last and the neighbours of this one; None for a gap.

        >>> ListPage(5, 20, 200).nearby
        [1, None, 4, 5, 6, None, 10]
        >>> ListPage(1, 20, 45).nearby
        [1, 2, 3]
        """
        wanted = sorted({1, self.number - 1, self.number, self.number + 1, self.pages} & set(range(1, self.pages + 1)))
        links: list[int | None] = []
        for number in wanted:
            if links and number - links[-1] == 2:
                links.append(number - 1)
            elif links and number - links[-1] > 2:
                links.append(None)
            links.append(number)
        return links


def read_size(fields: Fields) -> int:
    """Rows per page, from the address."""
    return fields.read("size", one_of("size", {str(size): size for size in SIZES}), SIZES[0])
