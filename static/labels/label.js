// The labelling page: answers go to the outbox, the next item is prefetched, and the page is never reloaded.
import { Away, Refused, getText, post, uuid } from "../shared/api.js";
import { forget, keep, kept, names } from "../shared/storage.js";
import { Outbox } from "./outbox.js";
import { decide } from "./conflict.js";

const LEASE_TRUSTED = 9 * 60_000; // ms of the ten-minute lease for which we rely on it without renewal
const RENEW_EVERY = 2 * 60_000;
const IN_USE = 5 * 60_000; // ms since the last key or touch
const TOO_SOON = 350; // ms: an answer this soon after an item appears was meant for the previous one
const LOOK_AGAIN = 15_000; // ms between tries while others hold the remaining items
const AWAY_PAUSE = 3_000;
const DRAFTS_KEPT = 24 * 3600_000;

const { person, api, query, mine, signIn, ...words } = document.querySelector("#label-page").dataset;
const keys = words.keys.split(" "); // of a place
const find = (selector) => document.querySelector(selector);
const tab = uuid(); // items held here stay held until this page is left, whatever other tabs hold
const owner = query ? `${person}@${words.subsystem}` : person; // of values stored in this browser
const outbox = new Outbox(owner, address("labels"));
const cleared = leftBehind(); // whatever the previous page in this tab held is free

const NOT_TAKEN = `Not taken: this ${words.item} had only just come up.`;

let asked = false; // for a lease, whatever the outcome
let ahead = null; // the next item, or a promise of it
let shown = 0; // when this item appeared; 0 if there is none
let watched = 0; // ms spent on it before `since`
let since = 0;
let lastUse = performance.now();
let lookAgain = 0;

// An API address for the same subsystem as this page.
function address(path) {
  return `${api}${path}${query}`;
}

// --- the current item ---

const item = () => find("#item");
const place = () => JSON.parse(item().dataset.place ?? "null");
const boxes = () => [...item().querySelectorAll("input[name=bad]")];
const radios = () => [...item().querySelectorAll("input[name^=part_]")];
const draftName = (one) => `draft/${owner}/${[one.run, ...keys.map((key) => one[key])].join("/")}`;

// The answer: {part: class} of the parts that are not in the default class, which is the first option.
function said() {
  const ticked = boxes().filter((box) => box.checked).map((box) => [Number(box.value), "bad"]);
  const chosen = radios().filter((radio) => radio.checked && radio.value !== radios().find((one) => one.name === radio.name).value);
  return Object.fromEntries([...ticked, ...chosen.map((radio) => [radio.name.slice("part_".length), radio.value])]);
}

function show(answer) {
  for (const box of boxes()) box.checked = box.value in answer;
  for (const radio of radios()) {
    const first = radios().find((one) => one.name === radio.name) === radio;
    const name = answer[radio.name.slice("part_".length)];
    radio.checked = name === undefined ? first : name === radio.value;
  }
}

// The answer as fields of a label.
function fields(answer) {
  return radios().length ? { bad: [], classes: answer } : { bad: Object.keys(answer).map(Number) };
}

function begin() {
  shown = since = performance.now();
  watched = 0;
  const draft = kept(draftName(place()));
  if (draft) {
    show(draft.answer ?? Object.fromEntries(draft.bad.map((part) => [part, "bad"]))); // from an earlier version
    find("#comment").value = draft.comment;
  }
  find("#label-form").hidden = false;
  find("#queue button").classList.remove("first"); // the first action is to answer
  sayAnswer();
  if ("held" in item().dataset) fetchAhead();
}

function changed() {
  if (!shown) return; // it is being returned to the queue
  keep(draftName(place()), { answer: said(), comment: find("#comment").value, at: Date.now() });
  sayAnswer();
  fetchAhead();
}

function sayAnswer() {
  const parts = {};
  for (const [part, name] of Object.entries(said())) (parts[name] ??= []).push(part);
  const list = (those) => (those.length < 5 ? those.join(", ") : `${those[0]} … ${those.at(-1)}`);
  const each = Object.entries(parts).map(([name, those]) => (those.join() === "0" ? name : `${those.filter((one) => one !== "0").length} ${name}: ${list(those.filter((one) => one !== "0"))}`));
  find("#answer").textContent = `Submit: ${each.join("; ") || "all good"}`;
}

