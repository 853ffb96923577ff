/* A folder as a .tar.gz, packed in the browser. Source: POSIX.1-2017, pax, ustar. */

const LEFT_BEHIND = new Set([".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", "target", "dist"]);
const BLOCK = 512;

function bytesOf(text) {
  return new TextEncoder().encode(text);
}

function octal(number, length) {
  return number.toString(8).padStart(length - 1, "0") + "\0";
}

/* What of a name is not ASCII stands in the record before it. */
function header(name, size, type) {
  const start = name.replace(/[^ -~]/g, "_").slice(0, 100).padEnd(100, "\0");
  const numbers = octal(0o644, 8) + octal(0, 8) + octal(0, 8) + octal(size, 12) + octal(0, 12);
  const written = (sum) => bytesOf(`${start}${numbers}${sum}${type.padEnd(101, "\0")}ustar\0${"00".padEnd(249, "\0")}`);
  const sum = written(" ".repeat(8)).reduce((total, byte) => total + byte, 0);
  return written(`${octal(sum, 7)} `);
}

/* A name that does not fit into 100 bytes stands in a pax record before its file. */
function record(path) {
  const tail = ` path=${path}\n`;
  const bytes = bytesOf(tail).length;
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length = bytes + String(length).length;
  return bytesOf(`${length}${tail}`);
}

function padding(size) {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}

/* files: [{ path, file }] → a Blob of the gzipped tar. */
export async function pack(files) {
  const parts = [];
  for (const { path, file } of files) {
    if (!/^[ -~]{1,100}$/.test(path)) {
      const text = record(path);
      parts.push(header("pax", text.length, "x"), text, padding(text.length));
    }
    parts.push(header(path, file.size, "0"), file, padding(file.size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  const stream = new Blob(parts).stream().pipeThrough(new CompressionStream("gzip"));
  return new Response(stream).blob();
}

export function isWanted(path) {
  return !path.split("/").some((name) => LEFT_BEHIND.has(name));
}

function entriesOf(reader) {
  return new Promise((resolve, reject) => reader.readEntries(resolve, reject));
}

function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/* All files below dropped entries, without what nobody indexes. */
export async function filesOf(entries, prefix = "") {
  const found = [];
  for (const entry of entries) {
    const path = `${prefix}${entry.name}`;
    if (!isWanted(path)) continue;
    if (entry.isFile) {
      found.push({ path, file: await fileOf(entry) });
    } else {
      const reader = entry.createReader();
      let batch = await entriesOf(reader);
      while (batch.length) {
        found.push(...(await filesOf(batch, `${path}/`)));
        batch = await entriesOf(reader);
      }
    }
  }
  return found;
}
