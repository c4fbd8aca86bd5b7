// Curves over time as SVG, stretched to the track's width: x is 0 to 1000, y 0 to 100 from the top.
import {draw, make} from "./elements.js";
import {number} from "./formats.js";

const MOST_CURVES = 6;
const LEAST_CURVES = 3;
const AIR = 0.04;  // so that a line at 0 or 1 is seen in its whole width

const box = (...children) => draw("svg", {viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true", class: "curves"}, ...children);

function points(answer, label, [low, high]) {
  const values = answer.curves.get(label);
  return answer.times.map((time, n) =>
    `${(1000 * time / answer.duration).toFixed(1)},${(100 * (high - values[n]) / (high - low || 1)).toFixed(1)}`);
}

// A single point is no line: it is held along the track.
const held = list => list.length === 1 ? [`0,${list[0].split(",")[1]}`, `1000,${list[0].split(",")[1]}`] : list;

const line = (answer, label, look, range) => draw("polyline", {class: look, points: held(points(answer, label, range)).join(" ")});

// A lane's own score as a shape behind its segments.
export function area(answer, label) {
  const top = held(points(answer, label, [0, 1]));
  const [first, last] = [top[0], top.at(-1)].map(one => one.split(",")[0]);
  return box(draw("polygon", {points: [`${first},100`, ...top, `${last},100`].join(" ")}));
}

const scale = marks => make("span", {class: "scale", "aria-hidden": "true"}, ...marks.map(mark => make("span", {}, mark)));

function curved(answer) {
  const occur = answer.seconds.size;
  return answer.ranked.slice(0, Math.min(MOST_CURVES, Math.max(LEAST_CURVES, occur)));
}

// Lanes tell the colours of their labels; curves without a lane need a legend.
export function legend(answer, colours, lanes) {
  if (answer.isRegression || !answer.times.length) return "";
  const labels = curved(answer).filter(label => !lanes.includes(label));
  if (!labels.length) return "";
  return make("ul", {class: "legend", "aria-label": "Curves"}, ...labels.map(label =>
    make("li", {class: colours.classOf(label)}, make("i", {class: "swatch"}), label)));
}

// Rows of the timeline: [name, track, look]. Scores share one picture, numbers have one each.
export function curveRows(answer, colours) {
  if (!answer.times.length) return [];
  if (answer.isRegression) {
    return [...answer.curves].map(([name, values]) => {
      const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
      const air = (high - low || Math.abs(high) || 1) * 0.08, range = [low - air, high + air];
      const look = colours.classOf(name);
      const title = make("span", {class: look}, make("i", {class: "swatch"}), make("span", {}, name), scale([number(high), number(low)]));
      return [title, box(line(answer, name, look, range)), "curve-row value-row"];
    });
  }
  const shown = curved(answer);
  // The leading labels are drawn last, on top.
  const lines = [...shown].reverse().map(label => line(answer, label, colours.classOf(label), [-AIR, 1 + AIR]));
  const middle = draw("line", {class: "half", x1: 0, x2: 1000, y1: 50, y2: 50});
  return [
    [make("span", {}, make("span", {}, "Score"), scale(["100 %", "50", "0"])), box(middle, ...lines), "curve-row"],
  ];
}