function tick(which) {
  for (const box of boxes()) box.checked = which;
  changed();
}

// --- answering ---

function answer(reason) {
  if (!shown) return;
  if (performance.now() - shown < TOO_SOON) return say(NOT_TAKEN);
  const body = { key: uuid(), ...place(), ...fields(reason === undefined ? said() : {}), seen: JSON.parse(item().dataset.seen) };
  body.comment = find("#comment").value.trim();
  body.seconds = Math.round((watched + performance.now() - since) / 100) / 10;
  if (reason !== undefined) body.reason = reason;
  const scores = [...item().querySelectorAll("tr[data-row]")].map((row) => [row.dataset.row, row.querySelector(".score").textContent]);
  const label = { body, name: item().dataset.name, url: item().dataset.url, scores: Object.fromEntries(scores) };
  forget(draftName(body));
  shown = 0;
  outbox.add(label);
  next();
}

async function next() {
  const old = ahead?.nothing || Date.now() - ahead?.claimed > LEASE_TRUSTED;
  if (old) ahead = null;
  if (!ahead || ahead instanceof Promise) {
    item().inert = true;
    following = `fetching the next ${words.item} …`;
    sayState();
    await fetchAhead();
  }
  if (!ahead || ahead instanceof Promise) return; // the server is unavailable: `fetchAhead` continues when it is back
  const { nothing, parts, url } = ahead;
  ahead = null;
  following = "";
  if (nothing) return showNothing(nothing);
  const values = find(".show-values")?.checked;
  for (const part of parts) find(`#${part.id}`).replaceWith(part);
  if (values) find(".show-values").checked = true;
  history.pushState(null, "", url);
  document.title = `${item().dataset.name} · Driftwatch`;
  find("#comment").value = "";
  begin();
  sayState();
  scrollTo(0, 0);
  if (!document.activeElement || document.activeElement === document.body) item().querySelector("h1").focus({ preventScroll: true });
}

// Claims the next item and prepares its part of the page, so that it only has to be shown. Pending labels are sent
// first; otherwise the queue would return the item that has just been answered.
function fetchAhead() {
  ahead ??= claimAhead();
  return ahead instanceof Promise ? ahead : Promise.resolve();
}

async function claimAhead() {
  clearTimeout(lookAgain);
  try {
    await Promise.all([cleared, outbox.send()]);
    const besides = [place(), ...outbox.labels.map((label) => label.body)].filter(Boolean).slice(0, 20);
    const claimed = Date.now();
    asked = true;
    const given = await post(address("queue/claim"), { ...wish(), tab, besides: besides.map(bare) });
    if (!given.item) {
      ahead = { nothing: given, claimed };
    } else {
      const scale = new URLSearchParams(location.search).get("scale");
      const url = `${given.url}${scale ? `?scale=${scale}` : ""}`;
      const html = await getText(`${url}${scale ? "&" : "?"}part=item`);
      const holder = document.createElement("div"); // in this document, so that its pictures are loaded too
      holder.innerHTML = html;
      ahead = { ...given, url, claimed, parts: [...holder.children], nothing: null };
    }
  } catch (error) {
    ahead = null;
    if (error instanceof Away) {
      following = "the server does not answer; trying again";
      sayState();
      lookAgain = setTimeout(() => (shown ? fetchAhead() : next()), AWAY_PAUSE);
    } else if (error instanceof Refused) refused(error);
    else throw error;
  }
}

const bare = (one) => Object.fromEntries(["run", ...keys].map((key) => [key, one[key]]));

function wish() {
  const form = new FormData(find("#queue"));
  const number = (name) => (form.get(name)?.trim() ? Number(form.get(name)) : null);
  return {
    strategy: form.get("strategy"),
    run: number("run"),
    [words.narrowed]: number(words.narrowed),
    leave_out_known: form.get("leave_out_known") === "true",
  };
}

