// Taking the answer away: as it came, as subtitles, as a table.
import {button, make} from "./elements.js";
import {curvesCsv, segmentsCsv, stem, toSrt} from "./formats.js";

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], {type}));
  const link = make("a", {href: address, download: name});
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads the blob after the click has returned.
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

export function downloads(answer) {
  const name = stem(answer.video), {segments, isRegression} = answer;
  const kinds = [
    ["JSON", "application/json", () => JSON.stringify(answer.json, null, 2) + "\n", "everything, as the server answered"],
    !isRegression && ["SRT", "application/x-subrip", () => toSrt(segments), "subtitles for a player"],
    ["CSV", "text/csv", () => isRegression ? curvesCsv(answer) : segmentsCsv(segments), "a table for a spreadsheet"],
  ].filter(Boolean);
  return make("div", {class: "row downloads", role: "group", "aria-label": "Download"},
    make("span", {class: "quiet", "aria-hidden": "true"}, "Download"),
    ...kinds.map(([kind, type, text, what]) => button(kind, () => save(`${name}.${kind.toLowerCase()}`, type, text()), {title: what})));
}
