// The reading room: dropping scans. Beside it stands the worklist.

import { ask, byId, h, plural } from "./common.js";
import { Upload, filesOf } from "./uploads.js";
import "./worklist.js";

const drop = byId("drop");
const limits = { files: Number(drop.dataset.files), bytes: Number(drop.dataset.bytes), file: Number(drop.dataset.fileBytes) };
const drops = new Set(); // what is not begun to be read yet: {id, upload, cancelled}

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
  if (drops.size) event.preventDefault();
});
// Who leaves in the middle of an upload leaves nothing behind: half a case would hang in the worklist.
window.addEventListener("pagehide", () => {
  for (const { id } of drops) if (id) fetch(`/api/v1/cases/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
});

async function take(files) {
  if (!files.length) return;
  const box = h("div", { class: "panel upload" });
  byId("uploads").prepend(box);
  const mib = (n) => `${Math.round(n / 2 ** 20).toLocaleString()} MB`;
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  if (files.length > limits.files) {
    return tell(box, `These are ${plural(files.length, "file")}; a case may have ${limits.files.toLocaleString()}. Drop fewer at a time.`);
  }
  if (size > limits.bytes) return tell(box, `These are ${mib(size)}; a case may have ${mib(limits.bytes)}. Drop fewer at a time.`);
  const large = files.find(({ file }) => file.size > limits.file);
  if (large) return tell(box, `${large.name} has ${mib(large.file.size)}; a file may have ${mib(limits.file)}.`);
  const words = h("span", {}, `Uploading ${plural(files.length, "file")}`);
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
  const mine = { id: null, upload: null, cancelled: false };
  const cancel = () => {
    mine.cancelled = true;
    mine.upload?.cancel();
  };
  box.append(h("div", { class: "row" }, words, h("button", { type: "button", onclick: cancel }, "Cancel")), bar);
  drops.add(mine);
  try {
    mine.id = (await ask("POST", "/cases", { axis: byId("axis").value })).id;
    mine.upload = new Upload(mine.id, files, (done, all, number) => {
      bar.value = all ? done / all : 1;
      words.textContent = `Uploading: ${number.toLocaleString()} of ${plural(files.length, "file")}, ${mib(done)} of ${mib(all)}`;
    });
    const refused = mine.cancelled ? [] : await mine.upload.run();
    const [same] = await ask("GET", `/cases/${mine.id}/same`);
    if (mine.cancelled) {
      await ask("DELETE", `/cases/${mine.id}`);
      return tell(box, "Cancelled. Nothing of it was kept.", "");
    }
    if (mine.upload.done === 0 || mine.upload.stopped) {
      await ask("DELETE", `/cases/${mine.id}`);
      return tell(box, refused[0].error);
    }
    if (same && !(await again(box, same, files.length))) {
      await ask("DELETE", `/cases/${mine.id}`);
      return leave(mine, same.id);
    }
    await ask("POST", `/cases/${mine.id}/start`);
    if (!refused.length && drops.size === 1) return leave(mine, mine.id);
    box.replaceChildren(h("span", {}, `${plural(mine.upload.done, "file")} uploaded.`), h("a", { href: `/cases/${mine.id}` }, "Open the case"),
      ...refused.map(({ name, error }) => h("span", { class: "small" }, `${name}: ${error}`)));
  } catch (error) {
    tell(box, error.message);
  } finally {
    drops.delete(mine);
  }
}

function leave(mine, id) {
  drops.delete(mine);
  location.href = `/cases/${id}`;
}

// Whether files that are known already shall be read again; else their case is opened.
function again(box, same, count) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(same.created * 1000).setHours(0, 0, 0, 0)) / 86_400_000);
  const day = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-days, "day");
  const which = `${count === 1 ? "This is the same file" : "These are the same files"} as the case “${same.title || "New case"}” of ${day}.`;
  return new Promise((resolve) => {
    const choose = h("button", { type: "button", class: "main", onclick: () => resolve(false) }, "Open it");
    box.replaceChildren(h("span", { class: "notice" }, which),
      h("div", { class: "row choice" }, choose, h("button", { type: "button", onclick: () => resolve(true) }, "Read again")));
    choose.focus();
  });
}

function tell(box, words, kind = "bad") {
  box.replaceChildren(h("span", { class: `notice ${kind}` }, words), h("button", { type: "button", onclick: () => box.remove() }, "Dismiss"));
}
