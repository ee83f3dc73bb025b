// Keeps the rows of busy runs up to date without reloading: the progress is from the API, a new state from this page
// itself, so that states are worded in one place. Idle when no run is busy.
const table = document.querySelector("#runs-table");
const status = document.querySelector("#poll-status");
const EVERY = 700; // ms; while the page is visible
const HIDDEN_EVERY = 10_000;
const AWAY_MOST = 15_000; // ms between retries while the server is unavailable
const number = new Intl.NumberFormat("en");
let etag = "";
let failures = 0;
let timer = 0;

if (table) {
  schedule();
  document.addEventListener("visibilitychange", () => !document.hidden && timer && schedule(0));
}

function busyRows() {
  return [...table.querySelectorAll('tr[data-busy="true"]')];
}

function schedule(delay) {
  clearTimeout(timer);
  timer = 0;
  if (!busyRows().length) return;
  const usual = document.hidden ? HIDDEN_EVERY : Math.min(EVERY * 2 ** failures, AWAY_MOST);
  timer = setTimeout(poll, delay ?? usual);
}

async function poll() {
  try {
    await update();
    failures = 0;
    say("");
  } catch (error) {
    failures += 1;
    say(failures > 1 ? "The server does not answer; trying again." : "");
    if (!(error instanceof TypeError || error instanceof ServerAway)) throw error;
  } finally {
    schedule();
  }
}

class ServerAway extends Error {}

async function ask(address, headers) {
  const response = await fetch(address, { headers, cache: "no-store", signal: AbortSignal.timeout(8000) }).catch((error) => {
    throw new ServerAway(error.message);
  });
  if (!response.ok && response.status !== 304 && response.status !== 404) throw new ServerAway(response.status);
  return response;
}

async function update() {
  const { api, state, sort, descending, page, size } = table.dataset;
  const query = new URLSearchParams({ sort, descending, page, size });
  if (state) query.set("state", state);
  const response = await ask(`${api}${api.includes("?") ? "&" : "?"}${query}`, etag ? { "If-None-Match": etag } : {});
  if (response.status === 304) return;
  const runs = response.ok ? new Map((await response.json()).runs.map((run) => [String(run.number), run])) : new Map();
  const changed = [];
  for (const row of busyRows()) {
    const run = runs.get(row.dataset.run);
    if (!run || run.state !== row.dataset.runState) changed.push(row);
    else if (row.querySelector("progress")) progress(row, run);
  }
  if (changed.length) await renew(changed);
  etag = response.headers.get("ETag") ?? ""; // only now, so that a failed request is repeated
}

function progress(row, run) {
  const came = run.done + run.missing;
  const bar = row.querySelector("progress");
  bar.max = run.total || 1;
  bar.value = came;
  const parts = [`${number.format(came)} of ${number.format(run.total)}`];
  if (run.missing) parts.push(`${number.format(run.missing)} missing`);
  if (run.state === "fetching" && run.rate) parts.push(`${run.rate.toFixed(0)} a second`);
  if (run.seconds_left !== null) parts.push(`${run.seconds_left.toFixed(0)} s left`);
  row.querySelector('[data-part="words"]').textContent = parts.join(", ");
  row.querySelector('[data-part="missing"]').textContent = number.format(run.missing);
}

async function renew(rows) {
  const page = new DOMParser().parseFromString(await (await ask(location.href)).text(), "text/html");
  for (const row of rows) {
    const fresh = page.getElementById(row.id) ?? (await on_another_page(row));
    if (fresh) replace(row, fresh);
    else gone(row);
  }
}

// The row has left this page of the list: its state has changed, or the run is deleted.
async function on_another_page(row) {
  const { api } = table.dataset;
  const [path, asked = ""] = api.split("?");
  const response = await ask(`${path}/${row.dataset.run}${asked && `?${asked}`}`);
  if (response.status === 404) return null;
  const address = new URL(location.pathname, location.href);
  address.search = new URLSearchParams({ sort: "requested_at", descending: "true", size: "100" });
  const page = new DOMParser().parseFromString(await (await ask(address)).text(), "text/html");
  return page.getElementById(row.id);
}

function replace(row, fresh) {
  const focused = row.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  const open = row.querySelector("details")?.open;
  row.replaceWith(document.adoptNode(fresh));
  if (open && fresh.querySelector("details")) fresh.querySelector("details").open = true;
  if (focused) [...fresh.querySelectorAll("[aria-label]")].find((e) => e.getAttribute("aria-label") === focused)?.focus();
}

function gone(row) {
  row.dataset.busy = "false";
  row.dataset.runState = "gone";
  const words = row.querySelector(".state span");
  words.textContent = "deleted";
  row.querySelector(".actions").replaceChildren();
  row.querySelector("td a")?.replaceWith(row.querySelector("td b"));
}

function say(words) {
  if (status.textContent !== words) status.textContent = words;
  status.classList.toggle("away", Boolean(words));
}
