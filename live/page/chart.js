// Charts over time, as SVG that is drawn anew with each frame. A chart is a figure with a title, a sentence, a cursor that the pointer or
// the arrow keys move, and its numbers as a table. Text comes in by textContent alone.

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, text) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  return e;
}

export function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children.map(c => c instanceof Node ? c : document.createTextNode(String(c))));
  return e;
}

// ceiling is the least 1, 2, 2.5 or 5 times a power of ten that is no less than x.
export function ceiling(x) {
  if (!(x > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 2.5, 5, 10].map(m => m * power).find(c => c >= x * (1 - 1e-9));
}

export const clock = s => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

// path draws values over time, and breaks where one is not known or a second is missing.
export function path(points, value, x, y) {
  let d = "", before = null;
  for (const p of points) {
    const v = value(p);
    if (v === undefined || v === null) { before = null; continue; }
    d += `${before !== null && p.t - before < 1e-9 ? "L" : "M"}${x(p.t + p.w / 2).toFixed(1)},${y(v).toFixed(1)}`;
    if (before === null || p.t - before > 1e-9) d += "h.01"; // a single point is seen
    before = p.t + p.w;
  }
  return d;
}

const MARGIN = { top: 20, right: 20, bottom: 24, left: 64 };
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];

// A chart is made from {title, unit, format(v), lines(state) → [{label, color, dash, value(p), low(p), high(p)}], least, segments(state)}.
export class Chart {
  constructor(options, cursor) {
    this.options = options;
    this.cursor = cursor;
    this.summary = el("p", { class: "cap" });
    this.legend = el("ul", { class: "legend" });
    this.area = svg("svg", { class: "chart", role: "img", tabindex: "0" });
    this.layers = Object.fromEntries(["bands", "grid", "lines", "cross"].map(n => [n, svg("g", { class: n })]));
    this.area.append(...Object.values(this.layers));
    this.tip = el("output", { class: "tip" });
    this.table = el("table");
    this.details = el("details", {}, el("summary", {}, "as a table"), el("div", { class: "scroll" }, this.table));
    this.details.addEventListener("toggle", () => this.tabulate());
    this.figure = el("figure", {}, el("figcaption", {}, el("h3", {}, options.title), this.summary), this.legend, this.area, this.tip, this.details);
    this.area.addEventListener("pointermove", e => this.cursor.move(this.timeAt(e.clientX)));
    this.area.addEventListener("pointerleave", () => this.cursor.move(null));
    this.area.addEventListener("blur", () => this.cursor.move(null));
    this.area.addEventListener("keydown", e => this.cursor.key(e));
    let pressed = null;
    this.area.addEventListener("pointerdown", e => { pressed = e.clientX; });
    this.area.addEventListener("pointerup", e => {
      if (pressed !== null && Math.abs(e.clientX - pressed) > 8) this.cursor.select(this.timeAt(pressed), this.timeAt(e.clientX));
      pressed = null;
    });
    new ResizeObserver(() => this.draw()).observe(this.area);
  }

  timeAt(clientX) {
    const box = this.area.getBoundingClientRect(), right = box.width - MARGIN.right;
    const share = (clientX - box.left - MARGIN.left) / (right - MARGIN.left);
    return this.view.from + Math.min(1, Math.max(0, share)) * (this.view.to - this.view.from);
  }

  update(state, view) {
    this.state = state;
    this.view = view;
    this.draw();
    if (this.details.open) this.tabulate();
  }

