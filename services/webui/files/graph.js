// The live graph: every second the counters of /json become one sample, and each pair of neighbours a speed.
"use strict";

const PERIOD = 1000; // ms between samples
const KEPT = 250;    // samples in the graph
const WINDOW = 30;   // s of the mean, at most
const GAP = 2.5;     // s without a sample that interrupt the line
const PATIENCE = 5000; // ms for an answer

const $ = id => document.getElementById(id);
const svg = (name, attributes, text) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  return e;
};

// A sample is {now, hashes, rate, reset, gap}: the server's clock in seconds, the counter, and the speed since the sample
// before; rate is null where there is none: of the first one, and after a reset of the counter. gap: it was not looked at for a while.
let samples = [];

function add(state) {
  const now = state.now, hashes = Number(state.hashes ?? 0);
  if (samples.length === 0) { // nothing is known of the past
    samples.push({ now, hashes, rate: null, reset: false, gap: false });
    return;
  }
  const last = samples[samples.length - 1], elapsed = now - last.now;
  if (elapsed <= 0) return; // another server's clock: wait until it catches up
  const reset = hashes < last.hashes;
  samples.push({ now, hashes, rate: reset ? null : (hashes - last.hashes) / elapsed, reset, gap: elapsed > GAP });
  if (samples.length > KEPT) samples = samples.slice(-KEPT);
}

// mean returns the speed over what was sampled of the window that ends with sample i, from the last reset on; null with nothing to go by.
function mean(i) {
  const first = windowBegin(i), elapsed = samples[i].now - samples[first].now;
  return elapsed > 0 ? (samples[i].hashes - samples[first].hashes) / elapsed : null;
}

function windowBegin(i) {
  let first = i;
  while (first > 0 && !samples[first].reset && samples[i].now - samples[first - 1].now <= WINDOW + .5) first--;
  return first;
}

// Geometry: pixels of the SVG as it is laid out, so that text keeps its size.
const MARGIN = { top: 18, right: 14, bottom: 26, left: 40 };
let scale = null;

function niceCeiling(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 2.5, 5, 10].map(m => m * power).find(c => c >= x);
}

function draw() {
  if (samples.length === 0) return;
  const box = $("graph").getBoundingClientRect();
  const left = MARGIN.left, right = box.width - MARGIN.right, top = MARGIN.top, bottom = box.height - MARGIN.bottom;
  const end = samples[samples.length - 1].now, span = KEPT * PERIOD / 1000;
  const step = niceCeiling(Math.max(5, ...samples.map(s => s.rate ?? 0)) * 1.05 / 5);
  const most = step * 5;
  const x = now => right - (end - now) / span * (right - left);
  const y = rate => bottom - rate / most * (bottom - top);
  scale = { x, y, left, right, top, bottom, end };

  const axes = [];
  for (let i = 0; i <= 5; i++) {
    axes.push(svg("line", { x1: left, x2: right, y1: y(i * step), y2: y(i * step) }));
    axes.push(svg("text", { x: left - 8, y: y(i * step) + 4, "text-anchor": "end" }, +(i * step).toFixed(2)));
  }
  for (let ago = 0; ago <= span; ago += 60) {
    axes.push(svg("text", { x: x(end - ago), y: bottom + 18, "text-anchor": ago ? "middle" : "end" }, ago ? `−${ago / 60} min` : "now"));
  }
  $("axes").replaceChildren(...axes);

  let line = "", area = "", begin = null, previous = null;
  const close = () => { if (begin !== null) area += `L${previous},${bottom}L${begin},${bottom}Z`; begin = null; };
  for (const s of samples) {
    const px = x(s.now).toFixed(1);
    if (px < left) continue;
    if (s.rate === null || s.gap) { close(); previous = null; }
    if (s.rate === null) continue;
    const point = `${px},${y(s.rate).toFixed(1)}`;
    line += (begin === null ? "M" : "L") + point;
    area += (begin === null ? "M" : "L") + point;
    if (begin === null) begin = px;
    previous = px;
  }
  close();
  $("line").setAttribute("d", line);
  $("area").setAttribute("d", area);

  let trend = "", pen = "M";
  samples.forEach((s, i) => {
    const m = x(s.now) < left ? null : mean(i);
    if (m === null) { pen = "M"; return; }
    trend += `${pen}${x(s.now).toFixed(1)},${y(m).toFixed(1)}`;
    pen = "L";
  });
  $("trend").setAttribute("d", trend);

  $("marks").replaceChildren(...samples.filter(s => s.reset && x(s.now) >= left).flatMap(s => [
    svg("line", { x1: x(s.now), x2: x(s.now), y1: top, y2: bottom }),
    svg("text", { x: x(s.now), y: top - 5, "text-anchor": x(s.now) > right - 16 ? "end" : "middle" }, "reset"),
  ]));
  point();
}

