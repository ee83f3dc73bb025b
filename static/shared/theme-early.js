// Before anything is drawn: the colours that were chosen on this machine. Not a module, so that it blocks; see theme.js.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage here: the system's colours are used
}
