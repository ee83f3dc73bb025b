// A button that copies the text of the element named in its data-copy, and says whether that worked.

for (const button of document.querySelectorAll("button[data-copy]")) {
  const text = document.getElementById(button.dataset.copy);
  const words = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.value ?? text.textContent);
      button.textContent = "Copied";
    } catch { // not allowed, or no https: select the text, so that one key copies it
      select(text);
      button.textContent = "Marked: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = words; }, 3000);
  });
}

function select(element) {
  if (element.select) return element.select();
  getSelection().selectAllChildren(element);
}
