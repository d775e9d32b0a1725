"use strict";
// The page: a state, what a source answers about it, and the widgets that move it. A source is the server, or a table of
// answers that was made before (the page without a server).

const $ = (id) => document.getElementById(id);
const known = (id) => ($(id) ? JSON.parse($(id).textContent) : null);
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]; // Okabe and Ito
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "4 2", "1 3"];
const QUICK = 60, FEWEST = 7, MOST = 49; // milliseconds aimed at while a slider moves, and points of a curve

// ------------------------------------------------------------------ the state, as links have it
const WORDS = ["pipeline", "over", "spectrum", "target"];

function stateOf(query) {
  const state = { values: {} };
  for (const [name, text] of new URLSearchParams(query)) {
    if (WORDS.includes(name)) state[name] = text;
    else state.values[name] = Number(text);
  }
  return state;
}

function queryOf(state) {
  const said = new URLSearchParams();
  for (const name of WORDS) if (state[name] !== undefined) said.set(name, state[name]);
  for (const [name, value] of Object.entries(state.values)) said.set(name, String(value));
  return said.toString();
}

// ------------------------------------------------------------------ where answers come from
function serverSource(start) {
  async function ask(path, state, more = "") {
    return answered(await fetch(`${path}?state=${encodeURIComponent(queryOf(state))}${more}`));
  }
  async function answered(response) { // a refusal is an answer too: it says what to change
    const found = await response.json();
    if (found?.error) throw new Error(found.error);
    return found;
  }
  return {
    ...start,
    about: (state) => ask("about", state),
    curve: (state, points) => ask("curve", state, `&points=${points}`),
    optimum: (state) => ask("optimum", state),
    code: (state) => ask("code", state),
    drawing: (state) => ask("drawing", state),
    simulation: (state) => new EventSource(`simulation?state=${encodeURIComponent(queryOf(state))}`),
    async diagnosis(state, file) {
      const where = `diagnosis?state=${encodeURIComponent(queryOf(state))}&name=${encodeURIComponent(file.name)}`;
      return answered(await fetch(where, { method: "POST", body: file }));
    },
  };
}

function frozenSource(frozen) {
  const page = (state) => frozen.presets.find((p) => p.about.pipeline === state.pipeline) ?? frozen.presets[0];
  function cell(state) { // the stops of all sliders but the one the curve is drawn over say which
    const p = page(state);
    return p.cells[p.about.knobs.filter((k) => k.name !== p.about.over).map((k) => nearest(k.stops, state.values[k.name])).join()];
  }
  return {
    ...frozen,
    about: async (state) => page(state).about,
    async curve(state) {
      const p = page(state), terms = cell(state).terms;
      const total = p.x.map((_, i) => sum(Object.values(terms).map((y) => y[i])));
      const i = nearest(p.x, state.values[p.about.over]);
      const here = Object.fromEntries(Object.entries(terms).map(([name, y]) => [name, y[i]]));
      return { x: p.x, total, terms, here: { x: p.x[i], total: total[i], terms: here }, refused: null };
    },
    optimum: async (state) => cell(state).optimum,
    code: async () => ({}), // it would be that of other slider positions
    drawing: async (state) => page(state).drawing,
  };
}

const sum = (values) => (values.includes(null) ? null : values.reduce((a, b) => a + b, 0));
const nearest = (stops, value) => stops.reduce((best, v, i) => (Math.abs(v - value) < Math.abs(stops[best] - value) ? i : best), 0);

// ------------------------------------------------------------------ what is shown
const frozen = known("frozen");
const source = frozen ? frozenSource(frozen) : serverSource(known("start"));
let state, about, found, best, code = {}, runs = new Map(), stream = null;

// Go to a state: ask what its sliders are, and stand where the state says.
async function open(query) {
  stopRuns();
  const next = stateOf(query);
  try {
    const answer = await source.about(next);
    const first = stateOf(answer.first);
    about = answer;
    state = { ...first, ...next, values: {} };
    for (const knob of about.knobs) state.values[knob.name] = next.values[knob.name] ?? knob.start;
    if (!about.knobs.some((k) => k.name === state.over)) state.over = first.over;
  } catch (e) { // a link to what does not exist leads to the beginning
    if (!state) await open(source.state);
    tell(e.message);
    return;
  }
  best = null;
  showAbout();
  showKnobs();
  showInputs();
  showDrawing();
  await settle();
}

