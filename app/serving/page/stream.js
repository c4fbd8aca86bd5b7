// The WebSocket /v1/stream: pictures out, scores in.
import {currentKey} from "./key.js";

const MOST_WAITING_BYTES = 256 * 1024;

export class Stream {
  // onEnd is told once, with words if it was not asked for.
  constructor(model, {onReady, onScores, onEnd}) {
    const address = new URL("v1/stream", document.baseURI);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("model", model.name);
    if (currentKey()) address.searchParams.set("key", currentKey());
    this.socket = new WebSocket(address);
    this.unsent = 0;
    this.asked = false;
    let said = null, ready = false;
    this.socket.onmessage = event => {
      const message = JSON.parse(event.data);
      if (message.type === "ready") { ready = true; onReady(message); }
      else if (message.type === "scores") onScores(message);
      else if (message.type === "error") said = message.error;
    };
    this.socket.onclose = event => {
      if (this.asked) return onEnd(null, {ready});
      const words = said?.message
        ?? (event.code === 1001 ? "The server was stopped." : ready ? "The connection to the server broke off." : "The server takes no stream.");
      onEnd(words, {ready, code: said?.code ?? event.code});
    };
  }

  // False if the line is too slow: the picture is left out.
  send(jpeg, timeS) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    if (this.socket.bufferedAmount > MOST_WAITING_BYTES) {
      this.unsent += 1;
      return false;
    }
    this.socket.send(JSON.stringify({time_s: Number(timeS.toFixed(3))}));
    this.socket.send(jpeg);
    return true;
  }

  close() {
    this.asked = true;
    this.socket.close(1000);
  }
}
