"""Messages for a Slack incoming webhook: a line for notifications, and blocks, within Slack's limits.

Reference: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

from typing import Any

from monitor.actions.payload import ALERT, Message, canonical

SECTION = 2_900  # characters; Slack refuses sections over 3,000
REASONS = 10
_ICONS = {"critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":large_blue_circle:"}


def body(message: Message, *, link: str | None = None) -> bytes:
    """Return the request's body; ``link`` leads to the monitor's own page."""
    head, lines, foot = _alert(message) if message["type"] == ALERT else _retrain(message)
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": _text("\n".join([f"*{head}*", *lines]))},
        {
            "type": "context",
            "elements": [_text(" · ".join([*foot, *([f"<{link}|monitor>"] if link else [])]))],
        },
    ]
    return canonical({"text": f"{head}: {lines[0]}"[:SECTION] if lines else head[:SECTION], "blocks": blocks})


def escaped(text: object) -> str:
    """Return text in which nothing is markup, a mention or a link.

    >>> escaped("<!channel> a & b")
    '&lt;!channel&gt; a &amp; b'
    """
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text if len(text) <= SECTION else text[: SECTION - 1] + "…"}


def _alert(message: Message) -> tuple[str, list[str], list[str]]:
    data = message["data"]
    fires = data["status"] == "firing"
    icon = _ICONS.get(data["severity"], _ICONS["warning"]) if fires else ":large_green_circle:"
    head = f"{icon} {escaped(data['model'])}: {escaped(data['alert'])} {'fires' if fires else 'is resolved'}"
    lines = [escaped(data["summary"])] + ([escaped(data["description"])] if data["description"] else [])
    foot = [f"severity {escaped(data['severity'])}", f"since {data['since']}"]
    if window := data["window"]:
        foot.append(f"window {window['start']} to {window['end']}")
    if data["runbook"]:
        foot.append(f"<{escaped(data['runbook'])}|runbook>")
    return head, lines, foot


def _retrain(message: Message) -> tuple[str, list[str], list[str]]:
    data = message["data"]
    reasons = [
        f"• {escaped(one['alert'])}: {escaped(one['metric'])}"
        + "".join(f" {escaped(one[k])}" for k in ("feature", "attribute", "group", "segment") if k in one)
        + f" is {one.get('value', 0):.4g}, the bound is {one.get('bound', 0):.4g}"
        for one in data["reason"][:REASONS]
    ]
    more = len(data["reason"]) + data["reason_left_out"] - len(reasons)
    lines = [f"because of {escaped(', '.join(data['alerts']))}", *reasons]
    foot = [f"window {data['window']['start']} to {data['window']['end']}", f"`{data['decision_id']}`"]
    return (
        f":arrows_counterclockwise: {escaped(data['model'])}: retraining is asked for",
        lines + ([f"and {more} more"] if more else []),
        foot,
    )
