// For pages where a part has more classes than good and bad: a digit selects the part, a letter its class.
const rows = () => [...document.querySelectorAll("#item tr[data-part]")];

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-part]");
  if (row && event.target.closest("button")) {
    for (const other of rows()) other.toggleAttribute("data-chosen", other === row);
    return;
  }
  const button = event.target.closest("[data-class]");
  if (!button) return;
  const name = button.dataset.class;
  const chosen = rows().find((one) => "chosen" in one.dataset) ?? rows()[0];
  const radio = [...(chosen?.querySelectorAll("input[type=radio]") ?? [])].find((one) => one.value === name);
  if (radio && !radio.checked) radio.click();
});
