"use strict";
// A chart as SVG: lines with gaps, points with error bars, marks. Axes are logarithmic where values span a decade.

const PAD = { left: 58, right: 14, top: 14, bottom: 30 };
const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function element(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

// A map from values to pixels, with its ticks.
function axis(low, high, log, from, to) {
  const f = log ? Math.log10 : (v) => v;
  const [a, b] = low === high ? [f(low) - 1, f(high) + 1] : [f(low), f(high)];
  const place = (v) => from + ((f(v) - a) / (b - a)) * (to - from);
  return { place, back: (p) => { const u = a + ((p - from) / (to - from)) * (b - a); return log ? 10 ** u : u; }, ticks: log ? logTicks(a, b) : linearTicks(a, b) };
}

function logTicks(a, b) {
  const steps = b - a < 1.6 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((b - a) / 7));
  const out = [];
  for (let k = Math.floor(a); k <= Math.ceil(b); k++) {
    if (k % every) continue;
    for (const s of steps) if (Math.log10(s) + k >= a - 1e-9 && Math.log10(s) + k <= b + 1e-9) out.push(s * 10 ** k);
  }
  return out;
}

function linearTicks(a, b) {
  const rough = (b - a) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((s) => s * power >= rough) * power;
  const out = [];
  for (let k = Math.ceil(a / step - 1e-9); k * step <= b + 1e-9 * step; k++) out.push(k * step);
  return out;
}

function tickText(v, log) {
  const k = Math.log10(Math.abs(v));
  if (log && Number.isInteger(Math.round(k * 1e9) / 1e9) && (k > 3 || k < -2)) return "10" + [...String(Math.round(k))].map((c) => SUPERSCRIPT[c]).join("");
  return shortNumber(v);
}

function shortNumber(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  return size >= 1e5 || size < 1e-3 ? v.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") : String(Number(v.toPrecision(4)));
}

// spec: x, logx, lines [{y, colour, dash, width}], points [{x, mean, sem}], here, best ({x, total} or null)
function drawChart(svg, spec) {
  const width = svg.clientWidth, height = svg.clientHeight;
  if (width < 2 * PAD.left) return; // not laid out yet
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const main = spec.lines[0].y.filter((v) => v !== null);
  const seen = [...main, ...spec.points.flatMap((p) => [p.mean, p.mean + p.sem])];
  if (!seen.length) return;
  const positive = Math.min(...seen) > 0;
  const logy = positive && Math.max(...seen) > 4 * Math.min(...seen);
  const others = spec.lines.slice(1).flatMap((line) => line.y).filter((v) => v !== null && (!logy || v > Math.min(...seen) / 30));
  let low = Math.min(...seen, ...others), high = Math.max(...seen, ...others);
  if (logy) { low /= 1.25; high *= 1.25; } else { const room = (high - low || Math.abs(high) || 1) * 0.06; low = low >= 0 ? Math.max(0, low - room) : low - room; high += room; }
  const x = axis(spec.x[0], spec.x.at(-1), spec.logx, PAD.left, width - PAD.right);
  const y = axis(low, high, logy, height - PAD.bottom, PAD.top);

  for (const v of x.ticks) {
    element("line", { x1: x.place(v), x2: x.place(v), y1: PAD.top, y2: height - PAD.bottom, stroke: "#e6ebef" }, svg);
    element("text", { x: x.place(v), y: height - PAD.bottom + 18, "text-anchor": "middle" }, svg).textContent = tickText(v, spec.logx);
  }
  for (const v of y.ticks) {
    element("line", { x1: PAD.left, x2: width - PAD.right, y1: y.place(v), y2: y.place(v), stroke: "#e6ebef" }, svg);
    element("text", { x: PAD.left - 8, y: y.place(v) + 4, "text-anchor": "end" }, svg).textContent = tickText(v, logy);
  }
  const clip = element("clipPath", { id: "inside" }, element("defs", {}, svg));
  element("rect", { x: PAD.left, y: PAD.top - 6, width: width - PAD.left - PAD.right + 6, height: height - PAD.top - PAD.bottom + 6 }, clip);
  const plot = element("g", { "clip-path": "url(#inside)", fill: "none" }, svg);

  [...spec.lines].reverse().forEach((line) => {
    let d = "", pen = "M";
    spec.x.forEach((v, i) => {
      const at = line.y[i];
      if (at === null || (logy && at <= 0)) { pen = "M"; return; }
      d += `${pen}${x.place(v).toFixed(1)},${y.place(at).toFixed(1)}`;
      pen = "L";
    });
    element("path", { d, class: line === spec.lines[0] ? "total" : "term", stroke: line.colour, "stroke-width": line.width, "stroke-dasharray": line.dash, "stroke-linejoin": "round" }, plot);
  });
  for (const p of spec.points) {
    const ends = [p.mean - 2 * p.sem, p.mean + 2 * p.sem].map((v) => y.place(logy ? Math.max(v, low / 10) : v));
    if (ends.every(Number.isFinite)) element("path", { d: `M${x.place(p.x)},${ends[0]}V${ends[1]}M${x.place(p.x) - 4},${ends[0]}h8M${x.place(p.x) - 4},${ends[1]}h8`, stroke: "#22303c" }, plot);
    element("circle", { cx: x.place(p.x), cy: y.place(p.mean), r: 3.5, fill: "#22303c", class: "run" }, plot);
  }
  if (spec.best) element("path", { d: star(x.place(spec.best.x), y.place(spec.best.total), 9), fill: "#e69f00", stroke: "#22303c", class: "best" }, plot);
  if (spec.here && spec.here.total !== null) element("circle", { cx: x.place(spec.here.x), cy: y.place(spec.here.total), r: 6, fill: "#fff", stroke: spec.lines[0].colour, "stroke-width": 2.5, class: "here" }, plot);
  const reading = element("text", { x: width - PAD.right, y: PAD.top + 2, "text-anchor": "end" }, svg);
  svg.onpointermove = (event) => {
    const at = x.back(event.clientX - svg.getBoundingClientRect().left);
    const i = spec.x.reduce((best, v, k) => (Math.abs(x.place(v) - x.place(at)) < Math.abs(x.place(spec.x[best]) - x.place(at)) ? k : best), 0);
    const value = spec.lines[0].y[i];
    reading.textContent = value === null ? "" : `${spec.name} = ${shortNumber(spec.x[i])}: ${shortNumber(value)}`;
  };
  svg.onpointerleave = () => { reading.textContent = ""; };
}

function star(cx, cy, size) {
  const corners = Array.from({ length: 10 }, (_, i) => {
    const r = i % 2 ? size * 0.42 : size, angle = (Math.PI * i) / 5;
    return `${(cx + r * Math.sin(angle)).toFixed(1)},${(cy - r * Math.cos(angle)).toFixed(1)}`;
  });
  return `M${corners.join("L")}Z`;
}
