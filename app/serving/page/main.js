// The page: asks what the server has, then hands over to its tabs.
import {getModels} from "./api.js";
import {button, find, make, show} from "./elements.js";
import {LiveTab} from "./live.js";
import {makeTabs} from "./tabs.js";
import {VideoTab} from "./video.js";

const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");

function makeThemeButton() {
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const tell = () => { find("theme").textContent = isDark() ? "◐ Light" : "◐ Dark"; find("theme").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours"); };
  find("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    // theme.js says when this may be refused.
    try { localStorage.setItem("cliptide-theme", root.dataset.theme); } catch { /* for this page only */ }
    tell();
  });
  dark.addEventListener("change", tell);
  tell();
}

function offerModels(models, onChange) {
  const select = find("model");
  select.replaceChildren(...models.map((model, n) => make("option", {value: n, selected: model.default}, model.name)));
  select.addEventListener("change", onChange);
  show(find("choose"), models.length > 1);
  return () => models[Number(select.value)];
}

async function start() {
  const trouble = find("trouble");
  let server;
  try {
    server = await getModels();
  } catch (error) {
    const words = error.status === 401 ? "Without its key this server tells nothing." : error.message;
    trouble.replaceChildren(make("p", {}, words), make("div", {class: "row"},
      button(error.status === 401 ? "Give the key" : "Try again", start)));
    return show(trouble, true);
  }
  show(trouble, false);
  let tabs = [];
  const currentModel = offerModels(server.models, () => { for (const tab of tabs) tab.modelChanged(); });
  const video = new VideoTab({server, currentModel});
  const live = new LiveTab(find("panel-live"), {server, currentModel});
  tabs = [video, live];
  const select = makeTabs(document.querySelector("[role=tablist]"), name => {
    if (name === "live") video.pause(); else live.stop();
    history.replaceState(null, "", name === "live" ? "#live" : location.pathname);
  });
  video.select = () => select("video");
  if (location.hash === "#live") select("live");
  document.body.dataset.ready = "";
}

makeThemeButton();
start();
