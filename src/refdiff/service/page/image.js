// An image from the user: picked, photographed, dropped or pasted; made smaller where the server would refuse it.

import { Failure } from "./api.js";
import { $ } from "./dom.js";

/** Calls `take(file)` for every image that the user gives, wherever they give it. */
export function watchImages(take) {
  $("pick").onclick = () => $("file").click();
  $("photograph").onclick = () => $("camera").click();
  for (const input of [$("file"), $("camera")]) {
    input.onchange = () => {
      if (input.files.length) take(input.files[0]);
      input.value = "";
    };
  }
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) take(clipboardData.files[0]);
  });
  const dropping = (shown) => ($("dropping").hidden = !shown);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    dropping(event.dataTransfer.types.includes("Files"));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && dropping(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    dropping(false);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

/** {bitmap, file, smaller}: what to show, what to send, and whether that is smaller than the user's own. */
export async function readImage(file, limits) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Failure(0, `“${file.name}” is not an image that this browser can show; choose a PNG, JPEG or WebP file.`);
  }
  const pixels = bitmap.width * bitmap.height;
  if (pixels <= limits.megapixels * 1e6 && file.size < 0.95 * limits.body_mb * 1e6) return { bitmap, file, smaller: false };
  const scale = Math.min(1, Math.sqrt((0.98 * limits.megapixels * 1e6) / pixels));
  const canvas = new OffscreenCanvas(Math.floor(bitmap.width * scale), Math.floor(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // behind what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return { bitmap: await createImageBitmap(canvas), file: await canvas.convertToBlob({ type: "image/jpeg", quality: 0.93 }),
    smaller: true };
}
