// Trend pictures: the pointer or the arrow keys show the nearest run, a click opens it, and dragging zooms.
const plot = document.querySelector(".plot");
const readout = document.querySelector("#trend-readout");
const NEAR = 5; // pixels of movement that turn a click into a drag
const FIRST = 0, LAST = 1, RUNS = 2, LEAST = 3, MIDDLE = 4, GREATEST = 5, AT = 6; // fields of a column, as in the JSON

if (plot) begin(await (await fetch(plot.dataset.columns)).json());

function begin(trend) {
  const columns = joined(trend.panels);
  const cursor = plot.appendChild(mark("cursor"));
  const zoom = plot.appendChild(mark("zoom"));
  const region = plot.parentElement;
  let shown = -1;
  let from = null;

  plot.addEventListener("pointermove", (event) => {
    if (from !== null && Math.abs(event.clientX - from) > NEAR) return stretch(event.clientX);
    show(nearest(runAt(event.clientX)));
  });
  plot.addEventListener("pointerdown", (event) => {
    if (event.button || event.pointerType === "touch") return;
    from = event.clientX;
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointerup", (event) => {
    const begun = from;
    from = null;
    zoom.hidden = true;
    if (begun !== null && Math.abs(event.clientX - begun) > NEAR) return range(runAt(begun), runAt(event.clientX));
    if (event.pointerType !== "touch" && event.button === 0 && shown >= 0) open();
  });
  plot.addEventListener("pointercancel", () => { from = null; zoom.hidden = true; });
  region.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && columns.length) {
      event.preventDefault();
      show(Math.min(Math.max(shown + step, 0), columns.length - 1));
    } else if (event.key === "Enter" && shown >= 0) open();
  });

  function show(column) {
    if (column < 0 || column === shown) return;
    shown = column;
    const { first, last, values } = columns[column];
    cursor.hidden = false;
    cursor.style.left = `${100 * place((first + last) / 2)}%`;
    readout.classList.remove("idle");
    readout.textContent = `${first === last ? `Run ${first}` : `Runs ${first}–${last}`}: ${values.join(", ")}`;
  }

  function open() {
    location.href = `${plot.dataset.run}${columns[shown].at}/`;
  }

  function stretch(x) {
    const box = plot.getBoundingClientRect();
    zoom.hidden = false;
    zoom.style.left = `${Math.min(x, from) - box.left}px`;
    zoom.style.width = `${Math.abs(x - from)}px`;
  }

  function range(one, other) {
    const address = new URL(location.href);
    const [first, last] = [one, other].map(Math.round).sort((a, b) => a - b);
    address.searchParams.set("first", Math.max(first, trend.first));
    address.searchParams.set("last", Math.min(last, trend.last));
    address.searchParams.delete("page");
    location.href = address;
  }

  function place(run) { // fraction of the picture's width
    const { left, right } = plot.dataset;
    const share = (run - trend.first + 0.5) / (trend.last - trend.first + 1);
    return Number(left) + (right - left) * share;
  }

  function runAt(x) {
    const box = plot.getBoundingClientRect();
    const { left, right } = plot.dataset;
    const share = ((x - box.left) / box.width - left) / (right - left);
    return trend.first - 0.5 + share * (trend.last - trend.first + 1);
  }

  function nearest(run) {
    let best = -1;
    let distance = Infinity;
    columns.forEach(({ first, last }, i) => {
      const far = Math.max(first - run, run - last, 0);
      if (far < distance) [best, distance] = [i, far];
    });
    return best;
  }
}

// The columns of all panels, by run: one line of text for each, and the run that a click opens.
function joined(panels) {
  const byRun = new Map();
  for (const { words, columns } of panels) {
    for (const column of columns) {
      const entry = byRun.get(column[FIRST]) ?? { first: column[FIRST], last: column[LAST], values: [], at: column[AT], most: -Infinity };
      entry.values.push(`${words} ${valueWords(column)}`);
      if (column[GREATEST] > entry.most) [entry.most, entry.at] = [column[GREATEST], column[AT]];
      entry.last = Math.max(entry.last, column[LAST]);
      byRun.set(column[FIRST], entry);
    }
  }
  return [...byRun.values()].sort((a, b) => a.first - b.first);
}

function valueWords(column) {
  if (column[RUNS] === 1) return plain(column[MIDDLE]);
  const greatest = column[GREATEST] > column[MIDDLE] ? `, at most ${plain(column[GREATEST])} in run ${column[AT]}` : "";
  return `${plain(column[MIDDLE])} (${column[RUNS]} runs${greatest})`;
}

function plain(value) {
  return String(Math.abs(value) < 10 ? Number(value.toFixed(3)) : Number(value.toFixed(1)));
}

function mark(name) {
  const element = document.createElement("div");
  element.className = name;
  element.hidden = true;
  return element;
}
