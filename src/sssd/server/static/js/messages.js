// What the page says: notices, failures, and whether the server is back or needs a key.

import * as api from "./api.js";

const RETRY_S = 3;
const $ = (id) => document.getElementById(id);

let waiting = null; // the timer of the next attempt

export function notice(text, { quiet = false } = {}) {
  $("notice").textContent = text;
  $("notice").classList.toggle("hidden", quiet || !text);
}

export function clearFailure() {
  clearInterval(waiting);
  $("error").hidden = true;
}

// then: what to do when the server is back, or when a key has been given
export function failed(error, { then = () => {} } = {}) {
  clearFailure();
  if (error.status === 401 || error.status === 403) {
    $("key").querySelector("span").textContent = api.hasKey() ? "That key is not accepted. Enter another API key:" : "This server needs an API key:";
    $("key").hidden = false;
    $("key").querySelector("input").focus();
    $("key").onsubmit = (event) => {
      event.preventDefault();
      api.setKey($("key").querySelector("input").value);
      $("key").hidden = true;
      then({ record: false });
    };
    return;
  }
  const [text, button] = [$("error").querySelector("p"), $("error").querySelector("button")];
  $("error").hidden = false;
  button.hidden = !error.unreachable;
  if (!(error instanceof api.ApiError)) console.error(error);
  text.textContent = error.message;
  if (!error.unreachable) return;
  const attempt = async () => {
    clearInterval(waiting);
    text.textContent = "The server does not answer. The page is trying again …";
    try {
      await api.health();
    } catch (problem) {
      if (problem.unreachable) return wait();
    }
    clearFailure();
    await then({ record: false });
    notice("The server is back.");
  };
  const wait = () => {
    let left = RETRY_S;
    const tell = () => (text.textContent = `The server does not answer. The drawing stays, and the page tries again in ${left} s.`);
    tell();
    waiting = setInterval(() => (--left > 0 ? tell() : attempt()), 1000);
  };
  button.onclick = attempt;
  wait();
}

export async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} is copied.`);
  } catch {
    notice(`${what}: ${text}`);
  }
}