function showNothing({ nothing, text }) {
  const words = { done: "Nothing is left to label", held: "Others hold the rest", skipped: "You have skipped the rest" };
  const instead = document.createElement("div");
  instead.id = "item";
  instead.className = "empty";
  const heading = Object.assign(document.createElement("h1"), { textContent: words[nothing], tabIndex: -1 });
  instead.append(heading, Object.assign(document.createElement("p"), { textContent: text }));
  item().replaceWith(instead);
  find("#context").replaceChildren();
  find("#label-form").hidden = !outbox.labels.length;
  shown = 0;
  sayState();
  heading.focus();
  if (nothing === "held") lookAgain = setTimeout(next, LOOK_AGAIN);
}

// The queue options have changed: release the current item, if it was claimed by the old ones, and the prefetched one.
async function wishAgain() {
  if (!find("#queue").reportValidity()) return;
  await (ahead instanceof Promise ? ahead : null);
  clearTimeout(lookAgain);
  const given = [ahead?.item, "held" in item().dataset ? place() : null].filter(Boolean);
  ahead = null;
  shown = 0;
  item().inert = true;
  try {
    if (given.length) await post(address("queue/release"), { tab, items: given.map(bare) });
  } catch (error) {
    if (!(error instanceof Away)) throw error; // the leases expire by themselves
  }
  delete item().dataset.place; // it may be offered again
  next();
}

// --- undo ---

async function undo(entry) {
  if (outbox.waiting.length) return say("Wait until your last label is saved; then it can be undone.");
  try {
    const undone = await post(address(`labels/${entry.dataset.label}/undo`), { key: uuid() });
    const answer = JSON.parse(entry.dataset.answer);
    keep(draftName(undone), { answer, comment: entry.dataset.comment, at: Date.now() });
    location.assign(entry.dataset.url);
  } catch (error) {
    if (error instanceof Away) say("The server does not answer: nothing was undone.", true);
    else if (error instanceof Refused) refused(error);
    else throw error;
  }
}

async function renewMine() {
  try {
    const holder = document.createElement("template");
    holder.innerHTML = await getText(mine);
    find("#mine").replaceWith(holder.content.querySelector("#mine"));
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error; // nothing changes
  }
}

// --- results of the answers ---

function say(words, away = false) {
  const status = find("#save-status");
  if (status.textContent !== words) status.textContent = words;
  status.classList.toggle("away", away);
}

let saved = "";
let following = ""; // what keeps the next item from being shown

function sayState() {
  const waiting = outbox.waiting.length;
  const parts = [waiting ? `waiting to be saved: ${waiting}` : saved, shown ? "" : following];
  say(parts.filter(Boolean).join("; "), Boolean(waiting) || (!shown && following.startsWith("the server")));
}

function refused(error) {
  if (error.status === 401) {
    const link = Object.assign(document.createElement("a"), { textContent: "Sign in again" });
    link.href = `${signIn}?next=${encodeURIComponent(location.pathname)}`;
    find("#save-status").replaceChildren("You are signed out; nothing is lost. ", link);
  } else say(error.message, true);
}

function showTroubled() {
  const rows = outbox.troubled.map((label) => {
    const row = document.createElement("p");
    const stale = label.trouble.code === "stale-label";
    row.append(`Not saved: ${label.name}. ${stale ? "It changed while you looked at it." : label.trouble.detail ?? ""} `);
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: stale ? "Compare" : "Give it up" });
    button.addEventListener("click", () => (stale ? decide(label, outbox) : outbox.drop(label)));
    row.append(button);
    return row;
  });
  find("#trouble").replaceChildren(...rows);
}

outbox.addEventListener("saved", ({ detail: event }) => {
  saved = `Saved${event.kind === "skip" ? " as skipped" : ""} at ${new Date().toISOString().slice(11, 19)} UTC`;
  sayState();
  renewMine();
});
outbox.addEventListener("changed", () => {
  sayState();
  showTroubled();
});
outbox.addEventListener("away", ({ detail: error }) => (error instanceof Refused ? refused(error) : sayState()));