function tell(message) { $("problem").textContent = message ?? ""; }

function showAbout() {
  $("title").textContent = about.title;
  $("regime").textContent = `Theory: ${about.regime}.`;
  showText($("hypotheses"), about.hypotheses ? `${about.hypotheses}.` : "");
  showFormula();
  $("over").replaceChildren(...about.knobs.filter((k) => !frozen || k.name === about.over).map((k) => option(k.name, named(k), k.name === state.over)));
  const preset = source.presets.find((p) => stateOf(p.state).pipeline === state.pipeline);
  $("sentence").textContent = preset?.sentence ?? "";
  for (const button of $("presets").children) button.setAttribute("aria-pressed", String(button.textContent === preset?.name));
  $("text").value = state.pipeline.includes("=") ? state.pipeline : $("text").value;
  $("fixed").textContent = about.fixed ?? "";
  const menu = $("pipeline");
  if (![...menu.options].some((o) => o.value === state.pipeline)) {
    menu.querySelector("option[data-own]")?.remove();
    const own = option(state.pipeline, about.title, true);
    own.dataset.own = "";
    menu.prepend(own);
  }
  menu.value = state.pipeline;
  $("simulate").disabled = !about.runs;
}

function showFormula() {
  katex.render(about.latex, $("formula"), { displayMode: true, throwOnError: false, strict: false });
}

// Words with mathematics between dollars.
function showText(place, text) {
  place.replaceChildren(...text.split("$").map((part, i) => {
    const made = document.createElement("span");
    if (i % 2) katex.render(part, made, { throwOnError: false });
    else made.textContent = part.replace(/\\(?:texttt|emph|textbf)\{([^}]*)\}/g, "$1");
    return made;
  }));
}

const named = (knob) => (knob.words ? `${knob.words}, ${knob.name}` : knob.name);

function option(value, text, selected = false) {
  const made = new Option(text, value);
  made.selected = selected;
  return made;
}

async function showDrawing() {
  try {
    const svg = await source.drawing(state);
    $("drawing-card").hidden = !svg;
    if (svg) $("drawing").src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  } catch (e) {
    tell(e.message);
  }
}

// ------------------------------------------------------------------ sliders
// A slider with its label and a box for the exact number; take(value) is called as it moves.
function sliderBox({ name, label, words, stops, low, high, whole, value, take }) {
  const box = document.createElement("div");
  box.className = "knob";
  const text = document.createElement("span");
  if (label) katex.render(label, text, { throwOnError: false });
  else text.textContent = name;
  const said = document.createElement("span");
  said.className = "words";
  said.textContent = words ? ` ${words}` : "";
  text.append(said);
  const number = document.createElement(frozen ? "output" : "input");
  if (!frozen) Object.assign(number, { type: "number", step: whole ? 1 : "any", min: low, max: high });
  number.setAttribute("aria-label", `${name}, number`);
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: stops.length - 1, step: 1, id: `knob-${name}` });
  slider.setAttribute("aria-label", name);
  const show = (at) => {
    slider.value = nearest(stops, at);
    number.value = frozen ? shortNumber(at) : at;
    slider.setAttribute("aria-valuetext", shortNumber(at));
  };
  const moved = (at) => { show(at); take(at); };
  slider.oninput = () => moved(stops[slider.value]);
  number.onchange = () => (Number.isFinite(number.valueAsNumber) ? moved(Math.min(Math.max(number.valueAsNumber, low), high)) : show(value));
  show(value);
  box.append(text, number, slider);
  return box;
}

function showKnobs() {
  $("knobs").replaceChildren(...about.knobs.map((knob) => sliderBox({
    ...knob, label: knob.latex, value: state.values[knob.name], take: (value) => { state.values[knob.name] = value; moved(knob.name); },
  })));
}

let settling = 0, points = MOST, asked = null, busy = false;

function moved(name) {
  if (name !== state.over) best = null;
  code = {};
  stopRuns();
  ask(Math.round(points));
  clearTimeout(settling);
  settling = setTimeout(() => settle(name), 250);
}

// Ask for the curve, the last question first: what was overtaken is never asked.
async function ask(count) {
  asked = count;
  if (busy) return;
  busy = true;
  while (asked !== null) {
    const wanted = asked;
    asked = null;
    const begun = performance.now();
    try {
      found = await source.curve(state, wanted);
      const took = performance.now() - begun;
      points = Math.min(MOST, Math.max(FEWEST, (wanted * QUICK) / took));
      document.body.dataset.answered = took.toFixed(0); // milliseconds, for who wants to know
      tell(found.refused);
      showCurve();
    } catch (e) {
      tell(e.message);
    }
  }
  busy = false;
}

