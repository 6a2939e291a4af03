"""How lists meet their labels: what feedback says adds up item by item."""

from __future__ import annotations

_JOIN = """
, said AS (SELECT * REPLACE (coalesce(label_us, 0)::HUGEINT * 18446744073709551616 + place AS place)
    FROM ({said}) WHERE id IN (SELECT id FROM w))
, whole AS (SELECT id, max(place) AS since FROM said WHERE item IS NULL GROUP BY id)
, held AS MATERIALIZED (
    SELECT said.* FROM said LEFT JOIN whole USING (id) WHERE place >= coalesce(since, place))
, single AS (SELECT id, label_us, place, unnest(CASE WHEN label IS NOT NULL THEN label
    WHEN item IS NOT NULL THEN [{{'item': item, 'relevance': NULL}}] END) AS one FROM held)
, newest AS (SELECT id, one.item AS item, arg_max({{'relevance': one.relevance, 'us': label_us}}, place) AS m
    FROM single GROUP BY ALL)
, known AS (
    SELECT id, map_from_entries(list({{'item': item, 'relevance': m.relevance}} ORDER BY item)) AS label,
    max(m.us) AS us FROM newest WHERE m.relevance IS NOT NULL GROUP BY id)
, base AS (SELECT id, label_us AS us FROM held WHERE item IS NULL AND label IS NOT NULL)
SELECT w.* EXCLUDE (id), CASE WHEN known.id IS NOT NULL THEN known.label
    WHEN base.id IS NOT NULL THEN MAP {{}}::MAP(VARCHAR, DOUBLE) END AS label,
    greatest(known.us, base.us) AS label_us
FROM w LEFT JOIN known USING (id) LEFT JOIN base USING (id)"""


def joined_lists(window: str, said: str) -> str:
    """Return the SELECT of a window's lists with their label and ``label_us``, when it was last given.

    The label is a map from item to relevance; NULL where there is none. Of what is said of an item the newest
    counts, by (label time, log order); NULL withdraws it. What names no item speaks of all: it replaces all
    that was said before, and items that it does not name are not relevant.

    Parameters
    ----------
    window
        SELECT of predictions, with their ``id``.
    said
        SELECT of labels; ``place`` sorts those of one time in log order.
    """
    return f"WITH w AS ({window}) {_JOIN.format(said=said)}"
