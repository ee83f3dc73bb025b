// Loads the page again while it says that something is under way, until it no longer says so.
const EVERY = 2000; // ms

if (document.querySelector("[data-look-again]")) setTimeout(() => location.reload(), EVERY);
