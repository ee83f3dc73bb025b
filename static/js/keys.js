// Presses whatever says by aria-keyshortcuts which key it has; never while somebody writes, never with Ctrl, Alt or Meta.
const WRITING = "input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable], dialog";

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest?.(WRITING)) return;
  if (event.target.matches?.("input[type=radio]") && event.key.startsWith("Arrow")) return;
  const wanted = event.key.toLowerCase();
  for (const element of document.querySelectorAll("[aria-keyshortcuts]")) {
    if (element.getAttribute("aria-keyshortcuts").toLowerCase() === wanted) {
      event.preventDefault();
      element.click();
      return;
    }
  }
});
