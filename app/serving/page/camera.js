// The webcam: which there are, opening one, pictures of it as JPEG, and why there is none in words.

const WHY = {
  NotAllowedError: "The browser may not use the camera. Allow it by the sign beside the address, then start again.",
  NotFoundError: "There is no camera. Plug one in, then start again.",
  NotReadableError: "The camera is in use by another program. Close that, then start again.",
  OverconstrainedError: "That camera is gone. Choose another, then start again.",
};

const JPEG_QUALITY = 0.85;

// Words where a camera cannot be had at all; null where it can.
export function whyNone() {
  if (!isSecureContext) return `Browsers give the camera only to secure pages. Open this one by https, or on the server's own machine as http://localhost:${location.port || 80}.`;
  if (!navigator.mediaDevices?.getUserMedia) return "This browser has no access to cameras. Use another.";
  return null;
}

export async function openCamera(deviceId) {
  const reason = whyNone();
  if (reason) throw new Error(reason);
  const video = {width: {ideal: 640}, height: {ideal: 480}, ...deviceId ? {deviceId: {exact: deviceId}} : {}};
  try {
    return await navigator.mediaDevices.getUserMedia({video, audio: false});
  } catch (error) {
    throw new Error(WHY[error.name] ?? `The camera does not start (${error.name}). Try another, or start the browser again.`);
  }
}

// Cameras have names only once one was allowed.
export async function listCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(one => one.kind === "videoinput" && one.deviceId);
}

// Takes pictures of a playing video, about twice as large as the model's [height, width]: the server
// scales down, and more pixels would only cost time on the way.
export class Grabber {
  constructor(video, [height, width]) {
    this.video = video;
    this.canvas = document.createElement("canvas");
    this.least = {width: 2 * width, height: 2 * height};
  }

  async grab() {
    const {videoWidth, videoHeight} = this.video;
    if (!videoWidth) return null;
    const scale = Math.min(1, Math.max(this.least.width / videoWidth, this.least.height / videoHeight));
    // A canvas that is given its size is cleared and made anew.
    const width = Math.round(videoWidth * scale), height = Math.round(videoHeight * scale);
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, width, height);
    return new Promise(resolve => this.canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  }
}
