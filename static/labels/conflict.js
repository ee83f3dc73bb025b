// A label that the server refused because the item had changed: shows both versions and lets the person decide.
import { uuid } from "../shared/api.js";

const dialog = document.querySelector("#conflict-dialog");
const { part: word } = document.querySelector("#label-page").dataset;
const GOOD = "good";
const find = (selector) => dialog.querySelector(selector);

export function decide(label, outbox) {
  const { current } = label.trouble;
  const newest = current.events.at(-1);
  find("#conflict-name").textContent = label.name;
  const said = current.events.map((event) => [event.by, `${words(answer(event))}, ${time(event.at)}`]);
  const { seen } = label.body;
  if (current.model !== seen.model || Date.parse(current.seen.scored_at) !== Date.parse(seen.scored_at))
    said.push(["scored again", `by ${current.model || "no model yet"}`]);
  find("#conflict-said").replaceChildren(
    ...[["you", label.body.reason === undefined ? words(answer(label.body)) : "skipped"], ...said].flatMap(([who, what]) => [element("dt", who), element("dd", what)]),
  );
  const rows = Object.keys(label.scores)
    .map(Number)
    .sort((a, b) => b - a)
    .map((part) => {
      const row = document.createElement("tr");
      const yours = answer(label.body)[part] ?? GOOD;
      const theirs = newest ? (answer(newest)[part] ?? GOOD) : null;
      const score = current.scores?.[part - 1];
      row.append(
        element("td", part, "number"),
        called(yours),
        called(theirs),
        element("td", label.scores[part], "number"),
        element("td", typeof score === "number" ? score.toFixed(3) : "–", "number"),
      );
      row.classList.toggle("differs", theirs !== null && theirs !== yours);
      return row;
    });
  find("tbody").replaceChildren(...rows);
  find("#look-again").href = label.url;
  find("#keep-mine").onclick = () => {
    dialog.close();
    outbox.drop(label);
    const { trouble, at, ...again } = label;
    outbox.add({ ...again, body: { ...label.body, key: uuid(), seen: current.seen } });
  };
  find("#keep-theirs").onclick = () => {
    dialog.close();
    outbox.drop(label);
  };
  dialog.showModal();
}

function time(at) {
  return `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

// {part: class} of a label or an event, without the good parts.
function answer({ bad, classes }) {
  return classes && Object.keys(classes).length ? classes : Object.fromEntries((bad ?? []).map((part) => [part, "bad"]));
}

function words(said) {
  const parts = Object.keys(said);
  if (!parts.length) return "all good";
  const plain = parts.every((part) => said[part] === "bad");
  if (plain) return `${word}${parts.length > 1 ? "s" : ""} ${parts.join(", ")} bad`;
  return parts.map((part) => `${part === "0" ? "" : `${word} ${part} `}${said[part]}`).join(", ");
}

function called(name) {
  return element("td", name === null ? "–" : name === GOOD ? name : `▲ ${name}`, name === null || name === GOOD ? "" : "is-bad");
}

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className });
}
