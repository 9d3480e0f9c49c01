// The reading room: dropping scans, and the worklist.

import { ask, byId, capital, colourOf, h, plural, watch, when } from "./common.js";
import { Upload, filesOf } from "./uploads.js";

const PAGE = 50;
const drop = byId("drop");
const limits = { files: Number(drop.dataset.files), bytes: Number(drop.dataset.bytes), file: Number(drop.dataset.fileBytes) };
let running = 0;

// dropping

for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
window.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  await take(await filesOf(event.dataTransfer));
});
byId("choose").addEventListener("click", () => byId("files").click());
byId("choose-folder").addEventListener("click", () => byId("folder").click());
for (const id of ["files", "folder"]) {
  byId(id).addEventListener("change", async (event) => {
    const files = [...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
    event.target.value = "";
    await take(files);
  });
}
window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});

async function take(files) {
  if (!files.length) return;
  const box = h("div", { class: "panel upload" });
  byId("uploads").prepend(box);
  const mib = (n) => `${Math.round(n / 2 ** 20).toLocaleString()} MB`;
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  if (files.length > limits.files) {
    return refuse(box, `These are ${plural(files.length, "file")}; a case may have ${limits.files.toLocaleString()}. Drop fewer at a time.`);
  }
  if (size > limits.bytes) return refuse(box, `These are ${mib(size)}; a case may have ${mib(limits.bytes)}. Drop fewer at a time.`);
  const large = files.find(({ file }) => file.size > limits.file);
  if (large) return refuse(box, `${large.name} has ${mib(large.file.size)}; a file may have ${mib(limits.file)}.`);
  const words = h("span", {}, `Uploading ${plural(files.length, "file")}`);
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
  box.append(words, bar);
  running += 1;
  try {
    const created = await ask("POST", "/cases", { axis: byId("axis").value });
    const upload = new Upload(created.id, files, (done, all, number) => {
      bar.value = all ? done / all : 1;
      words.textContent = `Uploading: ${number.toLocaleString()} of ${plural(files.length, "file")}, ${mib(done)} of ${mib(all)}`;
    });
    const refused = await upload.run();
    if (upload.done === 0 || upload.stopped) {
      await ask("DELETE", `/cases/${created.id}`);
      return refuse(box, refused[0].error);
    }
    await ask("POST", `/cases/${created.id}/start`);
    running -= 1;
    if (!refused.length && running === 0) {
      location.href = `/cases/${created.id}`;
      return;
    }
    running += 1;
    words.textContent = `${plural(upload.done, "file")} uploaded.`;
    bar.remove();
    box.append(h("a", { href: `/cases/${created.id}` }, "Open the case"));
    for (const { name, error } of refused) box.append(h("span", { class: "small" }, `${name}: ${error}`));
  } catch (error) {
    refuse(box, error.message);
  } finally {
    running -= 1;
  }
}

function refuse(box, why) {
  box.replaceChildren(h("span", { class: "notice bad" }, why), h("button", { type: "button", onclick: () => box.remove() }, "Dismiss"));
}

// the worklist

const list = byId("worklist");
let shown = PAGE;
let asked = 0;

function query() {
  const parameters = new URLSearchParams({ sort: byId("sort").value, limit: shown });
  const text = byId("text").value.trim();
  if (text) parameters.set("text", text);
  for (const id of ["label", "verdict", "status"]) {
    const value = byId(id).value;
    if (value === "unknown") parameters.set("unknown", "true");
    else if (value) parameters.set(id, value);
  }
  return parameters;
}

async function refresh() {
  const mine = ++asked;
  let answer;
  try {
    answer = await ask("GET", `/cases?${query()}`);
  } catch (error) {
    byId("count").textContent = error.message;
    return;
  }
  if (mine !== asked) return; // another was asked for meanwhile
  const focused = document.activeElement?.closest?.("[data-case]")?.dataset.case;
  list.replaceChildren(...answer.cases.map((entry) => h("li", {}, row(entry))));
  if (focused) list.querySelector(`[data-case="${focused}"]`)?.focus();
  byId("count").textContent = answer.total ? plural(answer.total, "case") : "";
  byId("more").hidden = answer.cases.length >= answer.total;
  if (!answer.total) {
    const none = [...query()].length > 2 ? "No case fits. Change the filters." : "No cases yet. Drop a scan above.";
    list.append(h("li", { class: "empty" }, none));
  }
}

const VERDICTS = { agree: "agreed", other: "other class", unsure: "unsure" };

function row(entry) {
  const key = entry.study?.key_slices?.[0];
  const thumb = key
    ? h("img", { class: "thumb", src: `/api/v1/cases/${entry.id}/slices/${key}/scan.png`, alt: "", loading: "lazy" })
    : h("span", { class: "thumb" });
  return h("a", { class: "case", href: `/cases/${entry.id}`, "data-case": entry.id }, thumb,
    h("span", { class: "what" }, h("span", { class: "title" }, entry.title || "New case"), h("span", { class: "soft small" }, `${when(entry.created)} · ${plural(entry.slices, "slice")}`)),
    h("span", { class: "what" }, state(entry)),
    h("span", {}, entry.verdict ? h("span", { class: "chip" }, VERDICTS[entry.verdict]) : null));
}

function state(entry) {
  if (entry.status === "failed") return h("span", {}, "Failed: ", entry.error);
  if (entry.status === "uploading") return h("span", { class: "soft" }, "being uploaded");
  if (entry.status === "waiting") return h("span", { class: "soft" }, "waiting to be read");
  if (entry.status === "reading") {
    return [h("span", { class: "soft" }, `being read: ${entry.slices}${entry.total ? ` of about ${Math.max(entry.total, entry.slices)}` : ""}`),
      h("progress", { max: Math.max(entry.total, entry.slices, 1), value: entry.slices, "aria-label": "Slices read" })];
  }
  if (entry.unknown) return h("span", { class: "chip" }, h("span", { class: "dot" }), "unknown scan");
  return h("span", {}, h("span", { class: "chip" }, h("span", { class: entry.study.uncertain ? "dot" : `dot ${colourOf(entry.label)}` }), capital(entry.words)));
}

let timer;
function soon(delay = 150) {
  clearTimeout(timer);
  timer = setTimeout(refresh, delay);
}
byId("text").addEventListener("input", () => soon(250));
for (const id of ["label", "verdict", "status", "sort"]) byId(id).addEventListener("change", () => { shown = PAGE; refresh(); });
byId("filters").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
byId("more").addEventListener("click", () => { shown = Math.min(shown + PAGE, 500); refresh(); });
watch(() => soon());
await refresh();
