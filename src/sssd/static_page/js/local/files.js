// Files of a record, as the service's JSON has it: a CSV table, and a WFDB record in a ZIP archive (sssd/io).

const LINE = 200;

// time_s and the 12 leads in mV, and where the record comes from in each row.
export function csv({ fs_hz, leads, signal, requested, statements }) {
  const words = (names) => names.map((name) => encodeURIComponent(name).replace(/%2F/g, "/")).join(" ");
  const asked = requested.split("+").filter((name) => statements.includes(name));
  const origin = ["1", words(statements.filter((name) => asked.includes(name))), words(statements)];
  const rows = signal[0].map((_, i) => [(i / fs_hz).toFixed(6), ...signal.map((row) => row[i].toFixed(3).replace(/^-(0\.000)$/, "$1")), ...origin].join(","));
  return [["time_s", ...leads, "synthetic", "requested", "statements"].join(","), ...rows, ""].join("\n");
}

// The contents of NAME.hea and NAME.dat, 16 bits of 1 uV. snomed: codes by statement.
export function header(name, record, { snomed }) {
  const { fs_hz, leads, signal, statements, index, provenance } = record;
  const units = signal.map((row) => Int16Array.from(row, (mv) => Math.round(mv * 1000)));
  if (signal.flat().some((mv) => !(Math.abs(mv) <= 32.767))) throw new Error("The signal goes beyond 32.767 mV, which WFDB cannot hold.");
  const lines = [`${name} 12 ${fs_hz} ${units[0].length}`];
  for (const [k, row] of units.entries()) {
    const checksum = ((row.reduce((total, unit) => total + unit, 0) % 65536) + 65536) % 65536;
    lines.push(`${name}.dat 16 1000.0(0)/mV 16 0 ${row[0]} ${checksum} 0 ${leads[k]}`);
  }
  const { age, sex } = provenance;
  const codes = statements.filter((s) => snomed[s]).map((s) => snomed[s]);
  if (age !== undefined) lines.push(`#Age: ${Math.round(age)}`);
  if (sex !== undefined) lines.push(`#Sex: ${sex[0].toUpperCase()}${sex.slice(1)}`);
  if (codes.length) lines.push(`#Dx: ${codes.join(",")}`);
  lines.push(`# statements: ${statements.join(", ")}`);
  for (const [key, value] of Object.entries({ ...provenance, index }).sort(([a], [b]) => (a < b ? -1 : 1))) lines.push(...inLines(value).map((text) => `# provenance.${key}: ${text}`));
  const data = new DataView(new ArrayBuffer(2 * 12 * units[0].length));
  units.forEach((row, k) => row.forEach((unit, i) => data.setInt16(2 * (12 * i + k), unit, true)));
  return { [`${name}.hea`]: `${lines.join("\n")}\n`, [`${name}.dat`]: new Uint8Array(data.buffer) };
}

// A value as lines of at most 200 characters; one that is longer is written without spaces.
function inLines(value) {
  const short = inPython(value);
  const text = short.length > LINE ? JSON.stringify(value).replaceAll(" ", "\\u0020").replaceAll("#", "\\u0023") : short;
  return text.match(new RegExp(`.{1,${LINE}}`, "gu")) ?? [""];
}

// JSON with spaces, as Python writes it.
function inPython(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(inPython).join(", ")}]`;
  if (value && typeof value === "object") return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}: ${inPython(value[key])}`).join(", ")}}`;
  return JSON.stringify(value);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
const crc = (bytes) => ~bytes.reduce((c, byte) => TABLE[(c ^ byte) & 255] ^ (c >>> 8), -1) >>> 0;

// A ZIP archive (APPNOTE.TXT 6.3) of files, which are not compressed. files: texts or bytes, by name.
export function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const [title, bytes] = [name, content].map((part) => (typeof part === "string" ? new TextEncoder().encode(part) : part));
    const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc(bytes)], [4, bytes.length], [4, bytes.length], [2, title.length], [2, 0]];
    const local = packed([[4, 0x04034b50], ...common]);
    directory.push(packed([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), title);
    parts.push(local, title, bytes);
    offset += local.length + title.length + bytes.length;
  }
  const size = directory.reduce((total, part) => total + part.length, 0);
  const count = Object.keys(files).length;
  return new Blob([...parts, ...directory, packed([[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]])]);
}

// Little-endian numbers, given as [bytes, value].
function packed(numbers) {
  const view = new DataView(new ArrayBuffer(numbers.reduce((total, [size]) => total + size, 0)));
  let at = 0;
  for (const [size, value] of numbers) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}
