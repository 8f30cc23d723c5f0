// A video of the folder as the .onnx that an engine takes, checked.

import { fetchBytes } from "./load.js";
import { unpack } from "./unpack/packed.js";
import { metadata } from "./unpack/skeleton.js";
import { sha256 } from "./unpack/sha256.js";

const FORMAT = 1; // of the artifact contract

// The model's bytes, and for an exact one a byte in hex of each frame's SHA-256. base: of the page. session: as in videos.json. say: is told how far it is. An Error says what is wrong.
export async function readVideo(base, session, say) {
  const { file } = session;
  const bytes = new Uint8Array(await fetchBytes(base, encodeURIComponent(file), session.bytes, say));
  let model = bytes;
  if (isPacked(bytes)) {
    say("unpacking");
    const dictionary = async (version) => new Uint8Array(await fetchBytes(base, `dictionary${version}.bin`, null, say));
    model = await unpack(bytes, dictionary).catch((error) => {
      throw new Error(`${file}: not a packed video, or a damaged one: ${error.message}; copy or pack it again.`);
    });
  }
  const contract = contractOf(model, file);
  if (sha256(model) !== session.sha256) throw new Error(`${file}: damaged, or another video than the page was written for; run pfnr-web again.`);
  return { model: model.buffer, checks: contract.exactness?.frame_checks ?? "" };
}

function isPacked(bytes) {
  return [112, 102, 110, 118].every((byte, i) => bytes[i] === byte); // pfnv
}

function contractOf(model, file) {
  let contract;
  try {
    contract = JSON.parse(metadata(model, "pfnr"));
  } catch (error) {
    throw new Error(`${file}: not an .onnx of pfnr-export, or a damaged one: ${error.message}; copy or export it again.`);
  }
  if (contract.format_version !== FORMAT) {
    throw new Error(`${file}: an artifact of format ${contract.format_version}, and this page knows ${FORMAT}: run pfnr-web of the pfnr that exported it.`);
  }
  return contract;
}
