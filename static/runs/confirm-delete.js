// Asks for confirmation before deleting a run, in a dialog instead of the confirmation page.
const dialog = document.querySelector("#delete-dialog");

document.addEventListener("click", (event) => {
  const link = event.target.closest('[data-action="delete"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const { items } = link.dataset;
  dialog.querySelector("#delete-title").textContent = `Delete run ${link.dataset.run}?`;
  dialog.querySelector("#delete-words").textContent =
    (items ? `The histograms and scores of its ${items} are removed. ` : "") +
    "It can be loaded again as long as the DQM server has it.";
  dialog.querySelector("form").action = link.href;
  dialog.showModal();
});
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
