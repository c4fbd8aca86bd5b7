// The API key, where the server wants one: asked for once and kept for this tab.
import {find} from "./elements.js";

const PLACE = "cliptide-key";
let kept = "";
// Storage is refused in some private windows: then the key lasts as long as the page.
try { kept = sessionStorage.getItem(PLACE) ?? ""; } catch { /* asked for again */ }

export const currentKey = () => kept;

let open = null;

// The key that was given; null if none was.
export function askForKey(why) {
  open ??= new Promise(resolve => {
    const dialog = find("key"), field = find("key-value");
    find("key-why").textContent = why;
    field.value = "";
    // Escape leaves returnValue as it was the last time.
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      open = null;
      const given = dialog.returnValue === "ok" ? field.value.trim() : "";
      field.value = "";
      if (!given) return resolve(null);
      kept = given;
      try { sessionStorage.setItem(PLACE, given); } catch { /* as above */ }
      resolve(given);
    }, {once: true});
    dialog.showModal();
  });
  return open;
}
