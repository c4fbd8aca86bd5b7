// What makes a page hard to see or to use, measured in the page itself; see page_browser.py.
() => {

// Every piece of text that is seen with too little contrast to what lies behind it (WCAG 2.2, 1.4.3).
const contrast = () => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((v, n) => v * a + below[n] * (1 - a));
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility({visibilityProperty: true}) || element.closest(".unseen, option")) continue;
    const style = getComputedStyle(element), below = behind(element);
    const [high, low] = [light(over(rgba(style.color), below)), light(below)].sort((a, b) => b - a);
    const px = Number.parseFloat(style.fontSize);
    const large = px >= 24 || (px >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)} ${style.color}`);
  }
  return found;
};

// What axe-core's rules of the same purpose look for, as far as this page can break them.
const structure = () => {
  const found = [], seen = new Set(), every = selector => [...document.querySelectorAll(selector)];
  const nameOf = element => element.getAttribute("aria-label")
    ?? (element.getAttribute("aria-labelledby") ?? "").split(" ").map(id => document.getElementById(id)?.textContent ?? "").join(" ").trim()
    ?? "";
  for (const {id} of every("[id]")) { if (seen.has(id)) found.push(`id ${id} twice`); seen.add(id); }
  for (const name of ["aria-controls", "aria-labelledby", "aria-describedby", "for"]) {
    for (const one of every(`[${name}]`)) for (const id of one.getAttribute(name).split(" ")) {
      if (!document.getElementById(id)) found.push(`${name} of ${one.outerHTML.slice(0, 60)} points nowhere`);
    }
  }
  for (const one of every("button, a[href], input, select, [role=img], [role=group], video, progress, dialog")) {
    const words = nameOf(one) || one.labels?.[0]?.textContent.trim() || (one.matches("button, a") && one.textContent.trim());
    if (!words && one.checkVisibility() && one.getAttribute("aria-hidden") !== "true") found.push(`no name: ${one.outerHTML.slice(0, 80)}`);
  }
  for (const one of every("[aria-hidden=true]")) {
    const inside = [one, ...one.querySelectorAll("button, a[href], input, select, [tabindex]")];
    if (inside.some(each => each.matches("button, a[href], input, select, [tabindex]") && each.tabIndex >= 0)) found.push(`can be focused but not heard: ${one.outerHTML.slice(0, 80)}`);
  }
  for (const one of every("[tabindex]")) if (one.tabIndex > 0) found.push("a tabindex above 0");
  if (every("h1").length !== 1) found.push("not one h1");
  if (!document.documentElement.lang) found.push("no language");
  for (const one of every("ul > :not(li), ol > :not(li), tr > :not(th, td)")) found.push(`${one.localName} in a ${one.parentElement.localName}`);
  for (const one of every("button, select, a[href]")) {
    const {width, height} = one.getBoundingClientRect();
    if (width && height && Math.min(width, height) < 24 && !one.matches("a, .segment, .jump")) found.push(`too small to touch: ${one.outerHTML.slice(0, 60)}`);
  }
  return found;
};

return [...contrast(), ...structure()];

}
