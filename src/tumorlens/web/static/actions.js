// What can be done with a case as a whole, whatever it holds: renaming and deleting it.

import { ask, byId, h } from "./common.js";

// id: the case's; title: gives its title now; refresh: shows it anew.
export function offerActions(id, title, refresh) {
  byId("rename").addEventListener("click", () => { byId("new-title").value = title(); byId("naming").showModal(); });
  byId("naming").addEventListener("close", async () => {
    if (byId("naming").returnValue !== "yes") return;
    await ask("PATCH", `/cases/${id}`, { title: byId("new-title").value });
    await refresh();
  });
  byId("delete").addEventListener("click", () => byId("sure").showModal());
  byId("sure").addEventListener("close", async () => {
    if (byId("sure").returnValue !== "yes") return;
    try {
      await ask("DELETE", `/cases/${id}`);
      location.href = "/";
    } catch (error) {
      byId("state").replaceChildren(h("p", { class: "notice bad" }, error.message));
    }
  });
}
