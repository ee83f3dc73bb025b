// Keeps the page of a training up to date without reloading, until the training has ended.
import { Away, Refused, getText } from "../shared/api.js";

const EVERY = 1_000; // ms
const HIDDEN_EVERY = 10_000;
const AWAY_PAUSE = 3_000;
const news = document.querySelector("#training-news");
const progress = () => document.querySelector("#training-progress");

async function look() {
  try {
    const holder = document.createElement("template");
    holder.innerHTML = await getText(progress().dataset.coming);
    renew(holder.content.querySelector("#training-progress"));
    schedule(document.hidden ? HIDDEN_EVERY : EVERY);
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error;
    schedule(AWAY_PAUSE);
  }
}

function renew(fresh) {
  const before = progress();
  const open = before.querySelector("details")?.open;
  const focused = before.querySelector("summary") === document.activeElement;
  if (fresh.dataset.state !== before.dataset.state) news.textContent = `Training: ${fresh.dataset.state}`;
  before.replaceWith(fresh);
  if (open) fresh.querySelector("details").open = true;
  if (focused) fresh.querySelector("summary")?.focus();
  if (!fresh.dataset.coming) document.querySelector("#stop")?.remove();
}

function schedule(delay) {
  if (progress().dataset.coming) setTimeout(look, delay);
}

schedule(EVERY);