function label(state) {
  const end = samples.length - 1, last = samples[end], m = mean(end);
  const sampled = Math.round(last.now - samples[windowBegin(end)].now);
  $("speed").textContent = last.reset ? "counter was reset" : last.rate === null ? "measuring …" : `~${last.rate.toFixed(1)} hashes/second`;
  $("mean-of").textContent = sampled > 0 ? `mean of ${sampled} s` : "mean";
  $("mean").textContent = m === null ? "–" : `${m.toFixed(2)}/s`;
  $("hashes").textContent = Number(state.hashes ?? 0).toLocaleString("en");
  $("coins").textContent = state.coins.toLocaleString("en");
}

// The readout follows the pointer, or the arrow keys.
let picked = null; // index from the end of samples

function point() {
  const shown = picked !== null && samples.length > 0;
  $("cursor").setAttribute("visibility", shown ? "visible" : "hidden");
  $("readout").hidden = !shown;
  if (!shown) return;
  const s = samples[Math.max(0, samples.length - 1 - picked)], px = scale.x(s.now);
  for (const [k, v] of Object.entries({ x1: px, x2: px, y1: scale.top, y2: scale.bottom })) $("cross").setAttribute(k, v);
  $("dot").setAttribute("cx", px);
  $("dot").setAttribute("cy", scale.y(s.rate ?? 0));
  const ago = Math.round(scale.end - s.now);
  $("readout").textContent = `${ago ? `${ago} s ago` : "now"}: ${s.reset ? "reset" : s.rate === null ? "unknown" : `${s.rate.toFixed(1)} hashes/second`}`;
  const frame = $("graph").getBoundingClientRect(), figure = $("graph").parentElement.getBoundingClientRect();
  const width = $("readout").offsetWidth, at = frame.left - figure.left + px;
  $("readout").style.left = `${at + width + 20 > figure.width ? at - width - 12 : at + 12}px`;
  $("readout").style.top = `${frame.top - figure.top + scale.top + 4}px`;
}

$("graph").addEventListener("pointermove", e => {
  if (scale === null) return;
  const px = e.clientX - $("graph").getBoundingClientRect().left;
  let best = 0;
  samples.forEach((s, i) => { if (Math.abs(scale.x(s.now) - px) < Math.abs(scale.x(samples[best].now) - px)) best = i; });
  picked = samples.length - 1 - best;
  point();
});
$("graph").addEventListener("pointerleave", () => { picked = null; point(); });
$("graph").addEventListener("blur", () => { picked = null; point(); });
$("graph").addEventListener("keydown", e => {
  const move = { ArrowLeft: 1, ArrowRight: -1 }[e.key];
  if (move === undefined) return;
  e.preventDefault();
  picked = Math.min(samples.length - 1, Math.max(0, (picked ?? 0) + move));
  point();
});
new ResizeObserver(draw).observe($("graph"));

// lost says so where the numbers were: what is not known any more is not shown.
let answered = null; // ms, of this computer's clock

function lost(why) {
  const ago = answered === null ? "" : `, for ${Math.round((Date.now() - answered) / 1000)} s`;
  document.body.className = "lost";
  document.title = "lost – DockerCoins miner";
  $("status").className = "lost";
  $("status").textContent = why + ago;
  $("speed").textContent = "no data";
  for (const id of ["mean", "hashes", "coins"]) $(id).textContent = "–";
}

function live() {
  answered = Date.now();
  document.body.className = "";
  document.title = "DockerCoins miner";
  $("status").className = "live";
  $("status").textContent = "live";
}

async function sample() {
  try {
    const answer = await fetch("json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(answer.status === 503 ? "Redis does not answer" : `the server answers ${answer.status}`);
    const state = await answer.json();
    add(state);
    label(state);
    draw();
    live();
  } catch (e) {
    lost(e instanceof TypeError || e.name === "TimeoutError" ? "the server does not answer" : e.message);
  }
}

// One request at a time, at the beat of the clock: a slow answer skips beats instead of piling up requests.
let waiting = false;
async function beat() {
  if (waiting) return;
  waiting = true;
  await sample();
  waiting = false;
}
beat();
setInterval(beat, PERIOD);
