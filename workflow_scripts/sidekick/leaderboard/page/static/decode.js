// Opens the payload: see sidekick/leaderboard/page/payload.py.

async function openPayload() {
  const text = document.getElementById("payload").textContent.trim();
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const bytes = new Uint8Array(buffer, 4 + length);
  const arrays = new Map(Object.entries(header.arrays));
  header.array = (name) => decodeArray(bytes, ...arrays.get(name));
  return header;
}

// Three planes of bytes, the highest first, of float32 numbers without their last byte.
function decodeArray(bytes, offset, shape) {
  const count = shape.reduce((product, size) => product * size, 1);
  const bits = new Uint32Array(count);
  for (let index = 0; index < count; index += 1) {
    bits[index] =
      ((bytes[offset + index] << 24) |
        (bytes[offset + count + index] << 16) |
        (bytes[offset + 2 * count + index] << 8)) >>> 0;
  }
  return new Float32Array(bits.buffer);
}
