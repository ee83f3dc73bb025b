// A button that prints the page, where there are scripts; the sheet is laid out by the style sheet.
for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