// --- user actions ---

document.addEventListener("change", (event) => {
  if (event.target.matches("#item input[name=bad], #item input[name^=part_]")) changed();
  else if (event.target.closest("#queue") && (!place() || "held" in item().dataset)) wishAgain();
});
document.addEventListener("input", (event) => event.target.id === "comment" && shown && changed());
document.addEventListener("click", (event) => {
  if (event.target.closest("#submit, #skip")) event.preventDefault();
  if (event.target.closest("#submit")) event.detail > 1 ? say(NOT_TAKEN) : answer(); // half of a double click
  else if (event.target.closest("#skip")) shown && find("#skip-dialog").showModal();
  else if (event.target.closest("[data-reason]")) {
    find("#skip-dialog").close();
    answer(event.target.closest("[data-reason]").dataset.reason);
  } else if (event.target.closest("#all")) tick(true);
  else if (event.target.closest("#none")) tick(false);
  else if (event.target.closest("#show-keys")) find("#keys-dialog").showModal();
  else if (event.target.closest("dialog [data-close]")) event.target.closest("dialog").close();
  else if (!event.target.closest("a, button, label, input")) {
    const box = event.target.closest("#item tr[data-row]")?.querySelector("input[name=bad]");
    box?.click();
  }
});
document.addEventListener("submit", (event) => {
  const entry = event.target.closest("#mine li");
  if (!entry && !event.target.matches("#label-form, #queue")) return;
  event.preventDefault();
  if (entry) undo(entry);
  else if (event.target.id === "queue") wishAgain();
});
document.addEventListener("keydown", (event) => {
  if (event.target.id === "comment" && ["Enter", "Escape"].includes(event.key) && !event.isComposing) {
    event.preventDefault();
    event.target.blur();
  } else if (event.target.closest?.("#queue") && event.key === "Escape") event.target.blur();
});
addEventListener("popstate", () => location.pathname !== item().dataset.url && location.reload());

// --- keeping leases ---

for (const what of ["keydown", "pointerdown", "pointermove"]) addEventListener(what, () => (lastUse = performance.now()));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) watched += since ? performance.now() - since : 0;
  since = document.hidden ? 0 : performance.now();
  if (!document.hidden) renew();
});
setInterval(() => !document.hidden && performance.now() - lastUse < IN_USE && renew(), RENEW_EVERY);

async function renew() {
  const items = [shown ? place() : null, ahead?.item].filter(Boolean);
  if (!items.length) return;
  asked = true;
  try {
    const still = await post(address("queue/renew"), { tab, items: items.map(bare) });
    const holds = (one) => still.items.some((other) => draftName(other) === draftName(one));
    if (shown) item().toggleAttribute("data-held", holds(place()));
    if (ahead?.item && holds(ahead.item)) ahead.claimed = Date.now();
    else if (ahead?.item) ahead = null;
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error;
  }
}

addEventListener("pagehide", () => {
  if (!asked) return;
  try {
    sessionStorage.setItem("driftwatch/left", tab);
  } catch {
    // its items are then released by the beacon alone
  }
  const items = []; // everything that this tab holds, including pending claims
  navigator.sendBeacon(address("queue/release"), new Blob([JSON.stringify({ tab, items })], { type: "application/json" }));
});
// The beacon of the previous page may arrive after the first requests of this page, or never.
async function leftBehind() {
  try {
    const left = sessionStorage.getItem("driftwatch/left");
    sessionStorage.removeItem("driftwatch/left");
    if (left) await post(address("queue/release"), { tab: left, items: [] });
  } catch {
    // no storage, or the server is unavailable: the leases expire by themselves
  }
}

addEventListener("pageshow", (event) => event.persisted && location.reload());
addEventListener("beforeunload", (event) => outbox.waiting.length && event.preventDefault());

// --- start ---

for (const name of names(`draft/${owner}/`)) if (Date.now() - kept(name).at > DRAFTS_KEPT) forget(name);
outbox.send();
if (place()) {
  begin();
  renew().then(() => "held" in item().dataset && fetchAhead());
} else if ("start" in item().dataset) next();
