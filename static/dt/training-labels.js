// Shows next to the form how many labels a training would have, updated when the selection changes.
import { Away, Refused, getText } from "../shared/api.js";

const PAUSE = 400; // ms after the last keystroke
const place = document.querySelector("#labels-that-count");
const address = new URL(place.dataset.address, location);
const form = document.querySelector("#train form");
let asked = 0;
let waiting;

async function count() {
  const mine = ++asked;
  const given = new FormData(form);
  for (const name of ["runs", "resolved_only"]) {
    if (given.get(name)) address.searchParams.set(name, given.get(name));
    else address.searchParams.delete(name);
  }
  try {
    const holder = document.createElement("template");
    holder.innerHTML = await getText(address);
    if (mine === asked) document.querySelector("#labels-that-count").replaceWith(holder.content.querySelector("#labels-that-count"));
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error;
  }
}

form.addEventListener("input", (event) => {
  if (!["runs", "resolved_only"].includes(event.target.name)) return;
  clearTimeout(waiting);
  waiting = setTimeout(count, PAUSE);
});
count();