// Once nothing moves: the whole curve, its optimum, the link, and what the copy buttons copy.
async function settle(name) {
  history.replaceState(null, "", `#${queryOf(state)}`);
  await ask(MOST);
  const at = queryOf(state);
  try {
    const [least, text] = await Promise.all([source.optimum(state), source.code(state)]);
    if (at !== queryOf(state)) return;
    best = least;
    code = text;
    if (!frozen && about.counts.includes(name)) {
      about = await source.about(state);
      showFormula();
      showDrawing();
    }
  } catch (e) {
    tell(e.message);
  }
  showCurve();
  if ($("simulate").checked && !stream) startRuns();
}

// ------------------------------------------------------------------ the curve and its terms
function showCurve() {
  if (!found) return;
  const names = Object.keys(found.terms).filter((name) => found.terms[name].some((v) => v));
  const lines = [{ y: found.total, colour: COLOURS[0], width: 2.6, dash: "" }];
  if (names.length > 1) names.forEach((name, i) => lines.push({ y: found.terms[name], colour: COLOURS[(i + 1) % 6], width: 1.6, dash: DASHES[(i + 1) % 6] }));
  const knob = about.knobs.find((k) => k.name === state.over) ?? { scale: "linear" };
  drawChart($("chart"), { x: found.x, logx: knob.scale === "log", lines, points: [...runs.values()], here: found.here, best, name: state.over });
  $("best").textContent = best ? `★ least error ${shortNumber(best.total)} at ${state.over} = ${shortNumber(best.x)}` : "";
  const here = found.here;
  const rows = [["test error", here?.total ?? null, lines[0]], ...(names.length > 1 ? names.map((name, i) => [name.replaceAll("_", " "), here?.terms[name] ?? null, lines[i + 1]]) : [])];
  $("terms").tBodies[0].replaceChildren(...rows.map(([name, value, line]) => {
    const row = document.createElement("tr");
    const swatch = document.createElement("i");
    swatch.style.borderTopColor = line.colour;
    if (line.dash) swatch.style.borderTopStyle = "dashed";
    const bar = document.createElement("b");
    bar.style.background = line.colour;
    bar.style.width = `${value === null || !here.total ? 0 : Math.min(100, (100 * Math.abs(value)) / here.total)}%`;
    const cells = [[swatch, name], [value === null ? "–" : shortNumber(value)], [bar]].map((content) => {
      const cell = document.createElement("td");
      cell.append(...content);
      return cell;
    });
    row.append(...cells);
    return row;
  }));
}

// ------------------------------------------------------------------ Monte Carlo
function stopRuns() {
  stream?.close();
  stream = null;
  runs = new Map();
  $("trials").textContent = "";
}

function startRuns() {
  stopRuns();
  const own = (stream = source.simulation(state));
  own.onmessage = (event) => {
    if (own !== stream) return;
    const point = JSON.parse(event.data);
    if (point.refused) { tell(point.refused); return; }
    runs.set(point.x, point);
    $("trials").textContent = `${point.trials} trials a point, bars of two standard errors`;
    showCurve();
  };
  const end = () => { own.close(); };
  own.addEventListener("done", end);
  own.onerror = end;
}

// ------------------------------------------------------------------ inputs
const KINDS = {
  spectrum: { powerlaw: ["power law", { d: 300, beta: 1.5 }], isotropic: ["isotropic", { d: 300 }], spiked: ["spiked", { d: 300, spikes: "20/10/5" }], "data:digits": ["handwritten digits", {}] },
  target: { source: ["source condition", { r: 0.5 }], random: ["random direction", { norm2: 1 }] },
};

const steps = (low, high, step) => Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => Number((low + i * step).toFixed(6)));
const FIELDS = { d: [...steps(10, 100, 10), ...steps(150, 1000, 50)], beta: steps(0.1, 4, 0.1), r: steps(0.1, 3, 0.1), norm2: steps(0.1, 4, 0.1) };

function fieldsOf(text) {
  const [kind, rest = ""] = text.split(":");
  return { kind, fields: Object.fromEntries(rest.split(",").filter(Boolean).map((item) => item.split("=").map((x) => x.trim()))) };
}

