// The video with the label over its picture. A browser that cannot play the file gets words and a
// clock that the timeline can still set.
import {make} from "./elements.js";
import {clock, number, percent, stem} from "./formats.js";

const kindOf = name => name.slice(stem(name).length + 1).toUpperCase() || "this kind of file";

export class Player {
  constructor(file, answer, colours) {
    Object.assign(this, {answer, colours, listeners: [], plays: true, still: 0});
    this.address = URL.createObjectURL(file);
    // preload: the first picture shall be there before anyone presses play.
    this.video = make("video", {controls: true, playsinline: true, preload: "auto", "aria-label": `The ${answer.model.takes} ${file.name}`});
    this.now = make("div", {class: "now", "aria-hidden": "true"});
    this.element = make("div", {class: "player"}, this.video, this.now);
    const cannot = () => this.giveUp(kindOf(file.name));
    this.video.addEventListener("error", cannot, {once: true});
    // An unknown picture codec beside a known sound plays as a black box.
    this.video.addEventListener("loadedmetadata", () => { if (!this.video.videoWidth) cannot(); });
    for (const name of ["seeking", "seeked", "timeupdate", "loadeddata"]) this.video.addEventListener(name, () => this.tell());
    this.video.addEventListener("play", () => this.follow());
    this.video.src = this.address;
    this.tell();
  }

  get time() { return this.plays ? this.video.currentTime : this.still; }

  onTime(listener) { this.listeners.push(listener); }

  seek(time) {
    const bounded = Math.min(Math.max(0, time), this.answer.duration);
    this.still = bounded;
    if (this.plays) this.video.currentTime = bounded;
    this.tell(bounded);
  }

  toggle() {
    if (!this.plays) return;
    // A play that is interrupted by a pause is no failure.
    if (this.video.paused) this.video.play().catch(() => {}); else this.video.pause();
  }

  // timeupdate comes four times a second; a playhead must move with every picture.
  follow() {
    this.tell();
    if (!this.video.paused && !this.video.ended && this.plays) requestAnimationFrame(() => this.follow());
  }

  tell(time = this.time) {
    this.label(time);
    for (const listener of this.listeners) listener(time);
  }

  label(time) {
    const scores = this.answer.scoresAt(time), of = new Map(scores);
    let words;
    if (this.answer.isRegression) {
      words = scores.map(([name, value]) => [this.colours.classOf(name), name, number(value)]);
    } else {
      const active = [...new Map(this.answer.activeAt(time).map(one => [one.label, one])).values()];
      words = active.map(({label, score}) => [this.colours.classOf(label), label, percent(of.get(label) ?? score)]);
      if (!words.length) words = [["nothing", "nothing certain", scores.length ? `${scores[0][0]} ${percent(scores[0][1])}` : ""]];
    }
    // Sixty times a second nothing changes.
    const key = JSON.stringify(words);
    if (key === this.shown) return;
    this.shown = key;
    this.now.replaceChildren(...words.map(([look, label, value]) =>
      make("span", {class: "chip " + look}, make("i"), make("b", {}, label), value && make("span", {class: "value"}, value))));
  }

  giveUp(kind) {
    if (!this.plays) return;
    this.plays = false;
    const at = make("p", {class: "still"});
    this.onTime(time => { at.textContent = clock(time); });
    this.video.replaceWith(make("div", {class: "unplayable"},
      make("p", {}, make("b", {}, `Your browser cannot play ${kind}.`)),
      make("p", {class: "quiet"}, "The server can read it: click on the timeline to see what happens when."), at));
    this.tell();
  }

  end() {
    this.plays = false;
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.address);
  }
}
