// The live tab: the webcam's pictures to the server, its answers over the picture.
import {getModels} from "./api.js";
import {Bars} from "./bars.js";
import {Grabber, listCameras, openCamera, whyNone} from "./camera.js";
import {COLOURS, Colours} from "./colours.js";
import {announce, button, make, show} from "./elements.js";
import {number, percent} from "./formats.js";
import {Stream} from "./stream.js";
import {Strip} from "./strip.js";

const TOLD_EVERY_MS = 3000;  // to screen readers, at most
const MEDIAN_OF = 20;

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1];

export class LiveTab {
  constructor(target, {currentModel}) {
    Object.assign(this, {currentModel, session: 0, camera: null, stream: null});
    this.video = make("video", {muted: true, playsinline: true, "aria-label": "The camera's picture"});
    this.video.muted = true;
    this.now = make("div", {class: "now", "aria-hidden": "true"});
    this.startButton = button("Start the camera", () => this.start(), {class: "main"});
    this.stopButton = button("Stop", () => { this.stop(); this.startButton.focus(); }, {hidden: true});
    this.idle = make("div", {class: "idle"}, make("span", {}, "The camera is off."), this.startButton);
    this.cameras = make("select", {onchange: () => { if (this.running) this.start(); }});
    this.choose = make("label", {class: "choose", hidden: true}, "Camera ", this.cameras);
    this.problem = make("p", {class: "problem", role: "alert", hidden: true});
    this.side = make("div", {class: "side"});
    this.last = make("section", {"aria-labelledby": "minute-title", hidden: true});
    this.figures = make("dl", {class: "figures"});
    target.append(this.problem,
      make("section", {"aria-label": "The camera"},
        make("div", {class: "head"}, make("p", {class: "quiet", id: "live-what"}), make("div", {class: "row"}, this.choose, this.stopButton)),
        make("div", {class: "beside"}, make("div", {class: "player"}, this.video, this.idle, this.now), this.side)),
      this.last);
    this.modelChanged();
    const reason = whyNone();
    this.startButton.disabled = Boolean(reason);
    if (reason) this.say(reason);
  }

  get running() { return this.camera !== null; }

  modelChanged() {
    const model = this.currentModel(), wasRunning = this.running;
    this.stop();
    document.getElementById("live-what").textContent =
      `Pictures go to this server ${number(model.rate_fps, 2)} times a second and are not kept. The model looks back ${number(model.context_s, 2)} s.`;
    this.prepare(model);
    if (wasRunning) this.start();
  }

  prepare(model) {
    const isRegression = model.task === "regression", colours = new Colours(model.labels.slice(0, COLOURS));
    Object.assign(this, {isRegression, colours, latencies: [], told: 0, answers: []});
    this.bars = new Bars(model.labels, colours, {isRegression});
    this.strip = new Strip(colours);
    this.figures.replaceChildren();
    this.side.replaceChildren(make("h2", {}, isRegression ? "Numbers" : "Scores"), this.bars.element, this.figures);
    this.last.replaceChildren(make("h2", {id: "minute-title"}, model.task === "multi" ? "The last minute, the likeliest label" : "The last minute"), this.strip.element);
  }

  turn(on) {
    show(this.stopButton, on);
    show(this.idle, !on);
  }

  say(words) {
    this.problem.textContent = words;
    show(this.problem, Boolean(words));
  }

  async start() {
    this.stop();
    const model = this.currentModel(), session = ++this.session;
    this.say("");
    if (model.can_stream === false) return this.say(`${model.name} cannot follow a stream. Choose another model.`);
    this.startButton.disabled = true;
    try {
      const camera = await openCamera(this.cameras.value);
      // Stopped, or started anew, while the browser asked.
      if (session !== this.session) return camera.getTracks().forEach(track => track.stop());
      this.camera = camera;
      this.video.srcObject = camera;
      camera.getVideoTracks()[0].onended = () => { this.stop(); this.say("The camera is gone. Plug it in, then start again."); };
      await this.video.play();
      await this.offerCameras();
    } catch (error) {
      if (session === this.session) { this.stop(); this.say(error.message); }
      return;
    } finally {
      this.startButton.disabled = false;
    }
    this.prepare(model);
    this.connect(model, session);
    this.turn(true);
    this.stopButton.focus();
    show(this.last, true);
    announce("The camera is on");
  }

