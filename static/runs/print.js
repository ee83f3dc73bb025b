// A button that prints the page, shown only with scripts; the layout is up to the style sheet.
for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
