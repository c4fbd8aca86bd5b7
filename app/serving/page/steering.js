// From segment to segment by arrow keys: left and right in time, up and down to other lanes.

const middle = ({segment}) => (segment.start_s + segment.end_s) / 2;

// `buttons` in the order of time; null where the key means nothing or there is nowhere to go.
export function moveBetween(buttons, from, key) {
  const at = buttons.indexOf(from);
  if (at < 0) return null;
  if (key === "ArrowRight") return buttons[at + 1] ?? null;
  if (key === "ArrowLeft") return buttons[at - 1] ?? null;
  if (key === "Home") return buttons[0];
  if (key === "End") return buttons.at(-1);
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  const lanes = [...new Set(buttons.map(one => one.parentElement))]
    .sort((a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);
  const lane = lanes[lanes.indexOf(from.parentElement) + (key === "ArrowDown" ? 1 : -1)];
  const far = one => Math.abs(middle(one) - middle(from));
  return buttons.filter(one => one.parentElement === lane)
    .reduce((best, one) => best && far(best) <= far(one) ? best : one, null);
}
