// Talking to the server: what it says of itself, and an upload with its progress. Addresses are
// relative, so that the page also works below a path of a proxy.
import {askForKey, currentKey} from "./key.js";

export class ApiError extends Error {
  constructor(message, {status = 0, code = "", retryS = null} = {}) {
    super(message);
    Object.assign(this, {status, code, retryS});
  }
}

export const NOT_REACHED = "The server cannot be reached. Is cliptide serve still running?";

function errorOf(status, text, header) {
  let error = {};
  // A proxy in between answers in pages of its own.
  try { error = JSON.parse(text).error ?? {}; } catch { /* without words of the server */ }
  const seconds = Number.parseFloat(header("Retry-After"));
  return new ApiError(error.message ?? `The server answers with status ${status}.`, {
    status, code: error.code, retryS: Number.isFinite(seconds) ? seconds : null,
  });
}

const authorization = () => currentKey() ? {Authorization: `Bearer ${currentKey()}`} : {};

// Do what may need a key, and ask for it as often as it is wrong.
export async function withKey(doIt) {
  for (;;) {
    try {
      return await doIt();
    } catch (error) {
      if (error.status !== 401) throw error;
      const why = currentKey() ? "That key was not accepted." : "Whoever started it has it.";
      if (await askForKey(why) === null) throw error;
    }
  }
}

export const getModels = () => withKey(async () => {
  const response = await fetch("v1/models", {headers: {Accept: "application/json", ...authorization()}})
    .catch(() => { throw new ApiError(NOT_REACHED); });
  const text = await response.text();
  if (!response.ok) throw errorOf(response.status, text, name => response.headers.get(name));
  return JSON.parse(text);
});

// XMLHttpRequest, because fetch does not tell how far an upload is.
export function predict(file, model, {signal, onProgress, onSent}) {
  return new Promise((resolve, reject) => {
    const form = new FormData(), request = new XMLHttpRequest();
    form.append("model", model);
    form.append("timeline", "true");
    // Last: the server knows what is wanted before the long part comes.
    form.append("file", file, file.name);
    request.upload.onprogress = event => { if (event.lengthComputable) onProgress(event.loaded / event.total); };
    request.upload.onload = onSent;
    request.onload = () => {
      if (request.status !== 200) return reject(errorOf(request.status, request.responseText, name => request.getResponseHeader(name)));
      try { resolve(JSON.parse(request.responseText)); } catch { reject(new ApiError("The answer of the server is no JSON.")); }
    };
    request.onerror = () => reject(new ApiError("The connection broke off."));
    request.onabort = () => reject(signal.reason);
    request.open("POST", "v1/predict");
    request.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    signal.addEventListener("abort", () => request.abort(), {once: true});
    request.send(form);
  });
}
