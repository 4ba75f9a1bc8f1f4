// Numbers in words: the same digits for a value and its interval.

// Numbers of the board are packed with a relative error below this: equal ones stay equal.
const PACKING_ERROR = 5e-5;

const MINUS = "\u2212";

function digitsFor(size) {
  if (!(size > 0)) return 2;
  return Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(size))));
}

function fixed(number, digits, signed = false) {
  const text = Math.abs(number).toFixed(digits);
  const isZero = Number(text) === 0;
  const sign = number < 0 && !isZero ? MINUS : signed && !isZero ? "+" : "";
  return sign + text;
}

// As many digits as two of the interval's width take, or three of the value's.
function valueDigits(value, low, high) {
  const width = high - low;
  return width > 0 ? digitsFor(width / 2) : Math.max(2, digitsFor(Math.abs(value)) + 1);
}

function formatValue(metric, value, low, high) {
  if (!Number.isFinite(value)) return "–";
  return fixed(metric.scale * value, shownDigits(metric, value, low, high)) + unitOf(metric);
}

function shownDigits(metric, value, low, high) {
  const scale = metric.scale;
  return Math.min(5, valueDigits(scale * value, scale * low, scale * high));
}

function formatInterval(metric, value, low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return "no interval";
  const digits = shownDigits(metric, value, low, high);
  return `[${fixed(metric.scale * low, digits)}, ${fixed(metric.scale * high, digits)}]`;
}

function formatDelta(metric, delta, low, high) {
  const scale = metric.scale;
  const digits = Math.min(6, valueDigits(scale * delta, scale * low, scale * high));
  const ends = Number.isFinite(low)
    ? ` [${fixed(scale * low, digits, true)}, ${fixed(scale * high, digits, true)}]`
    : "";
  return fixed(scale * delta, digits, true) + ends;
}

function unitOf(metric) {
  return metric.scale === 100 ? " %" : "";
}

const COST_UNITS = [
  [1e-6, "kMACs"],
  [1e-3, "MMACs"],
  [1, "GMACs"],
  [1e3, "TMACs"],
];

// The unit that suits a whole dataset, so that its costs can be compared at a glance.
function costUnit(gmacs) {
  const fitting = COST_UNITS.filter(([size]) => gmacs >= size);
  return fitting.length ? fitting[fitting.length - 1] : COST_UNITS[0];
}

function formatCost(gmacs, unit) {
  if (!Number.isFinite(gmacs)) return "–";
  const number = Number((gmacs / unit[0]).toPrecision(3));
  return number > 0 ? number.toFixed(Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(number))))) : "0";
}

function formatShare(share) {
  if (!Number.isFinite(share)) return "–";
  const percent = 100 * share;
  return `${fixed(percent, Math.abs(percent) < 9.95 ? 1 : 0, true)} %`;
}

function moreOrLess(share) {
  const words = formatShare(Math.abs(share)).replace("+", "");
  return `${words} ${share < 0 ? "less" : "more"}`;
}

function plural(count, noun, many = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : many}`;
}

function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  // A spreadsheet would take these for formulas.
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
