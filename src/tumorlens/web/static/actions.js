// What can be done with a case as a whole, whatever it holds: renaming and deleting it.

import { ask, byId, h } from "./common.js";

// id: the case's; title: gives its title now; refresh: shows it anew.
export function offerActions(id, title, refresh) {
  const [naming, sure] = [byId("naming"), byId("sure")];
  // Escape answers nothing, and must not leave the answer of the last time.
  const open = (dialog) => {
    dialog.returnValue = "";
    dialog.showModal();
  };
  byId("rename").addEventListener("click", () => {
    byId("new-title").value = title();
    open(naming);
  });
  naming.addEventListener("close", () => naming.returnValue === "yes" && attempt(async () => {
    await ask("PATCH", `/cases/${id}`, { title: byId("new-title").value });
    await refresh();
  }));
  byId("delete").addEventListener("click", () => open(sure));
  sure.addEventListener("close", () => sure.returnValue === "yes" && attempt(async () => {
    await ask("DELETE", `/cases/${id}`);
    location.href = "/";
  }));
}

// Does it, or says why not.
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    byId("state").replaceChildren(h("p", { class: "notice bad" }, error.message));
  }
}
