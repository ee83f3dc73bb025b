// Fills in the pictures of a run's worst chambers when they are ready, and shows the progress until then.
import { Away, Refused, getText } from "../shared/api.js";

const EVERY = 700; // ms
const AWAY_PAUSE = 3_000;
const list = () => document.querySelector("#saliency-list");

async function look() {
  try {
    const holder = document.createElement("template");
    holder.innerHTML = await getText(list().dataset.coming);
    list().replaceWith(holder.content.querySelector("#saliency-list"));
    schedule(EVERY);
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error;
    schedule(AWAY_PAUSE);
  }
}

function schedule(delay) {
  if (list()?.dataset.coming) setTimeout(look, delay);
}

schedule(EVERY);
