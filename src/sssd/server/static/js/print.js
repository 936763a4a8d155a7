// What is printed: each record on a page of its own, drawn as the PDF draws it.

import { FINE, finerLead } from "./finer.js";
import { BAND } from "./ink.js";
import { ROW_S, inScale, layOut, pulse } from "./layout.js";

const [SIDE, HEAD, FOOT] = [13.5, 27, 13]; // margins of a page in mm
const PAGES = { wide: { width: 297, height: 210 }, tall: { width: 297, height: 420 } }; // A4 landscape, A3 portrait
const COLOURS = { paper: "#fffafa", fine: "#f9d9dc", bold: "#efa9b1", ink: "#15171c", second: "#0a5bd0", grey: "#5c6068", warn: "#b3202e", accent: "#9b1c2b", amber: "#8a5a00" };

// pages: [{drawing, seconds, part, changes: see layOut, asked, drawn, facts, rare, how, traces: [{signal, colour, band}]}], as strings but for the traces
export function fill(root, pages) {
  root.replaceChildren(...pages.map(page));
}

function element(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

const number = (mm) => Math.round(mm * 1000) / 1000;

function page({ drawing, seconds = ROW_S, part = [], changes, asked, drawn, facts, rare, how, recorded, traces }) {
  const geometry = layOut(drawing, { signals: traces.flatMap(({ signal, band }) => [signal, ...(band ?? [])]), on: "page", seconds, part, changes });
  const width = geometry.width + 2 * SIDE;
  const height = geometry.height + HEAD + FOOT;
  const shape = drawing.layout === "12x1" ? "tall" : "wide";
  const sheet = PAGES[shape];
  const scale = Math.min(1, sheet.width / width, sheet.height / height);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, width: `${number(width * scale)}mm`, height: `${number(height * scale)}mm`, class: `printed ${shape}` });
  const text = (x, y, size, words, more = {}) =>
    svg.append(element("text", { x: number(x), y: number(y), "font-size": size, fill: COLOURS.ink, ...more }, words));
  const [left, right, top] = [SIDE, SIDE + geometry.width, HEAD];

  const grid = (step) => {
    let d = "";
    for (let mm = 0; mm <= geometry.width; mm += step) d += `M${left + mm} ${top}v${geometry.height}`;
    for (let mm = 0; mm <= geometry.height; mm += step) d += `M${left} ${top + mm}h${geometry.width}`;
    return d;
  };
  svg.append(
    element("rect", { x: left, y: top, width: geometry.width, height: geometry.height, fill: COLOURS.paper }),
    element("path", { d: grid(1), stroke: COLOURS.fine, "stroke-width": 0.08 }),
    element("path", { d: grid(5), stroke: COLOURS.bold, "stroke-width": 0.16 }),
  );
  const line = (points, colour, thickness) => {
    let pen = "M"; // L draws; M goes on after points that are missing
    const d = points.map(([x, y]) => {
      const part = y === y ? `${pen}${number(x)},${number(y)}` : "";
      pen = part ? "L" : "M";
      return part;
    });
    svg.append(element("path", { d: d.join(""), fill: "none", stroke: colour, "stroke-width": thickness, "stroke-linejoin": "round" }));
  };
  const rim = { "font-weight": 600, stroke: COLOURS.paper, "stroke-width": 0.8, "paint-order": "stroke" };
  for (const { zero, segments, marks, pulse: marked } of geometry.rows) {
    for (const { x, line: points } of marks) line(points.map(([dx, dy]) => [left + x + dx, top + zero - dy]), COLOURS.accent, 0.4);
    if (marked) line(pulse(geometry).map(([x, y]) => [left + geometry.leadIn + x, top + zero - y]), COLOURS.ink, 0.32);
    for (const { name, row, first, last, x, label } of segments) {
      for (const { signal, colour, band } of traces) {
        if (band) {
          const side = (k) => Array.from(band[k][row].slice(first, last), (mv, i) => `${number(left + x + (i * geometry.speed) / geometry.fs)},${number(top + zero - geometry.gain * mv)}`);
          svg.append(element("polygon", { points: [...side(1), ...side(0).reverse()].join(" "), fill: COLOURS[colour], "fill-opacity": BAND }));
        }
        const fine = finerLead(signal[row]);
        line(
          Array.from({ length: (last - first - 1) * FINE + 1 }, (_, i) => [left + x + (i * geometry.speed) / geometry.fs / FINE, top + zero - geometry.gain * fine[first * FINE + i]]),
          COLOURS[colour],
          0.32,
        );
      }
      text(left + x + label.dx, top + zero - label.dy, 3.6, name, rim);
    }
    for (const { words, left: at, dy } of marks) if (words) text(left + at, top + zero - dy, 3.6, words, { ...rim, fill: COLOURS.accent });
  }
  text(left, top - 9, 5, asked, { "font-weight": 700 });
  if (drawn) text(right, top - 9, 3, `drawn beside it: ${drawn}`, { fill: COLOURS.grey, "text-anchor": "end" });
  const scaled = scale < 1 ? `scaled to ${Math.floor(100 * scale)} %` : "";
  text(left, top - 3.2, 3, [inScale(drawing), ...(facts ? [facts] : []), ...(scaled ? [scaled] : [])].join(" · "), { fill: COLOURS.grey });
  text(right, top - 3.2, 3.4, recorded ? "recorded, not for diagnosis here" : "synthetic, not for diagnosis", { fill: COLOURS.warn, "font-weight": 700, "text-anchor": "end" });
  if (rare) text(left, top - 15, 3, rare, { fill: COLOURS.amber, "font-weight": 700 });
  text(left, top + geometry.height + 5.5, 2.6, how, { fill: COLOURS.grey });
  return svg;
}
