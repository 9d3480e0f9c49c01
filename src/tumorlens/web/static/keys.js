// Keys of the case page. They work wherever the focus is, except where somebody types; Keys can turn letters off.

import { byId } from "./common.js";

const STORED = "letter-keys";

// actions: by the name of a key, letters small; open: whether there is something to act on.
export function listen(actions, open) {
  const letters = byId("letters");
  letters.checked = localStorage.getItem(STORED) !== "off";
  letters.addEventListener("change", () => localStorage.setItem(STORED, letters.checked ? "on" : "off"));
  byId("help").addEventListener("click", () => byId("keys").showModal());
  document.addEventListener("keydown", (event) => {
    if (!open() || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || types(event.target)) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const moves = /^(Arrow|Home|End|Page)/.test(name);
    // A slider's own; and arrows are those of buttons of which one is chosen.
    if (moves && event.target.matches("input[type=range]")) return;
    if (name.startsWith("Arrow") && event.target.matches("input[type=radio], [role=radio]")) return;
    // One may turn off what a single character does (WCAG 2.1.4); speech input sends such by mistake.
    if (!moves && name !== "?" && name !== "Escape" && !letters.checked) return;
    const action = actions[name];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function types(target) {
  return target.isContentEditable || target.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=range], [type=button])");
}
