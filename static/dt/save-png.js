// Saves the picture as PNG: the server's SVG, drawn at twice its size. The links only exist with scripts.
const SCALE = 2;

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("#save-png, .save-png");
  if (!link || link.dataset.ready) return;
  event.preventDefault();
  const picture = new Image();
  picture.src = link.href;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * picture.naturalWidth;
  canvas.height = SCALE * picture.naturalHeight;
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => {
    link.href = URL.createObjectURL(blob);
    link.dataset.ready = "yes";
    link.click();
  }, "image/png");
});
