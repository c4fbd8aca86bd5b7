// Light or dark as last chosen here; as the system has it where nothing was chosen.
(() => {
  let kept = null;
  // Storage is refused in some private windows: then the choice lasts as long as the page.
  try { kept = localStorage.getItem("cliptide-theme"); } catch { /* as the system has it */ }
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
})();
