// What all pages share: the API, elements, words, the theme, logging out.

export const classes = JSON.parse(document.body.dataset.classes);
export const names = Object.fromEntries(classes.map((key, i) => [key, JSON.parse(document.body.dataset.names)[i]]));
export const nothing = Object.fromEntries(classes.map((key, i) => [key, JSON.parse(document.body.dataset.nothing)[i]]));
export const colourOf = (key) => `c${classes.indexOf(key) % 4}`;

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// Asks the API; throws what it refuses, in its own words.
export async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, options);
  } catch {
    throw new Refused("The server is not reached. Is it running?", 0);
  }
  if (answer.status === 401 && location.pathname !== "/login") {
    location.href = `/login?next=${encodeURIComponent(location.pathname)}`;
  }
  if (!answer.ok) throw new Refused(await wordsOf(answer), answer.status);
  return answer.status === 204 ? null : answer.json();
}

export async function wordsOf(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server refused it (${answer.status}).`;
  }
}

// An element: h("p", {class: "soft"}, "text", child). Text is always text, whatever it holds.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "width%") element.style.width = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);
export const percent = (p) => (p >= 0.9995 ? "100%" : p >= 0.1 ? `${(100 * p).toFixed(0)}%` : `${(100 * p).toFixed(1)}%`);
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
// A long name without some of its middle: its end tells it from others, too.
export const elided = (name, most) => (name.length <= most ? name : `${name.slice(0, Math.ceil(most / 2))}…${name.slice(-Math.floor(most / 2 - 1))}`);
export const when = (seconds) =>
  new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
export const plural = (n, word) => `${n.toLocaleString()} ${word}${n === 1 ? "" : "s"}`;

// Events of the server, for as long as the page is open. The browser connects again by itself.
export function watch(listener) {
  const source = new EventSource("/api/v1/events");
  source.onmessage = (message) => listener(JSON.parse(message.data));
  source.onopen = () => listener({ connected: true });
  return source;
}

const themeButton = byId("theme");
function showTheme() {
  const dark = document.documentElement.dataset.theme === "dark";
  themeButton.textContent = dark ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", dark ? "Use the light theme" : "Use the dark theme");
}
themeButton.addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
  showTheme();
  window.dispatchEvent(new Event("themechange"));
});
showTheme();

byId("log-out")?.addEventListener("click", async () => {
  await ask("POST", "/logout");
  location.href = "/login";
});
