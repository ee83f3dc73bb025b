// Keeps the page of the re-evaluations up to date while one is under way, from the page itself; rests when none is.
const EVERY = 3_000; // ms; with the page in view
const AWAY_MOST = 30_000; // ms between two tries while the server is away
let wait = EVERY;

if (underWay()) setTimeout(look, EVERY);

function underWay() {
  return document.querySelector("#under-way[data-open]");
}

async function look() {
  if (!document.hidden) await renew();
  if (underWay()) setTimeout(look, wait);
}

async function renew() {
  const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(8000) }).catch(() => null);
  wait = response?.ok ? EVERY : Math.min(wait * 2, AWAY_MOST);
  if (!response?.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("#under-way");
  if (!fresh) return;
  if (!fresh.hasAttribute("data-open")) location.reload(); // it is over: the list below has it now
  const now = underWay();
  for (const part of ["progress", ".row"]) {
    const [old, next] = [now.querySelector(`.progress ${part}`), fresh.querySelector(`.progress ${part}`)];
    if (old && next && old.outerHTML !== next.outerHTML) old.replaceWith(next);
  }
}
