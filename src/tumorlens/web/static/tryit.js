// The API's page: forms that send what they say, and show what is answered.

import { h } from "./common.js";

const MOST = 20_000; // characters of an answer that are shown

// On a narrow page the index would stand before everything else.
if (window.matchMedia("(max-width: 900px)").matches) document.querySelector(".index details").open = false;

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { method, path } = form.dataset;
    if (method === "DELETE" && !window.confirm("This deletes something for good. Send it?")) return;
    const out = form.querySelector("output");
    out.replaceChildren("Sent …");
    const began = performance.now();
    try {
      const answer = await fetch(address(form, path), { method, ...body(form) });
      const shown = await show(answer);
      const ms = Math.round(performance.now() - began);
      out.replaceChildren(h("p", { class: answer.ok ? "" : "bad" }, h("strong", {}, `${answer.status} ${answer.statusText}`), ` in ${ms} ms`), shown);
    } catch (error) {
      out.replaceChildren(h("p", { class: "bad" }, `The server is not reached: ${error.message}`));
    }
  });
}

function address(form, path) {
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    else if (field.value !== "") query.set(field.name, field.value);
  }
  return query.size ? `${path}?${query}` : path;
}

function body(form) {
  const json = form.querySelector("[data-body=json]");
  if (json) return { body: json.value, headers: { "Content-Type": "application/json" } };
  const file = form.querySelector("[data-body=file]");
  return file ? { body: file.files[0] } : {};
}

async function show(answer) {
  const kind = answer.headers.get("Content-Type") ?? "";
  if (kind.startsWith("image/")) {
    return h("img", { src: URL.createObjectURL(await answer.blob()), alt: "The picture that was answered" });
  }
  if (kind.includes("json") || (kind.startsWith("text/") && !kind.includes("html"))) {
    let text = await answer.text();
    if (kind.includes("json") && text) text = JSON.stringify(JSON.parse(text), null, 1);
    return h("pre", { tabindex: 0 }, text.length > MOST ? `${text.slice(0, MOST)}\n… ${(text.length - MOST).toLocaleString()} more characters` : text);
  }
  const content = await answer.blob();
  if (!content.size) return "";
  return h("a", { href: URL.createObjectURL(content), download: "answer" }, `Save ${content.size.toLocaleString()} bytes of ${kind || "something"}`);
}
