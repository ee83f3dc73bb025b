// Names the cell that is pointed at, with a mouse, a finger or the keyboard, in the line above the map.
const area = document.querySelector("#map-scroll");
const readout = document.querySelector("#readout");
const idle = readout.textContent;
const number = new Intl.NumberFormat("en");
let pointed = null;

area.addEventListener("pointermove", follow);
area.addEventListener("pointerdown", follow);
area.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && point(null));
area.addEventListener("blur", () => point(null));
area.addEventListener("keydown", (event) => {
  if (event.target !== area) return;
  if (event.key === "Escape") point(null);
  const [across, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
  if (across === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  step(across, up);
});

function follow(event) {
  // A finger keeps its first target: look up what is below it now.
  const below = document.elementFromPoint(event.clientX, event.clientY);
  point(below?.closest("rect[data-cell]") ?? null);
}

function step(across, up) {
  if (!pointed) return point(area.querySelector("rect[data-cell]:not(.none)"));
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
  return area.querySelector(`rect[data-layer="${layer}"][data-cell="${cell}"]`);
}

function point(rect) {
  if (rect === pointed) return;
  pointed?.classList.remove("pointed");
  rect?.classList.add("pointed");
  pointed = rect;
  readout.classList.toggle("idle", !rect);
  readout.textContent = rect ? words(rect) : idle;
}

function words(rect) {
  const { layer, cell, count } = rect.dataset;
  const place = `Layer ${layer} (SL${Math.ceil(layer / 4)}), cell ${cell}: `;
  if (!rect.classList.contains("none")) return place + number.format(count) + (count === "1" ? " hit" : " hits");
  return place + "no cell" + (count === "-1" ? "" : `, yet ${number.format(count)} was served`);
}
