// What tests/accessibility.py asks of a loaded page: contrast, names, and where the focus is.
"use strict";
globalThis.audit = {
contrast() {
  const parse = text => {
    const found = text.match(/^rgba?\(([^)]+)\)$/);
    if (!found) throw new Error("not a colour that this knows: " + text);
    const [r, g, b, a = 1] = found[1].split(",").map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => {
    const a = top[3];
    return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a)).concat([1]);
  };
  const light = c => {
    const [r, g, b] = c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const chain = element => element ? [...chain(element.parentElement), element] : [];
  const behind = element => chain(element).reduce(
    (below, e) => over(parse(getComputedStyle(e).backgroundColor), below), [255, 255, 255, 1]);
  const opacity = element => chain(element).reduce((a, e) => a * Number(getComputedStyle(e).opacity), 1);
  const faded = (colour, element, below) => over([...colour.slice(0, 3), colour[3] * opacity(element)], below);
  const seen = element => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility() && box.width > 0 && box.height > 0 && box.right > 0;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.data.trim() || ["SCRIPT", "STYLE", "NOSCRIPT", "title", "desc", "OPTION"].includes(e.tagName)) continue;
    if (!seen(e)) continue;
    const style = getComputedStyle(e), below = behind(e);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const colour = parse(e.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const needed = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
    found.push(["text", node.data.trim().slice(0, 40), needed, ratio(faded(colour, e, below), below)]);
  }
  const parts = "rect.now, rect.ref, rect.loud, circle.now, polyline.now, line.lim, line.whisker, line.known, line.axis";
  for (const e of document.querySelectorAll(parts)) {
    if (!e.checkVisibility()) continue;
    const style = getComputedStyle(e), below = behind(e.closest("svg"));
    const colour = style.fill === "none" || e.tagName === "line" ? style.stroke : style.fill;
    found.push(["part", e.getAttribute("class"), 3, ratio(faded(parse(colour), e, below), below)]);
  }
  for (const e of document.querySelectorAll(".key i")) {
    const style = getComputedStyle(e), filled = parse(style.backgroundColor);
    const colour = filled[3] ? filled : parse(style.borderTopColor), below = behind(e.parentElement);
    found.push(["key", e.className, 3, ratio(faded(colour, e.parentElement, below), below)]);
  }
  return found;
},
names() {
  const faults = [];
  const name = e => (e.getAttribute("aria-label") || e.textContent).trim();
  const all = s => [...document.querySelectorAll(s)];
  if (!document.documentElement.lang) faults.push("no lang");
  for (const s of ["main", "h1", "header", "title"]) if (all(s).filter(e => !e.closest("svg")).length !== 1) faults.push(s);
  for (const e of all("svg"))
    if (e.getAttribute("role") !== "img" || !e.getAttribute("aria-label") || !e.querySelector("desc")) faults.push(e.outerHTML.slice(0, 90));
  for (const e of all("img")) if (!e.alt) faults.push(e.outerHTML.slice(0, 90));
  for (const e of all("th")) if (!e.scope || !name(e)) faults.push(e.outerHTML.slice(0, 90));
  for (const e of all("a, button, summary")) if (!name(e)) faults.push(e.outerHTML.slice(0, 90));
  for (const e of all("select, input:not([type=hidden])")) if (!e.labels.length) faults.push(e.outerHTML.slice(0, 90));
  const regions = all("[role=region], nav").map(e => e.getAttribute("aria-label"));
  if (regions.some(r => !r) || new Set(regions).size !== regions.length) faults.push("regions: " + regions.join(" | "));
  const levels = all("h1, h2, h3, h4").map(e => Number(e.tagName[1]));
  levels.forEach((l, i) => { if (l > (levels[i - 1] || 0) + 1) faults.push("heading " + i + " skips a level"); });
  const ids = all("[id]").map(e => e.id);
  if (new Set(ids).size !== ids.length) faults.push("ids: " + ids.join(" "));
  return faults;
},
number() {
  const controls = "a[href], summary, button, select, input:not([type=hidden]), [tabindex='0']";
  let n = 0;
  for (const e of document.querySelectorAll(controls)) if (e.checkVisibility()) e.dataset.n = n++;
  return n;
},
focused() {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const inside = box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight;
  const scrolls = e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight;
  return [e.dataset.n === undefined ? null : Number(e.dataset.n), ring, inside, e === document.body, scrolls,
          e.outerHTML.slice(0, 120)];
},
openAll() {
  document.querySelectorAll("details").forEach(d => { d.open = true });
},
};
