// The page of a run: frames come in over one stream, each says what has changed, and everything is drawn from the state that they add up to.
import { Chart, Lanes, clock, el } from "./chart.js";
import { Controls } from "./controls.js";

const $ = id => document.getElementById(id);
const PARTS = ["run", "now", "steps", "windows", "faults", "events", "replicas", "services", "lanes", "loads", "judged", "left_out"];

// state is the latest of every part; points are in the order of time.
const state = { id: "", points: [], steps: [], windows: [], faults: [], events: [], replicas: [], services: [], lanes: [], loads: [], judged: null, left_out: {} };
let shown = null;   // what is drawn: state, or what it was when the page was paused
let received = null, ended = false;

function apply(frame) {
  state.id = frame.id;
  for (const part of PARTS) if (part in frame) state[part] = frame[part] ?? (part === "judged" ? null : []);
  state.silent_s = frame.silent_s ?? 0;
  let keep = state.points.length;
  while (keep > 0 && state.points[keep - 1].t >= frame.points.from) keep--;
  state.points = state.points.slice(0, keep).concat(frame.points.list ?? []);
  received = performance.now();
}

// ---------------------------------------------------------------- what the charts show

const view = { follow: true, span: 0, from: 0, to: 60 }; // span 0: everything
const cursor = {
  at: null,
  move(t) { this.at = t; for (const c of charts) c.point(); },
  key(e) {
    const first = view.from, last = Math.min(view.to, shown.now.at_s);
    const to = { ArrowRight: (this.at ?? first) + 1, ArrowLeft: (this.at ?? last) - 1, Home: first, End: last, Escape: null }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    this.move(to === null ? null : Math.min(last, Math.max(first, to)));
  },
  select(a, b) { if (Math.abs(a - b) >= 2) pin(Math.min(a, b), Math.max(a, b)); },
};

function pin(from, to) {
  view.follow = false;
  [view.from, view.to] = [Math.max(0, from), Math.max(from + 2, to)];
  draw();
}

function follow(span) {
  view.follow = true;
  view.span = span;
  draw();
}

function zoom(factor) {
  const middle = (view.from + view.to) / 2, half = Math.max(1, (view.to - view.from) / 2 * factor);
  pin(middle - half, middle + half);
}

function button(text, label, act) {
  const b = el("button", { type: "button", "aria-label": label }, text);
  b.addEventListener("click", act);
  return b;
}

const pause = button("Pause", "pause all changes of this page", () => {
  shown = shown === state ? structuredClone(state) : state;
  pause.textContent = shown === state ? "Pause" : "Go on";
  pause.setAttribute("aria-pressed", String(shown !== state));
  draw();
});
const rate = el("select", { "aria-label": "how often the page changes" }, ...[[1, "each second"], [5, "every 5 s"], [15, "every 15 s"]].map(([v, t]) => el("option", { value: v }, t)));
const spans = [[0, "All"], [300, "5 min"], [60, "1 min"]].map(([span, text]) => {
  const b = button(text, span ? `follow the last ${text}` : "follow the whole run", () => follow(span));
  b.dataset.span = span;
  return b;
});
$("view").append(pause, rate, ...spans, button("◀", "earlier", () => pin(view.from - (view.to - view.from) / 2, view.to - (view.to - view.from) / 2)),
  button("▶", "later", () => pin(view.from + (view.to - view.from) / 2, view.to + (view.to - view.from) / 2)),
  button("+", "show a shorter time", () => zoom(.5)), button("−", "show a longer time", () => zoom(2)), el("span", { id: "range" }));

// ---------------------------------------------------------------- the charts

const figures = v => Math.abs(v) >= 100 ? v.toFixed(0) : +v.toPrecision(3) + "";
const seconds = v => v === undefined || v === null ? "–" : v >= 1 ? `${+v.toPrecision(3)} s` : v >= 1e-3 || v === 0 ? `${+(v * 1e3).toPrecision(3)} ms` : `${+(v * 1e6).toPrecision(3)} µs`;
const percent = v => `${Math.round(v * 100)} %`;
const color = (name, all) => `c${Math.max(0, all.indexOf(name)) % 6}`;
const targets = s => [...new Set(s.loads.map(l => l.service))];

