// Tabs by the pattern of the ARIA authoring practices: one is in the tab order, arrows change them.
// https://www.w3.org/WAI/ARIA/apg/patterns/tabs/

export function makeTabs(list, onChange) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const panelOf = tab => document.getElementById(tab.getAttribute("aria-controls"));
  const select = tab => {
    for (const one of tabs) {
      one.setAttribute("aria-selected", String(one === tab));
      one.tabIndex = one === tab ? 0 : -1;
      panelOf(one).hidden = one !== tab;
    }
    onChange(tab.id.replace("tab-", ""));
  };
  const move = {ArrowRight: n => n + 1, ArrowLeft: n => n - 1, Home: () => 0, End: () => -1};
  list.addEventListener("click", event => { const tab = event.target.closest("[role=tab]"); if (tab) select(tab); });
  list.addEventListener("keydown", event => {
    if (!(event.key in move)) return;
    event.preventDefault();
    const next = tabs.at(move[event.key](tabs.indexOf(document.activeElement)) % tabs.length);
    next.focus();
    select(next);
  });
  return name => select(tabs.find(tab => tab.id === "tab-" + name));
}
