// Shows the name of the cell under the mouse, a finger or the keyboard focus in the line above the map. The map may be
// replaced by that of another chamber, so elements are looked up when needed.
const IDLE = "Point at a cell to read it";
const number = new Intl.NumberFormat("en");
let pointed = null;

document.addEventListener("pointermove", follow);
document.addEventListener("pointerdown", follow);
document.addEventListener("focusout", (event) => event.target.id === "map-scroll" && point(null));
document.addEventListener("keydown", whenFocused, true); // before keys.js, which has other uses for the arrows

function whenFocused(event) {
  if (event.target.id !== "map-scroll") return;
  if (event.key === "Escape") point(null);
  const [across, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
  if (across === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  step(across, up);
}

function follow(event) {
  if (!event.target.closest?.("#map-scroll")) {
    if (event.pointerType === "mouse" && pointed) point(null);
    return;
  }
  // A finger keeps its first target: look up what is below it now.
  const below = document.elementFromPoint(event.clientX, event.clientY);
  point(below?.closest("rect[data-cell]") ?? null);
}

function step(across, up) {
  if (!pointed?.isConnected) return point(document.querySelector("#map-scroll rect[data-cell]:not(.none)"));
  let layer = Number(pointed.dataset.layer) + up;
  const cell = Number(pointed.dataset.cell) + across;
  while (up && layer >= 1 && layer <= 12 && !at(layer, cell)) layer += up; // over layers that the chamber lacks
  const next = at(layer, cell);
  if (next) {
    point(next);
    next.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }
}

function at(layer, cell) {
  return document.querySelector(`#map-scroll rect[data-layer="${layer}"][data-cell="${cell}"]`);
}

function point(rect) {
  if (rect === pointed) return;
  pointed?.classList.remove("pointed");
  rect?.classList.add("pointed");
  pointed = rect;
  const readout = document.querySelector("#readout");
  if (!readout) return;
  readout.classList.toggle("idle", !rect);
  readout.textContent = rect ? words(rect) : IDLE;
}

function words(rect) {
  const { layer, cell, count, influence } = rect.dataset;
  const place = `Layer ${layer} (SL${Math.ceil(layer / 4)}), cell ${cell}: `;
  const pushed = influence ? `, influence ${influence}` : "";
  if (!rect.classList.contains("none")) return place + number.format(count) + (count === "1" ? " hit" : " hits") + pushed;
  return place + "no cell" + (count === "-1" ? "" : `, yet ${number.format(count)} was served`);
}
