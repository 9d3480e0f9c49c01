// What the reports do beyond showing: tables sort, plots tell their values under the pointer, the menu follows.
"use strict";

// A column's cells in order: numbers by size, words by the alphabet, nothing last. "96.1%96.0–97.2%" is 96.1.
const worth = (row, column) => {
  const cell = row.cells[column];
  const text = (cell?.firstChild?.textContent ?? "").trim();
  const number = parseFloat(text.replace(/[,\s<>+]/g, "").replace("−", "-"));
  return { text, number };
};
const compare = (one, other, turn) => {
  if (!isNaN(one.number) && !isNaN(other.number)) return turn * (one.number - other.number);
  if (isNaN(one.number) !== isNaN(other.number)) return isNaN(one.number) ? 1 : -1;
  return turn * one.text.localeCompare(other.text);
};
// A row that only names a group stays where it is, and its rows stay below it.
const sort = (body, column, turn) => {
  const parts = [[]];
  for (const row of [...body.rows]) {
    if (row.cells.length === 1) parts.push([row], []);
    else parts.at(-1).push(row);
  }
  const sorted = (part) => [...part].sort((a, b) => compare(worth(a, column), worth(b, column), turn));
  body.append(...parts.flatMap(sorted));
};
for (const table of document.querySelectorAll("main table")) {
  const body = table.tBodies[0];
  const heads = table.tHead ? [...table.tHead.rows[0].cells] : [];
  if (!body || body.rows.length < 3) continue;
  heads.forEach((head, column) => {
    if (!head.textContent.trim() || head.getAttribute("aria-hidden")) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.title = "Sort by this column";
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(body, column, descending ? -1 : 1);
    });
  });
}

// A plot's points as [share of the width, share of the height, words].
const hint = document.createElement("div");
hint.className = "hint";
hint.hidden = true;
document.body.append(hint);
const reach = 24; // pixels
for (const figure of document.querySelectorAll("figure[data-points]")) {
  const points = JSON.parse(figure.dataset.points);
  figure.addEventListener("pointermove", (event) => {
    hint.hidden = true;
    if (!(event.target instanceof HTMLImageElement)) return;
    const box = event.target.getBoundingClientRect();
    let [nearest, least] = [null, reach];
    for (const point of points) {
      const [x, y] = [box.left + point[0] * box.width, box.top + point[1] * box.height];
      const away = Math.hypot(x - event.clientX, y - event.clientY);
      if (away < least) [nearest, least] = [{ x, y, words: point[2] }, away];
    }
    if (!nearest) return;
    hint.textContent = nearest.words;
    hint.hidden = false;
    const left = Math.min(nearest.x, document.documentElement.clientWidth - hint.offsetWidth - 8);
    hint.style.left = `${Math.max(left, 8)}px`;
    hint.style.top = `${nearest.y - hint.offsetHeight - 8}px`;
  });
  figure.addEventListener("pointerleave", () => (hint.hidden = true));
}
addEventListener("scroll", () => (hint.hidden = true), { passive: true });

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const follow = new IntersectionObserver(
  (seen) => {
    for (const each of seen) {
      if (!each.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(each.target.id);
      if (!link) continue;
      link.setAttribute("aria-current", "true");
      const row = link.closest("ul");
      row.scrollLeft = link.offsetLeft - row.offsetLeft - 24;
    }
  },
  { rootMargin: "-15% 0px -80% 0px" },
);
for (const section of document.querySelectorAll("main section[id]")) follow.observe(section);
