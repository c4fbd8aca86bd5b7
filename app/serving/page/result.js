// What came back: the video, what happens in it, the timeline, the table, the downloads.
import {button, make} from "./elements.js";
import {COLOURS, Colours} from "./colours.js";
import {downloads} from "./downloads.js";
import {counted, lasting, percent} from "./formats.js";
import {Player} from "./player.js";
import {SegmentTable, valueTable} from "./table.js";
import {Timeline} from "./timeline.js";

const MOST_IN_SUMMARY = 8;

// One sentence that says it all, also for the status that screen readers are told.
export function inWords(answer) {
  const {segments, isRegression} = answer;
  if (isRegression) return `${counted(answer.curves.size, "number")} along ${lasting(answer.duration)}`;
  if (!segments.length) return `Nothing certain in ${lasting(answer.duration)}`;
  return `${counted(segments.length, "segment")} of ${counted(answer.seconds.size, "label")} in ${lasting(answer.duration)}`;
}

// Seconds in which any label holds; several may at once.
function covered(segments) {
  let sum = 0, until = 0;
  for (const {start_s, end_s} of segments) {
    sum += Math.max(0, end_s - Math.max(start_s, until));
    until = Math.max(until, end_s);
  }
  return sum;
}

function summary(answer, colours) {
  if (answer.isRegression) return make("div", {class: "summary"}, make("h2", {}, `Along the ${answer.model.takes}`), valueTable(answer, colours));
  const seconds = [...answer.seconds], nothing = answer.duration - covered(answer.segments);
  const rest = seconds.length - MOST_IN_SUMMARY;
  if (!seconds.length) {
    const [best, score] = answer.ranked.map(label => [label, Math.max(...answer.curves.get(label) ?? [0])])[0] ?? [];
    return make("div", {class: "summary"}, make("h2", {}, "Nothing certain"),
      make("p", {}, "Nowhere is a label sure enough to be told."),
      best && make("p", {class: "quiet"}, `Nearest comes ${best}, with ${percent(score)} at its highest. The curves show all of it.`));
  }
  return make("div", {class: "summary"}, make("h2", {}, "What happens"),
    make("ul", {class: "shares"}, ...seconds.slice(0, MOST_IN_SUMMARY).map(([label, lasts]) =>
      make("li", {class: colours.classOf(label)}, make("b", {}, label), make("span", {class: "quiet"}, lasting(lasts)),
        make("span", {class: "meter"}, make("i", {style: {width: `${Math.min(100, 100 * lasts / answer.duration)}%`}}))))),
    rest > 0 && make("p", {class: "quiet"}, `and ${counted(rest, "more label")} below`),
    nothing > 0.01 * answer.duration && make("p", {class: "quiet"}, `Nothing certain in the other ${lasting(nothing)}.`));
}

export class Result {
  constructor(target, file, answer, {onAnother, onAgain}) {
    this.answer = answer;
    // A few labels keep their colours from video to video.
    const known = answer.model.labels;
    const colours = new Colours(known.length <= COLOURS ? known : answer.ranked);
    this.player = new Player(file, answer, colours);
    const onSeek = time => this.player.seek(time), onToggle = () => this.player.toggle();
    this.timeline = new Timeline(answer, colours, {onSeek, onToggle});
    this.title = make("h2", {tabindex: -1, class: "file"}, answer.video);
    this.again = button("Look again with this model", onAgain, {hidden: true});
    target.replaceChildren(
      make("section", {class: "stage", "aria-label": `The ${answer.model.takes}`},
        make("div", {class: "head"}, make("div", {class: "what"}, this.title, make("p", {class: "quiet"}, inWords(answer))),
          make("div", {class: "row"}, this.again, button(`Another ${answer.model.takes}`, onAnother))),
        make("div", {class: "beside"}, this.player.element, summary(answer, colours))),
      this.timeline.element);
    this.player.onTime(time => this.timeline.mark(time));
    const below = make("section", {"aria-labelledby": "segments-title"},
      make("div", {class: "head"}, make("h2", {id: "segments-title"}, answer.isRegression ? "Take it along" : "Segments"), downloads(answer)));
    if (answer.segments.length) {
      const table = new SegmentTable(answer, colours, {onSeek});
      this.player.onTime(time => table.mark(time));
      below.append(table.element);
    } else if (!answer.isRegression) {
      below.append(make("p", {class: "quiet"}, "None."));
    }
    target.append(below);
    // Elsewhere on the page, too, the space bar plays: where it would press or scroll nothing else.
    this.onSpace = event => {
      const free = event.target === document.body || event.target === this.title;
      if (event.key !== " " || !free || !this.title.offsetParent) return;
      event.preventDefault();
      onToggle();
    };
    document.addEventListener("keydown", this.onSpace);
  }

  // The model was changed: offer to use it.
  offer(model) { this.again.hidden = model.name === this.answer.model.name; }

  end() {
    document.removeEventListener("keydown", this.onSpace);
    this.player.end();
  }
}
