// Values stored in this browser, by name; without storage, they last as long as the page.
const PREFIX = "driftwatch/";
const instead = new Map();

export function keep(name, value) {
  const text = JSON.stringify(value);
  try {
    localStorage.setItem(PREFIX + name, text);
  } catch {
    instead.set(name, text); // no storage, or it is full
  }
}

export function kept(name) {
  return JSON.parse(read(name) ?? "null");
}

export function forget(name) {
  instead.delete(name);
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // there is none
  }
}

export function names(beginning) {
  let stored = [];
  try {
    stored = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length));
  } catch {
    // there is none
  }
  return [...new Set([...stored, ...instead.keys()])].filter((name) => name.startsWith(beginning));
}

function read(name) {
  if (instead.has(name)) return instead.get(name);
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}
