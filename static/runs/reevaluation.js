// Keeps the page of re-evaluations up to date while one is in progress, by refetching it; idle otherwise.
const EVERY = 3_000; // ms; while the page is visible
const AWAY_MOST = 30_000; // ms between retries while the server is unavailable
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
  if (!fresh.hasAttribute("data-open")) location.reload(); // it has ended and is now in the list below
  const now = underWay();
  for (const part of ["progress", ".row"]) {
    const [old, next] = [now.querySelector(`.progress ${part}`), fresh.querySelector(`.progress ${part}`)];
    if (old && next && old.outerHTML !== next.outerHTML) old.replaceWith(next);
  }
}
