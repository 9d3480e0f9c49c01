// Sends files to a case, three at a time; a file that breaks off is sent again, so that a restart of the server loses nothing.

import { Refused } from "./common.js";

const AT_ONCE = 3;
const TRIES = 6;

export class Upload {
  // files: [{file, name}]; progress: called with (bytes done, bytes in all, files done).
  constructor(caseId, files, progress) {
    Object.assign(this, { caseId, files, progress });
    this.total = files.reduce((sum, { file }) => sum + file.size, 0);
    this.sent = new Map();
    this.done = 0;
    this.refused = [];
    this.stopped = false;
    this.requests = new Set();
  }

  // Breaks off what is on its way, and sends no more.
  cancel() {
    this.stopped = true;
    for (const request of this.requests) request.abort();
  }

  async run() {
    const waiting = [...this.files];
    const lanes = Array.from({ length: AT_ONCE }, async () => {
      for (let next = waiting.shift(); next && !this.stopped; next = waiting.shift()) await this.sendOne(next);
    });
    await Promise.all(lanes);
    return this.refused;
  }

  async sendOne(item) {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.send(item);
        this.done += 1;
        break;
      } catch (error) {
        if (this.stopped) break;
        const passing = error.status === 0 || error.status === 429 || error.status === 408 || error.status >= 500;
        if (!passing || attempt === TRIES || error.status === 507) {
          this.refused.push({ name: item.name, error: error.message });
          if (error.status === 507 || error.status === 413 || error.status === 409) this.stopped = true;
          break;
        }
        this.sent.delete(item);
        await new Promise((resolve) => setTimeout(resolve, 300 * 2 ** attempt));
        if (this.stopped) break;
      }
    }
    this.tell();
  }

  send(item) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", `/api/v1/cases/${this.caseId}/files?name=${encodeURIComponent(item.name)}`);
      request.upload.onprogress = (event) => {
        this.sent.set(item, event.loaded);
        this.tell();
      };
      this.requests.add(request);
      request.onloadend = () => this.requests.delete(request);
      request.onabort = () => reject(new Refused("The upload was cancelled.", 0));
      request.onload = () => {
        if (request.status === 201) return resolve();
        let words = `The server refused it (${request.status}).`;
        try {
          words = JSON.parse(request.responseText).error;
        } catch {
          // a proxy's page, perhaps
        }
        reject(new Refused(words, request.status));
      };
      request.onerror = () => reject(new Refused("The server was not reached.", 0));
      request.send(item.file);
    });
  }

  tell() {
    const sent = [...this.sent.values()].reduce((sum, n) => sum + n, 0);
    this.progress(Math.min(sent, this.total), this.total, this.done);
  }
}

// The files of a drop, those in folders too, with their paths.
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  return (await Promise.all(entries.map(walk))).flat();
}

// Asked side by side: one after another, thousands of files take a minute.
async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return file.name.startsWith(".") ? [] : [{ file, name: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(walk))).flat());
  }
}
