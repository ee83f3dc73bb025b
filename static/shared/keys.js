// Clicks the element whose aria-keyshortcuts match a key; never while somebody is typing, never with Ctrl, Alt or Meta.
// Elements with data-code match the position of the key instead: on French keyboards digits would need Shift.
const WRITING = "input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]";
const PRESSED_BY_ENTER = "a, button, summary";

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest?.(WRITING)) return;
  const { key, code } = event;
  if (key === "Enter" && event.target.closest?.(PRESSED_BY_ENTER)) return;
  if (event.target.matches?.("input[type=radio]") && key.startsWith("Arrow")) return;
  const dialog = document.querySelector("dialog[open]"); // an open dialog takes all keys
  for (const element of (dialog ?? document).querySelectorAll("[aria-keyshortcuts], [data-code]")) {
    if (!(element.dataset.code ? element.dataset.code === code : means(element.ariaKeyShortcuts, event))) continue;
    if (!dialog && element.closest("dialog")) continue;
    event.preventDefault();
    if (!event.repeat || key.startsWith("Arrow")) element.click();
    return;
  }
});

// On non-Latin keyboards, letters match by position.
function means(wanted, { key, code, shiftKey }) {
  if (!wanted || (shiftKey && key !== "?")) return false;
  const latin = key.length > 1 || key.codePointAt(0) < 128;
  return wanted.toLowerCase() === (latin ? key : code.replace(/^Key/, "")).toLowerCase();
}