function showInputs() {
  for (const what of ["spectrum", "target"]) {
    const data = state[what].startsWith("data:");
    const { kind, fields } = data ? { kind: state[what], fields: {} } : fieldsOf(state[what]);
    const kinds = Object.entries(KINDS[what]).filter(([key]) => key !== "source" || state.spectrum.startsWith("powerlaw"));
    $(what).replaceChildren(...kinds.map(([key, [words]]) => option(key, words, key === kind)));
    $(what).parentElement.hidden = what === "target" && data;
    $(`${what}-fields`).replaceChildren(...Object.keys(fields).map((name) => {
      const write = (value) => { fields[name] = value; state[what] = written(kind, fields); moved(what); };
      const stops = FIELDS[name];
      if (stops && Number.isFinite(Number(fields[name]))) {
        const [low, high] = name === "d" ? [1, 3000] : [0.001, 100];
        return sliderBox({ name, stops, low, high, whole: name === "d", value: Number(fields[name]), take: write });
      }
      const box = document.createElement("div");
      box.className = "knob";
      const input = Object.assign(document.createElement("input"), { type: "text", value: fields[name], onchange: () => write(input.value.trim()) });
      input.setAttribute("aria-label", name);
      box.append(name, input);
      return box;
    }));
  }
}

const written = (kind, fields) => (Object.keys(fields).length ? `${kind}:${Object.entries(fields).map((item) => item.join("=")).join(",")}` : kind);

// Another kind of spectrum or target, and a target that goes with the spectrum.
function takeKind(what) {
  const kind = $(what).value;
  state[what] = written(kind, KINDS[what][kind][1]);
  if (what === "spectrum") {
    if (kind.startsWith("data:")) state.target = kind;
    else if (state.target.startsWith("data:") || (state.target.startsWith("source") && kind !== "powerlaw")) state.target = "random:norm2=1";
  }
  showInputs();
  moved(what);
}

// ------------------------------------------------------------------ the clipboard
async function copy(button) {
  if (!("python" in code)) code = await source.code(state);
  const text = { latex: about.latex, link: location.href, ...code }[button.dataset.copy];
  const before = button.dataset.words ?? (button.dataset.words = button.textContent);
  if (text) await navigator.clipboard.writeText(text);
  button.textContent = text ? "Copied" : "A limit has none";
  setTimeout(() => { button.textContent = before; }, 1200);
}

// ------------------------------------------------------------------ begin
function begin() {
  document.body.classList.toggle("frozen", Boolean(frozen));
  $("presets").replaceChildren(...source.presets.map((preset) => {
    const button = document.createElement("button");
    button.textContent = preset.name;
    button.onclick = () => open(preset.state);
    return button;
  }));
  for (const [words, list] of [["Workflows", source.workflows ?? []], ["Theorems", source.theorems ?? []]]) {
    const group = document.createElement("optgroup");
    group.label = words;
    group.append(...list.map((x) => option(x.pipeline, x.title)));
    $("pipeline").append(group);
  }
  $("pipeline").onchange = () => open(new URLSearchParams({ pipeline: $("pipeline").value }));
  $("take").onclick = () => open(new URLSearchParams({ pipeline: $("text").value }));
  $("over").onchange = () => { state.over = $("over").value; best = null; moved(); };
  for (const what of ["spectrum", "target"]) $(what).onchange = () => takeKind(what);
  $("simulate").onchange = () => ($("simulate").checked ? startRuns() : (stopRuns(), showCurve()));
  for (const button of $("copies").children) button.onclick = () => copy(button);
  $("file").onchange = async () => {
    const [file] = $("file").files;
    if (!file) return;
    $("verdict").textContent = "…";
    try {
      const answer = await source.diagnosis(state, file);
      $("verdict").textContent = `${answer.verdict}: ${answer.N} rows, ${answer.columns} columns`;
      $("verdict").dataset.verdict = answer.verdict;
      $("reason").textContent = answer.reason;
    } catch (e) {
      $("verdict").textContent = "";
      $("reason").textContent = e.message;
    }
  };
  new ResizeObserver(() => showCurve()).observe($("chart"));
  window.onhashchange = () => { if (location.hash.slice(1) !== queryOf(state)) open(location.hash.slice(1)); };
  open(location.hash.slice(1) || source.state);
}

begin();
