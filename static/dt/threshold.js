// Selects a threshold on its curve: by pointing, with the slider (arrow keys), or by typing a score or a rate.

for (const box of document.querySelectorAll(".choose-threshold")) start(box);

async function start(box) {
  const answer = await fetch(box.dataset.curve);
  if (!answer.ok) return;
  const { points } = await answer.json();
  const svg = box.querySelector("svg");
  const chosen = svg.querySelector(".chosen");
  const slider = box.querySelector("input[type=range]");
  const rate = box.querySelector("[name=rate]");
  const score = document.querySelector("#score");
  if (!chosen) return; // there is nothing to select; the page says why
  slider.max = points.length - 1;
  slider.closest("label").hidden = false;
  slider.value = atScore(points, Number(score.value));

  const show = (index, typed) => {
    const point = points[index];
    chosen.setAttribute("transform", `translate(${point.x} ${point.y})`);
    if (slider !== typed) slider.value = index;
    if (score !== typed) score.value = point.text;
    if (rate !== typed) rate.value = Number((100 * point.false_alarms).toPrecision(3));
    slider.setAttribute("aria-valuetext", `bad from ${point.text}: ${percent(point.false_alarms)} false alarms, ${percent(point.found)} found`);
    const texts = { text: score === typed ? typed.value : point.text, false_alarms: percent(point.false_alarms), found: percent(point.found) };
    for (const [name, text] of Object.entries(texts)) box.querySelector(`[data-shown=${name}]`).textContent = text;
    point.by_statistics.forEach((share, level) => { box.querySelector(`[data-level="${level}"]`).textContent = percent(share); });
  };

  slider.addEventListener("input", () => show(Number(slider.value), slider));
  score.addEventListener("input", () => { if (isShare(score.value)) show(atScore(points, Number(score.value)), score); });
  rate.addEventListener("input", () => {
    const share = Number(rate.value.replace(",", ".").replace("%", "")) / 100;
    const index = points.findLastIndex((point) => point.false_alarms <= share);
    if (share > 0 && index >= 0) show(index, rate);
  });
  const point = (event) => {
    if (event.type === "pointermove" && !(event.buttons & 1)) return;
    if (event.type === "pointerdown") svg.setPointerCapture(event.pointerId);
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    show(nearest(points, at), svg);
  };
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointermove", point);
  svg.classList.add("active");
}

// As on the server: the point that flags the same layers, or else the next one, so that the number of false alarms is
// never understated.
function atScore(points, score) {
  const index = points.findIndex((point) => point.down_to < score);
  return index < 0 ? points.length - 1 : index;
}

function nearest(points, at) {
  const far = (point) => (point.x - at.x) ** 2 + (point.y - at.y) ** 2;
  return points.reduce((best, point, i) => (far(point) < far(points[best]) ? i : best), 0);
}

function isShare(text) {
  return /^[0-9.]+$/.test(text) && Number(text) <= 1;
}

function percent(share) {
  if (share === null) return "–";
  if (!share) return "0 %";
  const digits = share >= 0.01 ? 1 : 1 - Math.floor(Math.log10(100 * share));
  return `${(100 * share).toFixed(digits)} %`;
}
