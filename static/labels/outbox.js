// The outbox of labels: stored in this browser until the server confirms them. They are resent until then, also after a
// reload; each has a key, so that a label that arrives twice counts once.
import { Away, Refused, post } from "../shared/api.js";
import { forget, keep, kept, names } from "../shared/storage.js";

const FIRST_PAUSE = 1_000; // ms before the first retry, doubled for each further one
const LONGEST_PAUSE = 30_000;

export class Outbox extends EventTarget {
  constructor(person, address) {
    super();
    this.beginning = `label/${person}/`;
    this.address = address;
    this.pause = FIRST_PAUSE;
    this.timer = 0;
    this.working = null;
    addEventListener("online", () => this.send());
  }

  // { name, url, body, trouble? }, oldest first. `trouble` is why the server refused it; a person must decide.
  get labels() {
    const all = names(this.beginning).map((name) => kept(name)).filter(Boolean);
    return all.sort((a, b) => a.at - b.at);
  }

  get waiting() {
    return this.labels.filter((label) => !label.trouble);
  }

  get troubled() {
    return this.labels.filter((label) => label.trouble);
  }

  add(label) {
    keep(this.beginning + label.body.key, { ...label, at: Date.now() });
    return this.send();
  }

  drop(label) {
    forget(this.beginning + label.body.key);
    this.tell("changed");
  }

  // Runs until nothing more can be done now: all are sent, or the server is unavailable.
  send() {
    clearTimeout(this.timer);
    this.working ??= this.sendAll().finally(() => {
      this.working = null;
      this.tell("changed");
    });
    return this.working;
  }

  async sendAll() {
    this.tell("changed");
    let next;
    while ((next = this.waiting[0])) {
      try {
        const saved = await post(this.address, next.body, { keepalive: true });
        forget(this.beginning + next.body.key);
        this.pause = FIRST_PAUSE;
        this.tell("saved", saved);
      } catch (error) {
        if (error instanceof Refused && error.status !== 401) {
          keep(this.beginning + next.body.key, { ...next, trouble: { status: error.status, ...error.problem } });
        } else if (error instanceof Refused || error instanceof Away) {
          this.later(error);
          return;
        } else throw error;
      }
    }
  }

  later(error) {
    this.tell("away", error);
    this.timer = setTimeout(() => this.send(), this.pause);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
  }

  tell(what, detail) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }
}
