// Switches between the light, the dark and the system's theme; the choice is stored in this browser.
const switches = document.querySelector(".theme");
const root = document.documentElement;

for (const option of switches.querySelectorAll("input")) {
  option.checked = option.value === (root.dataset.theme ?? "auto");
  option.addEventListener("change", () => choose(option.value));
}
switches.hidden = false;

function choose(theme) {
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // no storage: the choice lasts as long as this page
  }
}
