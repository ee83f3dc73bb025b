// The menus of the header. On a phone the pages are a scrolling line, which starts at the current page.
// Closes a menu on a click elsewhere, on Escape, or when tabbing out of it.
document.querySelector(".top nav > [aria-current], .top nav > :has(> summary[aria-current])")?.scrollIntoView({ block: "nearest", inline: "center" });

const menus = [...document.querySelectorAll("details.menu")];
const others = (target) => menus.filter((menu) => menu.open && !menu.contains(target));

document.addEventListener("pointerdown", (event) => others(event.target).forEach((menu) => (menu.open = false)));
document.addEventListener("focusin", (event) => others(event.target).forEach((menu) => (menu.open = false)));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of menus.filter((menu) => menu.open)) {
    menu.open = false;
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  }
});
