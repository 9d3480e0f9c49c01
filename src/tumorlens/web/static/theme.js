// Before anything is painted: dark, unless this reader chose light.
document.documentElement.dataset.theme = localStorage.getItem("theme") === "light" ? "light" : "dark";