const charts = [
  new Chart({
    title: "Work", unit: "completed a second; shaded: measured with its 95 % interval, and the bound", format: figures, least: 5,
    lines: s => [{ label: s.run?.unit ?? "units", color: "c0", value: p => p.rate, low: p => p.least, high: p => p.most },
      { label: "as the app's page shows", color: "c5", dash: "thin", value: p => p.stored }],
    segments: s => (s.judged?.windows ?? []).flatMap(w => [
      ...(w.per_s === undefined ? [] : [{ type: "measured", begin: w.begin_s, end: w.end_s, value: w.per_s }]),
      ...(w.bound_per_s === undefined ? [] : [{ type: "bound", begin: w.begin_s, end: w.end_s, value: w.bound_per_s }])]),
    keys: s => s.judged?.windows?.length ? [{ label: "measured", color: "c2", dash: "thick" }, { label: "bound", color: "c1", dash: "dashed" }] : [],
  }, cursor),
  new Chart({
    title: "Response time", unit: "of requests that succeeded, by the service that was asked", format: seconds,
    lines: s => targets(s).flatMap(t => [{ label: `${t} p99`, color: color(t, targets(s)), value: p => p.traffic?.[t]?.p99_s },
      { label: `${t} p50`, color: color(t, targets(s)), dash: "dashed", value: p => p.traffic?.[t]?.p50_s }])
      .concat(targets(s).length ? [{ label: "lag of the generator p99", color: "c5", dash: "thin", value: p => p.lag_s }] : []),
  }, cursor),
  new Chart({
    title: "Requests", unit: "a second", format: figures,
    lines: s => targets(s).flatMap(t => [{ label: `${t} ok`, color: color(t, targets(s)), value: p => p.traffic?.[t] && p.traffic[t].ok / p.w },
      { label: `${t} failed`, color: "bad", dash: "dashed", value: p => p.traffic?.[t] && p.traffic[t].failed / p.w }]),
  }, cursor),
  new Chart({
    title: "Utilisation", unit: "occupied share of the slots", format: percent, most: 1, height: 150,
    lines: s => (s.run?.stations ?? []).map((n, i) => ({ label: n, color: `c${i + 1}`, value: p => p.use?.[n]?.busy })),
  }, cursor),
  new Chart({
    title: "Queues", unit: "requests that wait", format: figures, height: 130,
    lines: s => (s.run?.stations ?? []).map((n, i) => ({ label: n, color: `c${i + 1}`, value: p => p.use?.[n]?.queue })),
  }, cursor),
  new Lanes({ title: "Replicas", unit: "from start to end; full while in rotation" }, cursor),
];
$("charts").append(...charts.map(c => c.figure));

// ---------------------------------------------------------------- drawing

const text = (id, value) => { const e = $(id); if (e.textContent !== value) e.textContent = value; };

