// Making elements. Text is only ever set as text: labels and file names are other people's words.

const NAMESPACE = "http://www.w3.org/2000/svg";

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== undefined && child !== null && child !== false));
  return element;
}

// make("button", {type: "button", onclick: go, style: {"--c": "red"}}, "Go")
export const make = (name, properties = {}, ...children) =>
  filled(document.createElement(name), properties, children);

export const draw = (name, properties = {}, ...children) =>
  filled(document.createElementNS(NAMESPACE, name), properties, children);

export const find = id => document.getElementById(id);

export const button = (text, onclick, properties = {}) => make("button", {type: "button", onclick, ...properties}, text);

// What screen readers are told. The same words twice are said twice only if they were gone between.
export function announce(words) {
  const status = find("status");
  status.textContent = "";
  requestAnimationFrame(() => { status.textContent = words; });
}

export const show = (element, shown) => { element.hidden = !shown; };
