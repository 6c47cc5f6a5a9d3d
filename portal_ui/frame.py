"""What stands around every page: the values that the skin's templates draw as top bar and navigation.

The room at the top decides what is in it (by URL name and by right); here is only its shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Badge:
    """How many things are to be done behind a link; `words` says of what, for those who hear the page."""

    number: int
    words: str
    bad: bool = False

    @property
    def shown(self) -> str:
        return str(self.number) if self.number < 1000 else f"{self.number // 1000}k"


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """A link of the navigation. `current` is the value of aria-current: `page`, `true` (a page below it) or empty."""

    label: str
    url: str
    icon: str
    current: str = ""
    badge: Badge | None = None


@dataclass(frozen=True, slots=True)
class NavigationGroup:
    title: str
    # `items` is what a template's dot finds, not a dictionary's method.
    items: Sequence[NavigationItem]


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything around a page. Empty addresses leave the search out; an environment is shown beside the name."""

    groups: Sequence[NavigationGroup] = field(default_factory=tuple)
    search_url: str = ""
    palette_url: str = ""
    environment: str = ""
