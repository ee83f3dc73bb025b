// Saves the picture as PNG: the SVG that the server makes, drawn at twice its size.
const link = document.querySelector("#save-png");
const SCALE = 2;
let ready = false;
link.hidden = false;

link.addEventListener("click", async (event) => {
  if (ready) return;
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
    ready = true;
    link.click();
  }, "image/png");
});