  // frame draws what all charts have: the axis of time, and bands over what went on.
  frame(height) {
    const width = this.area.clientWidth, { from, to } = this.view;
    this.area.setAttribute("height", height);
    const left = MARGIN.left, right = Math.max(left + 10, width - MARGIN.right), top = MARGIN.top, bottom = height - MARGIN.bottom;
    const x = t => left + (t - from) / (to - from) * (right - left);
    const inside = t => Math.min(right, Math.max(left, x(t)));
    const bands = [];
    const band = (b, type, label) => {
      const end = b.end_s < 0 ? this.state.now.at_s : b.end_s;
      if (end < from || b.begin_s > to) return;
      bands.push(svg("rect", { class: `band ${type}`, x: inside(b.begin_s), width: Math.max(1, inside(end) - inside(b.begin_s)), y: top, height: bottom - top }));
      if (label && inside(end) - inside(b.begin_s) > 7 * label.length) bands.push(svg("text", { class: `bandlabel ${type}`, x: inside(b.begin_s) + 4, y: top - 6 }, label));
    };
    for (const w of this.state.windows) band(w, "window", w.title);
    for (const f of this.state.faults) band(f, "fault", f.title);
    for (const m of this.state.events) {
      if (m.at_s >= from && m.at_s <= to && /^(service\.scaled|task\.killed|node\.)/.test(m.kind)) {
        bands.push(svg("line", { class: "mark", x1: x(m.at_s), x2: x(m.at_s), y1: top, y2: bottom }));
      }
    }
    const step = SECONDS.find(s => (right - left) / ((to - from) / s) >= 64) ?? 86400, grid = [];
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      grid.push(svg("line", { x1: x(t), x2: x(t), y1: bottom, y2: bottom + 4 }));
      grid.push(svg("text", { x: x(t), y: bottom + 17, "text-anchor": "middle" }, clock(t)));
    }
    this.layers.bands.replaceChildren(...bands);
    this.geometry = { x, left, right, top, bottom };
    return { x, left, right, top, bottom, grid };
  }

  visible() {
    return this.state.points.filter(p => p.t + p.w >= this.view.from && p.t <= this.view.to);
  }

  draw() {
    if (!this.state) return;
    const lines = this.options.lines(this.state);
    this.figure.hidden = !this.state.points.some(p => lines.some(l => l.value(p)));
    if (this.area.clientWidth === 0) return;
    const { x, left, right, top, bottom, grid } = this.frame(this.options.height ?? 190);
    const points = this.visible(), segments = this.options.segments?.(this.state) ?? [];
    let most = this.options.least ?? 0;
    for (const l of lines) for (const p of points) most = Math.max(most, l.high?.(p) ?? 0, l.value(p) ?? 0);
    for (const s of segments) if (s.end >= this.view.from && s.begin <= this.view.to) most = Math.max(most, s.value);
    const ticks = 4, tick = this.options.most ? this.options.most / ticks : ceiling(most * 1.04 / ticks), y = v => bottom - Math.min(v, tick * ticks) / (tick * ticks) * (bottom - top);
    for (let i = 0; i <= ticks; i++) {
      grid.push(svg("line", { class: "rule", x1: left, x2: right, y1: y(i * tick), y2: y(i * tick) }));
      grid.push(svg("text", { x: left - 8, y: y(i * tick) + 4, "text-anchor": "end" }, this.options.format(i * tick)));
    }
    const drawn = [];
    for (const l of lines) {
      if (l.low) {
        let area = "";
        for (const p of points) {
          const low = l.low(p), high = l.high(p);
          if (low !== undefined && high !== undefined && p.w > 1) area += `M${x(p.t)},${y(low)}V${y(high)}H${x(p.t + p.w)}V${y(low)}Z`;
        }
        drawn.push(svg("path", { class: `range ${l.color}`, d: area }));
      }
      drawn.push(svg("path", { class: `line ${l.color} ${l.dash ?? ""}`, d: path(points, l.value, x, y) }));
    }
    const clamp = t => Math.min(right, Math.max(left, x(t)));
    for (const s of segments) {
      if (s.end >= this.view.from && s.begin <= this.view.to) {
        drawn.push(svg("line", { class: `segment ${s.type}`, x1: clamp(s.begin), x2: clamp(s.end), y1: y(s.value), y2: y(s.value) }));
      }
    }
    this.layers.grid.replaceChildren(...grid);
    this.layers.lines.replaceChildren(...drawn);
    const keys = [...lines, ...(this.options.keys?.(this.state) ?? [])];
    const names = keys.map(l => `${l.label}|${l.color}|${l.dash}`).join("\n");
    if (names !== this.names) {
      this.names = names;
      this.legend.replaceChildren(...keys.map(l => {
        const key = svg("svg", { class: "key", viewBox: "0 0 26 14", "aria-hidden": "true" });
        key.append(svg("path", { class: `line ${l.color} ${l.dash ?? ""}`, d: "M0 7H26" }));
        return el("li", {}, key, l.label);
      }));
    }
    const last = points.findLast(p => lines.some(l => l.value(p) !== undefined));
    const text = last ? lines.filter(l => l.value(last) !== undefined).map(l => `${l.label} ${this.options.format(l.value(last))}`).join(", ") : "nothing yet";
    this.summary.textContent = this.options.unit;
    this.area.setAttribute("aria-label", `${this.options.title}, ${this.options.unit}, from ${clock(this.view.from)} to ${clock(this.view.to)}. Latest: ${text}. Arrow keys read single points.`);
    this.point();
  }

  // point shows the cursor, which all charts share.
  point() {
    const at = this.cursor.at;
    if (at === null || !this.geometry || at < this.view.from || at > this.view.to) {
      this.layers.cross.replaceChildren();
      this.tip.textContent = "";
      return;
    }
    const { x, top, bottom } = this.geometry;
    this.layers.cross.replaceChildren(svg("line", { class: "cursor", x1: x(at), x2: x(at), y1: top, y2: bottom }));
    this.tip.textContent = this.read(at);
  }

  read(at) {
    const p = this.state.points.find(p => p.t <= at && at < p.t + p.w);
    const when = `${clock(at)} (${new Date(Date.parse(this.state.run.start) + at * 1000).toISOString().slice(11, 19)} UTC)`;
    const values = p ? this.options.lines(this.state).filter(l => l.value(p) !== undefined).map(l => `${l.label} ${this.options.format(l.value(p))}`) : [];
    return `${when}: ${values.join(" · ") || "nothing known"}`;
  }

  // tabulate shows at most sixty rows of what is in view, and only where somebody looks.
  tabulate() {
    if (!this.details.open || !this.state) return;
    const points = this.visible(), lines = this.options.lines(this.state), each = Math.ceil(points.length / 60);
    const rows = points.filter((_, i) => i % each === 0).map(p => el("tr", {}, el("th", { scope: "row" }, clock(p.t)),
      ...lines.map(l => el("td", { class: "n" }, l.value(p) === undefined ? "–" : this.options.format(l.value(p))))));
    this.table.replaceChildren(el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "time"), ...lines.map(l => el("th", { scope: "col", class: "n" }, l.label)))), el("tbody", {}, ...rows));
  }
}

