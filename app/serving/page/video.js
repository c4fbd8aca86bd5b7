// The video tab: empty, busy, a result, and what went wrong said where it happened.
import {Answer} from "./answer.js";
import {button, find, make, show, announce} from "./elements.js";
import {counted, lasting, size} from "./formats.js";
import {inWords, Result} from "./result.js";
import {Upload} from "./upload.js";

const MOST_LABELS = 24;
// What the file dialog offers beside videos, which have sound as well.
const ALSO = {sound: "audio/*,.wav,.flac,.mp3,.m4a,.ogg,.opus,", image: "image/*,"};

export class VideoTab {
  constructor({server, currentModel}) {
    Object.assign(this, {server, currentModel, upload: null, result: null, file: null});
    const {limits} = server, input = find("file");
    this.videos = input.accept;
    find("limits").textContent = `up to ${size(limits.upload_bytes)} and ${lasting(limits.duration_s)}`;
    find("drop").addEventListener("click", () => input.click());
    input.addEventListener("change", () => { if (input.files.length) this.take(input.files); input.value = ""; });
    find("cancel").addEventListener("click", () => this.upload?.cancel());
    this.receiveDrops();
    document.addEventListener("paste", event => { if (event.clipboardData.files.length) this.take(event.clipboardData.files); });
    this.modelChanged();
  }

  // A file may be dropped anywhere: beside the zone the browser would leave the page and open it.
  receiveDrops() {
    const over = find("over");
    const isFile = event => event.dataTransfer?.types.includes("Files");
    let leaving;
    addEventListener("dragover", event => {
      if (!isFile(event)) return;
      event.preventDefault();
      clearTimeout(leaving);
      show(over, true);
    });
    // Each element that is left says so; the window is left when no other follows.
    addEventListener("dragleave", () => { leaving = setTimeout(() => show(over, false), 80); });
    addEventListener("drop", event => {
      show(over, false);
      if (!isFile(event)) return;
      event.preventDefault();
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files);
    });
  }

  modelChanged() {
    const model = this.currentModel(), {labels, task, takes} = model;
    for (const place of document.querySelectorAll(".taken")) place.textContent = `${takes === "image" ? "an" : "a"} ${takes}`;
    find("file").accept = (ALSO[takes] ?? "") + this.videos;
    const what = task === "regression" ? counted(labels.length, "number") : counted(labels.length, "label");
    const rest = labels.length - MOST_LABELS;
    const list = make("ul", {class: "labels"}, ...labels.map((label, n) => make("li", {hidden: n >= MOST_LABELS}, label)));
    const more = rest > 0 && button(`and ${rest} more`, () => {
      for (const one of list.children) one.hidden = false;
      more.remove();
    }, {class: "plain"});
    find("knows").replaceChildren(
      make("p", {}, `It goes through every moment, as long as the ${takes} is, and says what is there. `, make("b", {}, model.name), ` knows ${what}:`), list, more || "");
    this.result?.offer(model);
  }

  turn(state) {
    for (const name of ["empty", "busy", "result"]) show(find(name), name === state);
    document.body.dataset.state = state;
  }

  trouble(message, again) {
    const place = find("trouble");
    place.replaceChildren(...message ? [make("p", {}, message), make("div", {class: "row"}, ...again)] : []);
    show(place, Boolean(message));
  }

  take(files) {
    const [file] = files, {upload_bytes: most} = this.server.limits;
    this.select();
    this.upload?.cancel();
    if (files.length > 1) announce(`One ${this.currentModel().takes} at a time: this is ${file.name}`);
    if (file.size > most) return this.refuse(`${file.name} has ${size(file.size)}; this server takes up to ${size(most)}. Cut it, or start the server with a higher --max_upload_mb.`);
    if (!file.size) return this.refuse(`${file.name} is empty. Choose another ${this.currentModel().takes}.`);
    this.look(file);
  }

  refuse(message, file = null) {
    this.turn(this.result ? "result" : "empty");
    const again = [file && button("Try again", () => this.look(file)), button("Choose another", () => find("drop").click())].filter(Boolean);
    this.trouble(message, again);
    // What had the focus is gone with the progress.
    again[0].focus();
  }

  async look(file) {
    const model = this.currentModel(), upload = new Upload(file, model);
    this.upload = upload;
    this.trouble("");
    this.turn("busy");
    find("cancel").focus();
    try {
      const json = await upload.run();
      if (this.upload === upload) this.present(file, new Answer(json, model));
    } catch (error) {
      // Another video was taken meanwhile: this one's end is no news.
      if (this.upload !== upload) return;
      if (error.name !== "AbortError") return this.refuse(error.message, file);
      this.turn(this.result ? "result" : "empty");
      announce("Cancelled");
      if (!this.result) find("drop").focus();
    } finally {
      if (this.upload === upload) this.upload = null;
    }
  }

  present(file, answer) {
    this.result?.end();
    this.turn("result");
    this.result = new Result(find("result"), file, answer, {
      onAnother: () => find("drop").click(),
      onAgain: () => this.look(file),
    });
    this.result.offer(this.currentModel());
    announce(`Done: ${inWords(answer)}`);
    this.result.title.focus({preventScroll: true});
    scrollTo({top: 0});
  }

  pause() { this.result?.player.video.pause(); }
}
