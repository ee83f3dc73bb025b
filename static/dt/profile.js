// Selects the layer in the profile below the map: the one under the pointer, focused with the keyboard, or ticked last.
document.addEventListener("pointerover", (event) => event.pointerType === "mouse" && selectRow(event.target));
document.addEventListener("focusin", (event) => selectRow(event.target));
document.addEventListener("change", (event) => selectRow(event.target));
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-step]");
  if (!button) return;
  const layers = [...document.querySelectorAll(".profile g")].map((line) => Number(line.dataset.layer)).sort((a, b) => a - b);
  const at = layers.indexOf(Number(document.querySelector("#profile-layer").textContent));
  select(layers[(at + Number(button.dataset.step) + layers.length) % layers.length]);
});

function selectRow(target) {
  const row = target.closest?.("#item tr[data-row]");
  if (row) select(Number(row.dataset.row));
}

function select(layer) {
  const chosen = document.querySelector(`.profile g[data-layer="${layer}"]`);
  if (!chosen || chosen.classList.contains("on")) return;
  for (const line of document.querySelectorAll(".profile g")) {
    line.classList.toggle("on", line === chosen);
    line.classList.toggle("beside", line !== chosen && line.dataset.superlayer === chosen.dataset.superlayer);
  }
  document.querySelector("#profile-layer").textContent = layer;
  const words = `hits against cells: layer ${layer}, its siblings, and what is expected`;
  document.querySelector(".profile").setAttribute("aria-label", words);
}