// Lanes are the lives of replicas: one bar each, from its start to its end, full while it serves; the pattern of its edge tells the version.
export class Lanes extends Chart {
  draw() {
    if (!this.state || this.area.clientWidth === 0) return;
    const now = this.state.now.at_s, lanes = this.state.lanes.filter(l => (l.gone_s ?? now) >= this.view.from && (l.started_s ?? l.pulled_s ?? 0) <= this.view.to);
    const slots = new Map(); // of a slot's name: its tasks
    for (const l of lanes) {
      const slot = l.task.split("#")[0];
      slots.set(slot, [...(slots.get(slot) ?? []), l]);
    }
    const shown = [...slots].slice(0, 60), thick = 14;
    const { x, left, right, top, grid, bottom } = this.frame(MARGIN.top + MARGIN.bottom + Math.max(1, shown.length) * thick);
    const versions = [...new Set(this.state.lanes.map(l => l.version ?? ""))];
    const clamp = t => Math.min(right, Math.max(left, x(t)));
    const drawn = [], gone = l => l.gone_s ?? now, begun = l => l.started_s ?? l.pulled_s ?? 0;
    shown.forEach(([slot, tasks], row) => {
      const together = tasks.some((l, i) => i > 0 && begun(l) < gone(tasks[i - 1])); // two at a time share the row
      const y = top + row * thick;
      grid.push(svg("text", { class: "lane-name", x: left - 6, y: y + 10.5, "text-anchor": "end" }, slot.length > 10 ? slot.slice(0, 9) + "…" : slot));
      tasks.forEach((l, i) => {
        const high = together ? (thick - 4) / 2 : thick - 4, under = together && i % 2 ? high : 0;
        const bar = (from, to, type) => {
          if (from === undefined || to < this.view.from || from > this.view.to) return;
          const r = svg("rect", { class: type, x: clamp(from), width: Math.max(1.5, clamp(to) - clamp(from)), y: y + 2 + under, height: high, rx: 2 });
          r.append(svg("title", {}, `${l.task} ${l.version ?? ""}`));
          drawn.push(r);
        };
        const color = `c${versions.indexOf(l.version ?? "") % 6}`;
        bar(l.started_s ?? l.pulled_s, gone(l), `life ${color}`);
        if (l.joined_s !== undefined) bar(l.joined_s, Math.min(l.left_s ?? Infinity, l.killed_s ?? Infinity, gone(l)), `serving ${color}`);
        if (l.killed_s !== undefined || l.error) {
          const at = l.killed_s ?? l.gone_s;
          if (at >= this.view.from && at <= this.view.to) drawn.push(svg("path", { class: "dead", d: `M${x(at) - 4},${y + 3}l8,8m0,-8l-8,8` }));
        }
      });
    });
    this.layers.grid.replaceChildren(...grid);
    this.layers.lines.replaceChildren(...drawn);
    const names = versions.join("\n");
    if (names !== this.names) {
      this.names = names;
      this.legend.replaceChildren(...versions.map((v, i) => {
        const key = svg("svg", { class: "key", viewBox: "0 0 26 14", "aria-hidden": "true" });
        key.append(svg("rect", { class: `serving c${i % 6}`, x: 0, y: 2, width: 26, height: 10, rx: 2 }));
        return el("li", {}, key, v || "no version");
      }), el("li", {}, "pale: alive, not in rotation"), el("li", {}, "×: killed, or gone by itself"));
    }
    const more = slots.size - shown.length + (this.state.left_out?.lanes ?? 0);
    this.summary.textContent = this.options.unit + (more > 0 ? `; ${more} more have no room` : "");
    const serving = this.state.services.map(s => `${s.name} ${s.serving} of ${s.asked}`).join(", ");
    this.area.setAttribute("aria-label", `${this.options.title}. Serving now: ${serving || "none"}. Arrow keys read single instants.`);
    this.point();
  }

  read(at) {
    const serving = {};
    for (const l of this.state.lanes) {
      const until = Math.min(l.left_s ?? Infinity, l.killed_s ?? Infinity, l.gone_s ?? Infinity);
      if (l.joined_s !== undefined && l.joined_s <= at && at < until) {
        const key = `${l.service}${l.version ? " " + l.version : ""}`;
        serving[key] = (serving[key] ?? 0) + 1;
      }
    }
    return `${clock(at)}: ${Object.entries(serving).map(([k, n]) => `${n} × ${k}`).join(" · ") || "none serves"}`;
  }

  tabulate() {
    if (!this.details.open || !this.state) return;
    const at = v => v === undefined ? "–" : clock(v);
    this.table.replaceChildren(el("thead", {}, el("tr", {}, ...["replica", "version", "started", "healthy", "in rotation", "out of it", "gone", "why"].map(h => el("th", { scope: "col" }, h)))),
      el("tbody", {}, ...this.state.lanes.map(l => el("tr", {}, el("th", { scope: "row" }, l.task), ...[l.version ?? "", at(l.started_s), at(l.healthy_s), at(l.joined_s), at(l.left_s), at(l.gone_s), l.error ?? ""].map(v => el("td", {}, v))))));
  }
}
