// Drafts of assessments: what a reader types of each slice, kept by the server while it is typed. Another tab of the same
// reader may be faster: then nothing is overwritten until the reader says which counts.

import { ask } from "./common.js";

const PAUSE = 600; // ms without a key until a draft is sent
const AGAIN = 4000; // ms until what could not be kept is sent again

const NOTHING = { verdict: "", label: "", comment: "", outline: [] };
const isEmpty = ({ verdict, comment, outline }) => !verdict && !comment.trim() && !outline.length;

// Events: "state" (of the slice in detail), "theirs" (the draft of the slice in detail is another tab's now).
export class Drafts extends EventTarget {
  constructor(id) {
    super();
    this.id = id;
    this.entries = new Map(); // by slice number
    window.addEventListener("pagehide", () => this.leave());
    window.addEventListener("beforeunload", (event) => {
      this.leave();
      // What goes out now will be kept; what could not be kept before may be lost: ask.
      if ([...this.entries.values()].some((entry) => entry.failed || entry.conflict)) event.preventDefault();
    });
  }

  of(number) {
    if (!this.entries.has(number)) {
      this.entries.set(number, { ...structuredClone(NOTHING), version: 0, past: [], dirty: false, saving: false, failed: "", conflict: false });
    }
    return this.entries.get(number);
  }

  // How the drafts stand at the server, those of other tabs too.
  take(drafts) {
    for (const { slice: number, version, content, touched } of drafts) {
      const entry = this.of(number);
      if (entry.saving || version <= entry.version) continue;
      const known = entry.version > 0 || entry.dirty;
      if (entry.dirty || entry.conflict) this.clash(number, touched);
      else {
        Object.assign(entry, structuredClone(content ?? NOTHING), { version, touched, past: [] });
        if (known || this.loaded) this.dispatchEvent(new CustomEvent("theirs", { detail: number }));
        this.tell(number);
      }
    }
    this.loaded = true;
  }

  // The reader has changed what stands there.
  type(number, changes) {
    const entry = this.of(number);
    Object.assign(entry, changes, { dirty: true, kept: false });
    this.tell(number);
    this.later(number, PAUSE);
  }

  later(number, pause) {
    const entry = this.of(number);
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.keep(number), pause);
  }

  // Sends a draft now, if there is anything to send; gives whether all of it is kept.
  async keep(number) {
    const entry = this.of(number);
    clearTimeout(entry.timer);
    if (entry.saving) await entry.saving.catch(() => {});
    if (!entry.dirty || entry.conflict) return !entry.conflict;
    entry.dirty = false;
    entry.saving = ask(...this.request(number));
    try {
      const { version, touched } = await entry.saving;
      Object.assign(entry, { version, touched, failed: "", kept: true });
    } catch (error) {
      entry.dirty = true;
      if (error.status === 409) this.clash(number);
      else {
        entry.failed = error.message;
        this.later(number, AGAIN);
      }
    }
    entry.saving = false;
    this.tell(number);
    return !entry.dirty;
  }

  request(number) {
    const { verdict, label, comment, outline, version } = this.of(number);
    const path = `/cases/${this.id}/slices/${number}/draft`;
    if (isEmpty({ verdict, comment, outline })) return ["DELETE", `${path}?version=${version}`];
    return ["PUT", path, { verdict, label, comment, outline: thinned(outline), version }];
  }

  // The page goes: what is not kept yet is sent on its way, which outlives the page.
  leave() {
    for (const [number, entry] of this.entries) {
      if (!entry.dirty || entry.saving || entry.conflict || entry.failed) continue;
      const [method, path, body] = this.request(number);
      const options = { method, keepalive: true, headers: { "Content-Type": "application/json" } };
      entry.dirty = false; // once: leaving is told twice
      clearTimeout(entry.timer);
      entry.saving = fetch(`/api/v1${path}`, body ? { ...options, body: JSON.stringify(body) } : options);
      this.stayed(number, entry.saving);
    }
  }

  // The reader stays after all: what went out then counts.
  async stayed(number, sent) {
    const entry = this.of(number);
    try {
      const answer = await sent;
      if (!answer.ok) throw new Error(`${answer.status}`);
      const { version, touched } = await answer.json();
      Object.assign(entry, { version, touched, kept: true });
    } catch {
      entry.dirty = true;
      this.later(number, PAUSE);
    }
    entry.saving = false;
    this.tell(number);
  }

  clash(number, touched) {
    Object.assign(this.of(number), { conflict: true, theirTime: touched });
    this.tell(number);
  }

  // The reader has chosen: what is there at the server, or what stands here.
  async settle(number, mine) {
    const { drafts } = await ask("GET", `/cases/${this.id}/standing`);
    const theirs = drafts.find((draft) => draft.slice === number);
    const entry = this.of(number);
    entry.conflict = false;
    entry.version = theirs?.version ?? 0;
    if (!mine) Object.assign(entry, structuredClone(theirs?.content ?? NOTHING), { dirty: false, failed: "", touched: theirs?.touched });
    this.tell(number);
    if (mine) {
      entry.dirty = true;
      await this.keep(number);
    }
  }

  // Saves an assessment for good, in place of its draft; gives it. Throws what is refused.
  async save(number) {
    const entry = this.of(number);
    clearTimeout(entry.timer);
    if (entry.saving) await entry.saving.catch(() => {});
    const { verdict, label, comment, outline, version } = entry;
    entry.dirty = false;
    entry.saving = ask("POST", `/cases/${this.id}/feedback`, {
      slice: number, verdict, label: verdict === "other" ? label : "", comment, outline: thinned(outline), version,
    });
    try {
      const said = await entry.saving;
      Object.assign(entry, structuredClone(NOTHING), { version: version + 1, past: [], failed: "", kept: false });
      return said;
    } catch (error) {
      entry.dirty = true;
      if (error.status === 409) this.clash(number);
      throw error;
    } finally {
      entry.saving = false;
      this.tell(number);
    }
  }

  tell(number) {
    this.dispatchEvent(new CustomEvent("state", { detail: number }));
  }
}

// An outline as the server takes it: no more points than it may have.
function thinned(outline) {
  const step = Math.ceil(outline.length / 500) || 1;
  return outline.filter((_, i) => i % step === 0);
}
