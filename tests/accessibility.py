"""What a page must hold for people with other eyes and hands, asked of a real browser.

Contrast follows WCAG 2.2 (1.4.3, 1.4.11): of every text with what lies behind it, and of the parts of charts
that mean something. Keys: what can be reached by Tab, in which order, and whether one sees where one is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import Browser

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def low_contrast(browser: Browser) -> list[tuple[str, str, float]]:
    """Return (kind, text or class, ratio) of what is too faint; details are opened first."""
    browser.value(SCRIPT)
    browser.value("audit.openAll()")
    found: list[list[Any]] = browser.value("audit.contrast()")
    assert len(found) > 40
    return sorted({(kind, what, round(ratio, 2)) for kind, what, needed, ratio in found if ratio < needed})


def nameless(browser: Browser) -> list[str]:
    """Return what has no name, role, scope, label or level that a screen reader could say."""
    browser.value(SCRIPT)
    found: list[str] = browser.value("audit.names()")
    return found


def tabbed(browser: Browser) -> list[str]:
    """Press Tab through the page; return what is not reached, out of order, out of view or without a ring."""
    browser.value(SCRIPT)
    total, faults = browser.value("audit.number()"), []
    reached: list[int] = []
    for _ in range(total * 2 + 20):
        browser.tab()
        number, ring, inside, over, scrolls, text = browser.value("audit.focused()")
        if over or (reached and number == reached[0]):  # round once
            break
        if not (ring and inside):
            faults.append(f"ring {ring}, in view {inside}: {text}")
        if number is not None:
            reached.append(number)
        elif not scrolls:
            faults.append(f"not a control: {text}")
    if reached != list(range(total)):
        faults.append(f"reached {reached} of {total}")
    return faults
