// Keeps a progress line up to date, and reloads the page at the end; if somebody is typing on the page, the line says
// so instead.
import { Away, Refused, getText } from "./api.js";

const EVERY = 2_000; // ms
const HIDDEN_EVERY = 10_000;
const AWAY_PAUSE = 5_000;
let written = false;
const line = document.querySelector("[data-follow]");

async function look() {
  try {
    const page = new DOMParser().parseFromString(await getText(location.href), "text/html");
    const fresh = page.querySelector("[data-follow]");
    if (fresh) {
      if (fresh.innerHTML !== line.innerHTML) line.replaceChildren(...fresh.childNodes);
    } else if (written || typed()) {
      line.textContent = "Over. Load the page again to see what came of it.";
      return;
    } else {
      location.reload();
      return;
    }
    schedule(document.hidden ? HIDDEN_EVERY : EVERY);
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error;
    schedule(AWAY_PAUSE);
  }
}

// Including text entered before this script ran.
function typed() {
  const fields = document.querySelectorAll("input:not([type=checkbox], [type=radio], [type=hidden]), textarea");
  return [...fields].some((field) => field.value !== field.defaultValue);
}

function schedule(delay) {
  setTimeout(look, delay);
}

document.addEventListener("input", () => { written = true; });
if (line) schedule(EVERY);
