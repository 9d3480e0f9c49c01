import { ask, byId, h, when } from "./common.js";

async function showTokens() {
  const rows = (await ask("GET", "/tokens")).map((token) =>
    h("tr", {}, h("td", {}, token.purpose), h("td", {}, token.account), h("td", {}, when(token.expires)),
      h("td", {}, h("button", { type: "button", onclick: async () => { await ask("DELETE", `/tokens/${token.id}`); await showTokens(); } }, "End"))),
  );
  byId("tokens").tBodies[0].replaceChildren(...rows);
}

async function showAccounts() {
  const rows = (await ask("GET", "/accounts")).map((account) =>
    h("tr", {}, h("td", {}, account.name), h("td", {}, account.role), h("td", {}, when(account.created)),
      h("td", {}, h("button", { type: "button", "aria-label": `Remove ${account.name}`, onclick: () => tell("account-refused", () => ask("DELETE", `/accounts/${encodeURIComponent(account.name)}`), showAccounts) }, "Remove"))),
  );
  byId("accounts").tBodies[0].replaceChildren(...rows);
}

async function showAudit() {
  const log = await ask("GET", "/audit");
  byId("audit-state").textContent = log.broken === null ? "Whole: every line fits the one before it." : `Line ${log.broken} does not fit the one before it: somebody has changed the log.`;
  byId("audit").tBodies[0].replaceChildren(
    ...log.lines.map((line) => h("tr", {}, h("td", {}, when(line.at)), h("td", {}, line.who), h("td", {}, line.action), h("td", {}, h("code", {}, line.case_id)), h("td", {}, line.detail))),
  );
}

async function tell(id, doIt, then) {
  byId(id).hidden = true;
  try {
    await doIt();
    await then();
  } catch (error) {
    byId(id).textContent = error.message;
    byId(id).hidden = false;
  }
}

byId("new-token").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const { token } = await ask("POST", "/tokens", { purpose: form.get("purpose"), days: Number(form.get("days")) });
  byId("token").replaceChildren("Copy it now, it is shown this once: ", h("code", {}, token));
  byId("token").hidden = false;
  await showTokens();
});

byId("new-account")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = Object.fromEntries(new FormData(event.target));
  await tell("account-refused", () => ask("POST", "/accounts", form), async () => { event.target.reset(); await showAccounts(); });
});

await showTokens();
if (byId("accounts")) await Promise.all([showAccounts(), showAudit()]);
