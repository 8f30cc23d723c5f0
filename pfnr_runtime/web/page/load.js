// A file of the folder, whole.

import { joined } from "./unpack/bytes.js";

// Its bytes, as an ArrayBuffer. base: of the page. wanted: how many there should be, null if unknown. say: is told how
// far it is.
export async function fetchBytes(base, path, wanted, say) {
  const response = await fetch(new URL(path, base), { cache: "no-cache" });
  if (!response.ok) throw new Error(`${path}: the server answers ${response.status}; copy the whole folder, or run pfnr-web again.`);
  const encoded = response.headers.has("content-encoding");
  const total = wanted ?? (encoded ? 0 : Number(response.headers.get("content-length")));
  const parts = [];
  let size = 0;
  const reader = response.body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      size += part.value.length;
      if (total) say(`${Math.floor((100 * size) / total)} %`);
      if (wanted !== null && size > wanted) break;
    }
  } catch (error) {
    throw new Error(`${path}: the transfer broke off after ${size} bytes (${error.message}); reload the page.`);
  }
  if (wanted !== null && size !== wanted) {
    await reader.cancel();
    const what = size < wanted ? `cut short, ${size} of ${wanted} bytes` : `more than ${wanted} bytes`;
    throw new Error(`${path}: ${what}; copy the folder again, or run pfnr-web again.`);
  }
  return joined(parts, size).buffer;
}
