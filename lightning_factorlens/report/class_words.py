"""Words for the classes of a model's output, where the reader has given some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightning_factorlens.results import ConceptCard, ConceptPage, HierarchyRecord, HierarchyReport


def named_page(page: ConceptPage, class_names: Sequence[str]) -> ConceptPage:
    """A page whose concepts are named by words: those given, and else ``"class 3"``.

    Args:
        page: The page; names that are no numbers of predicted classes remain.
        class_names: Words for the classes 0, 1, …; empty for the numbers.
    """
    cards = []
    for card in page.cards:
        cards.append(_named_card(card, class_names))
    return replace(page, cards=tuple(cards))


def _named_card(card: ConceptCard, class_names: Sequence[str]) -> ConceptCard:
    if not isinstance(card.name, int):
        return card
    has_word = 0 <= card.name < len(class_names)
    return replace(card, name=class_names[card.name] if has_word else f"class {card.name}")


def named_hierarchy(
    hierarchy: HierarchyRecord | HierarchyReport, class_names: Sequence[str]
) -> HierarchyRecord | HierarchyReport:
    """A hierarchy whose classes are named by words.

    Args:
        hierarchy: The hierarchy; names that are no numbers of classes remain.
        class_names: Words for the classes 0, 1, …; empty for the numbers.
    """
    if isinstance(hierarchy, HierarchyReport):
        named = named_hierarchy(hierarchy.hierarchy, class_names)
        return replace(hierarchy, hierarchy=named) if isinstance(named, HierarchyRecord) else hierarchy
    words = []
    for name in hierarchy.class_names:
        is_known = name.isdigit() and int(name) < len(class_names)
        words.append(class_names[int(name)] if is_known else name)
    return replace(hierarchy, class_names=tuple(words))


def percent(share: float) -> str:
    """A share in whole percent.

    Args:
        share: From 0 to 1.

    Example:
        >>> percent(0.594)
        '59 %'
    """
    return f"{100 * share:.0f} %"


def two_digits(value: float | None) -> str:
    """A number from −1 to 1 with two digits.

    Args:
        value: The number.

    Example:
        >>> two_digits(0.9465), two_digits(None)
        ('0.95', '–')
    """
    if value is None or value != value:
        return "–"
    return f"{value:.2f}"
