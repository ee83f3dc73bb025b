// API requests: return the response, or throw an error that says what kind it is.
const PATIENCE = 10_000; // ms

export class Away extends Error {} // no response, or no meaningful one: worth retrying

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export async function post(address, body, more = {}) {
  const headers = { "Content-Type": "application/json" };
  const response = await reach(address, { method: "POST", headers, body: JSON.stringify(body), ...more });
  return response.status === 204 ? null : response.json().catch(away);
}

export async function getText(address) {
  return (await reach(address, {})).text().catch(away);
}

async function reach(address, options) {
  const response = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options }).catch(away);
  if (response.status >= 500 || response.status === 429) throw new Away(`the server answered ${response.status}`);
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  return response;
}

function away(error) {
  throw new Away(error.message);
}

// A random key for a label; `crypto.randomUUID` exists on secure pages only.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
