// A label that the server did not take, since the chamber had changed: shows both, and lets the person decide.
import { uuid } from "../shared/api.js";

const dialog = document.querySelector("#conflict-dialog");
const find = (selector) => dialog.querySelector(selector);

export function decide(label, outbox) {
  const { current } = label.trouble;
  const newest = current.events.at(-1);
  find("#conflict-name").textContent = label.name;
  const said = current.events.map((event) => [event.by, `${layers(event.bad)}, ${time(event.at)}`]);
  const { seen } = label.body;
  if (current.model !== seen.model || Date.parse(current.seen.scored_at) !== Date.parse(seen.scored_at))
    said.push(["scored again", `by ${current.model || "no model yet"}`]);
  find("#conflict-said").replaceChildren(
    ...[["you", label.body.reason === undefined ? layers(label.body.bad) : "skipped"], ...said].flatMap(([who, what]) => [element("dt", who), element("dd", what)]),
  );
  const rows = Object.keys(label.scores)
    .map(Number)
    .sort((a, b) => b - a)
    .map((layer) => {
      const row = document.createElement("tr");
      const yours = label.body.bad.includes(layer);
      const theirs = newest ? newest.bad.includes(layer) : null;
      const score = current.scores?.[layer - 1];
      row.append(
        element("td", layer, "number"),
        element("td", yours ? "▲ bad" : "good", yours ? "is-bad" : ""),
        element("td", theirs === null ? "–" : theirs ? "▲ bad" : "good", theirs ? "is-bad" : ""),
        element("td", label.scores[layer], "number"),
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

function layers(bad) {
  return bad.length ? `layer${bad.length > 1 ? "s" : ""} ${bad.join(", ")} bad` : "all good";
}

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className });
}
