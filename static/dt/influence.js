// Overlays the influence of the cells on the map of a chamber: requested on demand, and polled while it is being
// computed. If the page changes to another chamber, that chamber's influence is fetched.
import { Away, Refused, getText } from "../shared/api.js";
import { keep, kept } from "../shared/storage.js";

const EVERY = 500; // ms, while it is being computed
const AWAY_PAUSE = 3_000;
const KEPT = "influence";

const find = (selector) => document.querySelector(selector);
const asked = new URLSearchParams(location.search);
const chosen = { method: asked.get("method") ?? kept(KEPT)?.method, model: asked.get("model") };
let mix = kept(KEPT)?.mix ?? 100; // per cent: 0 is counts only, 100 influence only
let wanted = asked.get("influence") === "1";
let turn = 0; // results for an earlier chamber, method or model are dropped
let timer = 0;
let stepsTurn = 0;

// --- fetching ---

async function show() {
  const slot = find("#influence");
  if (!slot) return;
  const mine = ++turn;
  clearTimeout(timer);
  const given = Object.entries(chosen).filter(([, value]) => value);
  try {
    const html = await getText(`${slot.dataset.address}?${new URLSearchParams(given)}`);
    if (mine === turn && wanted) take(html);
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof Away) {
      say("The server does not answer; trying again.");
      timer = setTimeout(show, AWAY_PAUSE);
    } else if (error instanceof Refused) say("This cannot be shown: choose another method or model.");
    else throw error;
  }
}

function take(html) {
  const focused = document.activeElement?.closest?.("#influence select")?.name;
  const open = find("#influence .how")?.open;
  const layer = find("#influence select[name=layer]")?.value;
  const body = find("#influence-body");
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const { state, words } = holder.content.firstElementChild.dataset;
  if (state !== "coming" || !body.firstElementChild) body.replaceChildren(holder.content);
  if (focused) body.querySelector(`select[name=${focused}]`)?.focus();
  say(state === "ready" ? "" : words);
  clear();
  if (state === "coming") timer = setTimeout(show, EVERY);
  if (state !== "ready") return;
  lay();
  const layers = body.querySelector("select[name=layer]");
  if (layer && [...layers.options].some((option) => option.value === layer)) layers.value = layer;
  if (open) body.querySelector(".how").open = true; // its toggle fetches the steps
}

function say(words) {
  const status = find("#influence-status");
  if (status.textContent !== words) status.textContent = words;
}

// --- on the map ---

function lay() {
  const layers = find("#influence-layers");
  for (const layer of layers.children) {
    const row = find(`#item tr[data-row="${layer.dataset.layer}"]`);
    const strip = row.querySelector(".strip");
    const [pushes, values] = layer.cloneNode(true).children;
    strip.querySelector(".cells").after(pushes);
    strip.querySelector(".values").after(values);
    for (const cell of pushes.children) {
      const below = strip.querySelector(`.cells rect[data-cell="${cell.dataset.cell}"]`);
      below.dataset.influence = cell.dataset.influence;
    }
    const words = document.createElement("small");
    words.className = "pushed";
    words.textContent = layer.dataset.pushed;
    row.querySelector(".verdict").append(words);
  }
  for (const picture of pictures()) {
    picture.dataset.width = picture.getAttribute("width");
    picture.setAttribute("width", Math.max(picture.dataset.width, layers.dataset.width));
  }
  find("#item").classList.add("with-influence");
  blend();
}

function clear() {
  for (const element of document.querySelectorAll("#item :is(.pushed, tr .pushes, tr .push-values)")) element.remove();
  for (const cell of document.querySelectorAll("#map-scroll .cells rect[data-influence]")) delete cell.dataset.influence;
  for (const picture of pictures()) if (picture.dataset.width) picture.setAttribute("width", picture.dataset.width);
  find("#item").classList.remove("with-influence", "influence-leads", "influence-blended");
}

function pictures() {
  return document.querySelectorAll("#item .heatmap :is(.strip, .axis svg, .profile)");
}

function blend() {
  const chamber = find("#item");
  chamber.style.setProperty("--mix", mix / 100);
  chamber.classList.toggle("influence-leads", mix >= 50);
  chamber.classList.toggle("influence-blended", mix > 0 && mix < 100); // numbers need an outline to be legible
  find("#item .mix input").value = mix;
}

// --- the steps of the computation ---

async function showSteps() {
  const how = find("#influence .how");
  if (!how?.open) return;
  const mine = ++stepsTurn;
  const body = how.querySelector(".steps-body");
  const layer = how.querySelector("select[name=layer]").value;
  try {
    const html = await getText(`${how.dataset.address}&layer=${layer}`);
    if (mine === stepsTurn) body.innerHTML = html;
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error;
    body.textContent = "The steps cannot be shown now. Unfold this again.";
  }
}

function read(square) {
  const strip = square.closest(".step-strip");
  for (const other of strip.querySelectorAll(".pointed")) other.classList.remove("pointed");
  square.classList.add("pointed");
  strip.parentElement.querySelector("output").textContent = square.dataset.says;
}

// --- user actions ---

function turnOn(on) {
  wanted = on;
  const slot = find("#influence");
  if (!slot) return;
  find("#item .show-influence").checked = on;
  find("#item .mix").hidden = !on;
  slot.hidden = !on;
  const address = new URL(location.href);
  if (on) address.searchParams.set("influence", "1");
  else for (const name of ["influence", "method", "model"]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
  if (on) return show();
  turn += 1;
  clearTimeout(timer);
  clear();
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("#item .show-influence")) turnOn(target.checked);
  else if (target.matches("#influence select[name=layer]")) showSteps();
  else if (target.matches("#influence select")) {
    chosen[target.name] = target.value;
    keep(KEPT, { mix, method: chosen.method });
    const address = new URL(location.href);
    address.searchParams.set(target.name, target.value);
    history.replaceState(history.state, "", address);
    say("Looking …");
    show();
  }
});
document.addEventListener("input", ({ target }) => {
  if (!target.matches("#item .mix input")) return;
  mix = Number(target.value);
  keep(KEPT, { mix, method: chosen.method });
  blend();
});
document.addEventListener("toggle", ({ target }) => target.matches("#influence .how") && showSteps(), true);
document.addEventListener("pointermove", ({ target }) => target.matches?.(".step-strip rect") && read(target));
document.addEventListener("pointerdown", ({ target }) => target.matches?.(".step-strip rect") && read(target));
document.addEventListener("keydown", (event) => {
  if (event.target.matches?.(".mix input") && event.key.startsWith("Arrow")) return event.stopPropagation(); // not to keys.js
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || !event.target.matches?.(".step-strip") || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const squares = [...event.target.querySelectorAll("rect")];
  const at = squares.findIndex((square) => square.classList.contains("pointed"));
  read(squares[Math.min(Math.max(at + step, 0), squares.length - 1)]);
}, true);
// Keep the overlay on when moving to another chamber.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("#item a");
  if (!wanted || !link || link.origin !== location.origin || !/^\/eval\/[^/]+\/[^/]+\/[^/]+\/[^/]+\/$/.test(link.pathname)) return;
  const address = new URL(link.href);
  address.searchParams.set("influence", "1");
  if (chosen.model) address.searchParams.set("model", chosen.model);
  link.href = address;
}, true);

// The chamber has changed.
new MutationObserver(() => {
  const box = find("#item .show-influence");
  if (wanted && box && !box.checked) turnOn(true);
}).observe(find("#content"), { childList: true });

if (wanted) turnOn(true);