  async offerCameras() {
    const cameras = await listCameras(), used = this.camera.getVideoTracks()[0].getSettings().deviceId;
    this.cameras.replaceChildren(...cameras.map((one, n) =>
      make("option", {value: one.deviceId, selected: one.deviceId === used}, one.label || `Camera ${n + 1}`)));
    show(this.choose, cameras.length > 1);
  }

  connect(model, session) {
    const mine = () => session === this.session;
    this.stream = new Stream(model, {
      onReady: ready => { if (mine()) this.sendPictures(ready, session); },
      onScores: message => { if (mine()) this.take(message); },
      onEnd: async (words, {ready}) => {
        if (!mine() || words === null) return;
        this.stop();
        this.say(words);
        if (ready) return;
        // A refused WebSocket tells no reason; the same server, asked otherwise, does, and asks for its key.
        try { await getModels(); } catch (error) { this.say(error.message); }
      },
    });
  }

  async sendPictures({rate_fps: rate, size}, session) {
    const grabber = new Grabber(this.video, size), from = performance.now();
    this.from = from;
    for (let n = 0; session === this.session; n++) {
      const jpeg = await grabber.grab();
      if (session !== this.session) return;
      if (jpeg) this.stream.send(jpeg, (performance.now() - from) / 1000);
      // Late pictures are not caught up with: the next comes when it is due from now on.
      n = Math.max(n, Math.floor((performance.now() - from) * rate / 1000));
      await new Promise(resolve => setTimeout(resolve, Math.max(0, from + 1000 * (n + 1) / rate - performance.now())));
    }
  }

  take(message) {
    const now = performance.now(), {time_s: time} = message, given = this.numbersOf(message);
    this.latencies = [...this.latencies, now - this.from - 1000 * time].slice(-MEDIAN_OF);
    this.answers = [...this.answers.filter(one => now - one < 3000), now];
    this.bars.update(given);
    let chips;
    if (this.isRegression) {
      const [name, value] = Object.entries(given)[0];
      chips = Object.entries(given).map(([one, v]) => [one, number(v)]);
      this.strip.addNumber(time, name, value);
    } else {
      const labels = message.labels ?? [message.label];
      chips = labels.map(label => [label, percent(given[label])]);
      this.strip.addLabel(time, labels[0] ?? null);
    }
    this.now.replaceChildren(...chips.map(([name, value]) =>
      make("span", {class: "chip " + this.colours.classOf(name)}, make("i"), make("b", {}, name), make("span", {class: "value"}, value))));
    this.tell(message, chips);
  }

  // A regression of one number tells it without its name.
  numbersOf({scores, value}) {
    return scores ?? (typeof value === "number" ? {[this.currentModel().labels[0]]: value} : value);
  }

  tell(message, chips) {
    const now = performance.now(), seconds = Math.min(3, (now - this.from) / 1000);
    const figures = [
      ["Latency", `${Math.round(median(this.latencies))} ms`],
      ["Answers", `${number(this.answers.length / Math.max(1, seconds), 2)} a second`],
      ["Dropped", String((message.dropped ?? 0) + this.stream.unsent)],
    ];
    this.figures.replaceChildren(...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    const words = chips.map(([name]) => name).join(", ");
    if (this.isRegression || words === this.said || now - this.told < TOLD_EVERY_MS) return;
    this.told = now;
    this.said = words;
    announce(words || "nothing");
  }

  stop() {
    this.session += 1;
    this.stream?.close();
    for (const track of this.camera?.getTracks() ?? []) { track.onended = null; track.stop(); }
    Object.assign(this, {stream: null, camera: null, said: null});
    this.video.srcObject = null;
    this.now.replaceChildren();
    this.turn(false);
  }
}
