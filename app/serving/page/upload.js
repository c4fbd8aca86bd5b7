// One video on its way to the server and back: progress, cancelling, waiting where it is busy.
import {ApiError, predict, withKey} from "./api.js";
import {announce, find, show} from "./elements.js";
import {percent, size} from "./formats.js";

const MOST_WAIT_S = 30;

const wait = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, {once: true});
});

export class Upload {
  constructor(file, model) {
    Object.assign(this, {file, model, aborting: new AbortController()});
    this.what = find("busy-what");
    this.more = find("busy-more");
    this.progress = find("progress");
    this.atOnce = find("at-once");
  }

  cancel() { this.aborting.abort(new DOMException("cancelled", "AbortError")); }

  // The server's answer; throws ApiError, or AbortError if it was cancelled.
  async run() {
    const {signal} = this.aborting;
    try {
      for (let tries = 0; ; tries++) {
        try {
          return await withKey(() => this.once(signal));
        } catch (error) {
          const passing = error instanceof ApiError && (error.status === 429 || error.status === 503) && error.retryS !== null;
          if (!passing) throw error;
          // Each time longer, at most half a minute: a large file is sent anew every time.
          await this.countDown(Math.max(error.retryS, Math.min(MOST_WAIT_S, 2 ** tries)), signal);
        }
      }
    } finally {
      clearInterval(this.ticking);
    }
  }

  once(signal) {
    signal.throwIfAborted();
    const {file, model} = this;
    show(this.atOnce, false);
    this.say(`Uploading ${file.name}`, size(file.size));
    this.progress.value = 0;
    return predict(file, model.name, {
      signal,
      onProgress: share => {
        this.progress.value = share;
        this.more.textContent = `${percent(share)} of ${size(file.size)}`;
      },
      onSent: () => this.looking(),
    }).finally(() => clearInterval(this.ticking));
  }

  looking() {
    const from = performance.now();
    this.say("Looking at it", "");
    // Without a value the bar says only that something goes on: the server does not tell how far it is.
    this.progress.removeAttribute("value");
    const tell = () => { this.more.textContent = `${Math.round((performance.now() - from) / 1000)} s`; };
    tell();
    this.ticking = setInterval(tell, 1000);
  }

  async countDown(seconds, signal) {
    const until = performance.now() + 1000 * seconds;
    this.say("The server is busy", "");
    this.progress.removeAttribute("value");
    show(this.atOnce, true);
    const now = new Promise(resolve => { this.atOnce.onclick = resolve; });
    const left = () => Math.ceil((until - performance.now()) / 1000);
    const tick = async () => {
      for (; left() > 0 && !signal.aborted; await wait(Math.min(1000, until - performance.now()), signal)) {
        this.more.textContent = `Trying again by itself in ${left()} s.`;
      }
    };
    await Promise.race([tick(), now]);
    signal.throwIfAborted();
  }

  say(what, more) {
    this.what.textContent = what;
    this.more.textContent = more;
    announce(what);
  }
}
