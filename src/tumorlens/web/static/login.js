import { ask, byId } from "./common.js";

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  try {
    await ask("POST", "/login", { name: form.get("name"), password: form.get("password") });
    const next = new URLSearchParams(location.search).get("next") ?? "/";
    // Only ever a page of ours: "//elsewhere" would be another's.
    location.href = /^\/(?![/\\])/.test(next) ? next : "/";
  } catch (error) {
    byId("refused").textContent = error.message;
    byId("refused").hidden = false;
  }
});
