// Applies the chosen theme before the page is drawn. Not a module, so that it blocks; see theme.js.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage: the system's theme is used
}