function table(id, heads, rows) {
  const key = JSON.stringify(rows);
  const t = $(id);
  if (t.dataset.key === key) return;
  t.dataset.key = key;
  t.closest("section").hidden = rows.length === 0;
  t.replaceChildren(el("thead", {}, el("tr", {}, ...heads.map(h => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...rows.map(r => el("tr", {}, el("th", { scope: "row" }, r[0]), ...r.slice(1).map(c => el("td", {}, c))))));
}

const interval = w => w.per_s === undefined ? "–" : w.low === undefined || figures(w.low) === figures(w.high) ? figures(w.per_s) : `${figures(w.per_s)} (${figures(w.low)} to ${figures(w.high)})`;

function draw() {
  const s = shown;
  if (!s || !s.now) return;
  if (view.follow) {
    const end = Math.max(60, s.now.at_s);
    [view.from, view.to] = view.span && end > view.span ? [end - view.span, end] : [0, Math.max(view.span || 60, end)];
  }
  for (const b of spans) b.setAttribute("aria-pressed", String(view.follow && Number(b.dataset.span) === view.span));
  text("range", `${clock(view.from)} to ${clock(view.to)}${view.follow ? "" : ", held"}`);
  for (const c of charts) c.update(s, view);

  text("scenario", s.run.scenario);
  text("where", `on ${s.run.cluster}${s.run.simulated ? ", simulated" : ""}, since ${s.run.start.slice(0, 19).replace("T", " ")} UTC`);
  const j = s.judged, final = j?.final === true;
  const so = (j?.objectives ?? []).reduce((n, o) => { n[o.result] = (n[o.result] ?? 0) + 1; return n; }, {});
  const badge = final ? j.outcome : j?.invalid?.length ? "INVALID" : "RUNNING";
  text("badge", badge);
  $("badge").className = `badge ${badge}`;
  text("why", final ? j.why : `${clock(s.now.at_s)}: ${s.now.title ?? (s.now.status ? "ended" : "between steps")}`);
  text("headline", j?.headline ?? "");
  const doubts = [...(j?.invalid ?? []), ...(j?.doubts ?? [])];
  if (doubts.join() !== $("doubts").dataset.key) {
    $("doubts").dataset.key = doubts.join();
    $("doubts").replaceChildren(...doubts.map(d => el("li", {}, d)));
  }
  const all = Math.max(s.run.steps, s.steps.length); // of a session nobody knows how many come
  text("step", s.now.step ? `step ${s.now.step}${s.run.steps ? ` of ${s.run.steps}` : ""}: ${s.now.title}` : s.now.status ? `${all} steps` : "before the first step");
  const steps = s.steps.map(b => `${b.title}|${b.end_s < 0 ? "on" : b.error ? "failed" : "over"}`).concat(Array(Math.max(0, s.run.steps - s.steps.length)).fill("|"));
  if (steps.join("\n") !== $("steps").dataset.key) {
    $("steps").dataset.key = steps.join("\n");
    $("steps").replaceChildren(...steps.map((t, i) => { const cut = t.lastIndexOf("|"), li = el("li", { class: t.slice(cut + 1) || "next", title: t.slice(0, cut) || `step ${i + 1}` }); return li; }));
  }
  const open = (j?.windows ?? []).findLast(w => w.limit), busiest = s.services.filter(x => x.busy !== undefined).sort((a, b) => b.busy - a.busy)[0];
  tiles([[s.run.unit + "/s", s.now.rate === undefined ? "–" : figures(s.now.rate), s.now.stored === undefined ? "" : `the app's page: ${figures(s.now.stored)}`],
    ["limited by", open?.limit?.replaceAll("+", " and ") ?? "–", open ? `in ${open.name}: ${interval(open)}` : "told of each measurement"],
    ["response p50 / p99", s.now.p99_s === undefined ? "–" : `${seconds(s.now.p50_s)} / ${seconds(s.now.p99_s)}`, s.now.ok_per_s === undefined ? "no load now" : `${figures(s.now.ok_per_s)} ok/s`],
    ["failed", String(s.now.failed), s.now.backing_off ? `${s.now.backing_off} ${s.run.driver} wait after an error` : "requests, of the run"],
    ["fullest", busiest ? `${busiest.name} ${percent(busiest.busy)}` : "–", busiest ? `${figures(busiest.queue ?? 0)} waiting` : ""],
    ["objectives", j?.objectives?.length ? `${so.pass ?? 0} hold` : "–",
      j?.objectives?.length ? `${so.fail ?? 0} fail, ${so.unknown ?? 0} not known${final ? "" : " yet"}` : s.run.objectives?.length ? "" : "none are set"]]);
  table("windows", ["window", `${s.run.unit}/s`, "bound", "limited by", "because", "try"], (j?.windows ?? []).map(w => [w.name + (w.complete ? "" : final ? " (cut off)" : " (going on)"),
    interval(w), w.bound_per_s === undefined ? "–" : figures(w.bound_per_s), w.limit?.replaceAll("+", " and ") ?? "–", w.evidence ?? "", final ? w.try ?? "" : ""]));
  table("objectives", ["objective", "so far", "because"], j ? (j.objectives ?? []).map(o => [o.text, ...(o.result === "unknown" && !final ? ["not yet", ""] : [o.result, o.reason])]) : (s.run.objectives ?? []).map(o => [o, "not yet", ""]));
  table("loads", ["load", "due", "ok", "failed", "p50", "p99", "lag p99"], s.loads.map(l => [l.name + (l.ended ? "" : final ? " (cut off)" : " (going on)"), l.due, l.ok,
    l.failed ? `${l.failed} (${Object.entries(l.failures ?? {}).map(([c, n]) => `${c} ${n}`).join(", ")})` : 0, seconds(l.p50_s), seconds(l.p99_s), seconds(l.lag_s)]));
  table("services", ["service", "serving", "versions", "utilisation", "waiting", "share of each replica"], s.services.map(x => [x.name, `${x.serving} of ${x.asked}`,
    Object.entries(x.versions ?? {}).map(([v, n]) => `${n} × ${v || "no version"}`).join(", "), x.busy === undefined ? "–" : percent(x.busy), x.queue === undefined ? "–" : figures(x.queue),
    (x.shares ?? []).map(r => `${r.task} ${percent(r.share)}`).join(", ")]));
  const key = `${s.events.length} ${s.events.at(-1)?.at_s} ${s.left_out?.events}`;
  if ($("events").dataset.key !== key) {
    $("events").dataset.key = key;
    $("events").replaceChildren(...s.events.slice(-100).reverse().map(m => el("li", {}, el("time", {}, clock(m.at_s)), " ", m.text)));
  }
  controls?.draw(s);
  announce(s);
}

function tiles(all) {
  const box = $("tiles");
  if (box.children.length !== all.length) box.replaceChildren(...all.map(() => el("div", {}, el("dt"), el("dd"), el("dd", { class: "sub" }))));
  all.forEach((t, i) => t.forEach((v, k) => { const e = box.children[i].children[k]; if (e.textContent !== v) e.textContent = v; }));
}

// announce says what has changed to who does not see it: the verdict, the step, rollouts and faults; no numbers, and no more than once in 5 s.
let told = 0, said = "";
function announce(s) {
  const fault = s.faults.findLast(f => f.end_s < 0);
  const now = s.judged?.final ? `${s.judged.outcome}: ${s.judged.why}` : `${s.now.title ?? ""}${fault ? `; ${fault.title}` : ""}`;
  if (now === said || performance.now() - told < 5000 && told) return;
  said = now;
  told = performance.now();
  $("said").textContent = now;
}

let drawn = -Infinity, fresh = false; // when the page was drawn, and whether there is something newer
function refresh() {
  if (shown === null) shown = state;
  if (!fresh || shown !== state || performance.now() - drawn < Number(rate.value) * 1000 - 200 && !ended) return;
  drawn = performance.now();
  fresh = false;
  draw();
}

// ---------------------------------------------------------------- the stream

if (location.hash.length > 1) {
  sessionStorage.setItem("coinbench", location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
}
const token = sessionStorage.getItem("coinbench");
const headers = () => ({ ...(token ? { "X-Coinbench-Token": token } : {}), ...(state.id ? { "Last-Event-ID": state.id } : {}) });

function link(words, type) {
  text("link", words);
  $("link").className = `link ${type}`;
  document.title = `${type === "live" ? "" : type === "over" ? "ended – " : "lost – "}${state.run?.scenario ?? "coinbench"}`;
}

function status() {
  if (!received) return;
  if (ended) return link("the run has ended: coinbench watch shows it again", "over");
  const age = Math.round((performance.now() - received) / 1000);
  if (!connected) return link(`connection lost, data ${age} s old`, "lost");
  if (state.silent_s > 2 && !state.now?.status) return link(`nothing recorded for ${state.silent_s + age} s`, "lost");
  link(state.now?.status ? "the run has ended" : "live", state.now?.status ? "over" : "live");
}
setInterval(() => { status(); refresh(); }, 1000);

let controls = null; // of a session, for who has its key
let abort = null, connected = false;
async function listen() {
  abort = new AbortController();
  try {
    const answer = await fetch("stream", { headers: headers(), cache: "no-store", signal: abort.signal });
    if (!answer.ok) throw new Error(await answer.text());
    connected = true;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
        const lines = rest.slice(0, end).split("\n"), data = lines.find(l => l.startsWith("data: "));
        if (lines.includes("event: end")) ended = true;
        if (lines.includes("event: controls")) controls ??= new Controls($("controls"), JSON.parse(data.slice(6)), headers);
        if (lines.includes("event: frame")) { apply(JSON.parse(data.slice(6))); fresh = true; }
        refresh();
        status();
      }
    }
  } catch (e) {
    if (e.name !== "AbortError" && !received) link(e instanceof TypeError ? "the server does not answer" : e.message, "lost");
  }
  connected = false;
}

// A page that is not seen gives its connection back after 30 s, of which a browser has six to a server, and catches up when it is shown.
let hidden = null;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.hidden) hidden = setTimeout(() => abort?.abort(), 30_000);
  else wake?.();
});
let wake = null;
async function run() {
  while (!ended) {
    await listen();
    status();
    await new Promise(resolve => { wake = resolve; if (!document.hidden) setTimeout(resolve, 1000); });
  }
}
run();

export { state, view };
