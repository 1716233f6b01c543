// What can be done to the app of a session. Each button sends one command, which becomes a step of a scenario; what became of it is read
// from the frames: it waits for its turn, it is being played, it has ended or failed.
import { clock, el } from "./chart.js";

const label = (words, field) => el("label", {}, el("span", {}, words), field);
const number = (name, value, least, most) => el("input", { type: "number", name, value, min: least, max: most, required: "" });
const options = (select, values) => {
  const before = select.value;
  select.replaceChildren(...values.map(([value, text]) => el("option", { value }, text ?? value)));
  if (values.some(([value]) => value === before)) select.value = before;
};

export class Controls {
  constructor(section, offer, headers) {
    this.offer = offer;
    this.headers = headers;
    this.section = section;
    this.asked = null; // the latest command that was taken: {step, title, service, say, at}
    this.state = null;
    this.buttons = [];
    this.busy = el("p", { class: "busy" });
    this.rows = new Map(offer.services.map(s => [s.name, this.service(s)]));
    this.loads = el("ul", { class: "going" });
    const save = el("p", { class: "actions" }), said = el("output");
    save.append(this.button("Save as a scenario", null, () => this.save(said)), this.end(said), said);
    section.replaceChildren(el("h2", {}, "Controls"), this.busy, el("div", { class: "rows" }, ...this.rows.values()),
      el("div", { class: "forms" }, this.update(), this.load(), this.fault(), this.measure()), save);
    section.hidden = false;
  }

  // button is one that says why it cannot be used, where it cannot, and keeps the focus.
  button(text, description, act) {
    const b = el("button", { type: "button", ...(description ? { "aria-label": description } : {}) }, text);
    b.addEventListener("click", act);
    return b;
  }

  // step is a button that asks for a step.
  step(text, description, command, say) {
    const b = this.button(text, description, () => this.ask(command(), say));
    this.buttons.push(b);
    return b;
  }

  with(verb) { return this.offer.services.filter(s => s.verbs.includes(verb)).map(s => [s.name]); }

  service(s) {
    const say = el("output"), count = el("b", {}, "–"), row = el("div", { class: "row", role: "group", "aria-label": s.name });
    const to = by => () => ({ verb: "scale", service: s.name, replicas: Math.max(0, this.count(s.name) + by) });
    row.append(el("span", { class: "name" }, s.name));
    if (s.verbs.includes("scale")) row.append(this.step("−", `one ${s.name} less`, to(-1), say), count, this.step("+", `one ${s.name} more`, to(1), say));
    for (const verb of ["restart", "rollback"]) {
      if (s.verbs.includes(verb)) row.append(this.step(verb === "restart" ? "Restart" : "Roll back", `${verb} ${s.name}`, () => ({ verb, service: s.name }), say));
    }
    row.append(say);
    row.count = count;
    return row;
  }

  count(name) { return this.state?.services.find(s => s.name === name)?.asked ?? 0; }

  // form is a group of fields, of which a press of its button makes a command.
  form(title, text, fields, command) {
    const say = el("output"), form = el("form", { "aria-label": title });
    const b = el("button", { type: "submit" }, text);
    this.buttons.push(b);
    form.append(el("h3", {}, title), ...fields, b, say);
    form.addEventListener("submit", e => {
      e.preventDefault();
      this.ask(command(form.elements), say);
    });
    return form;
  }

  update() {
    const service = el("select", { name: "service" }), version = el("select", { name: "version" }), setting = el("select", { name: "setting" });
    const value = el("input", { name: "value", size: "8", maxlength: "32", autocomplete: "off" }), strategy = el("select", { name: "strategy" }), hint = el("span", { class: "hint" });
    const parallelism = el("input", { type: "number", name: "parallelism", min: 0, max: this.offer.most.parallelism, value: 1 });
    options(service, this.with("update"));
    const of = () => this.offer.services.find(s => s.name === service.value);
    const about = () => { const s = of()?.settings.find(s => s.name === setting.value); hint.textContent = s ? `${s.accepted}; by default ${s.default}` : ""; };
    const fill = () => {
      options(version, [["", "as it is"], ...(of()?.versions ?? []).map(v => [v])]);
      options(setting, [["", "as they are"], ...(of()?.settings ?? []).map(s => [s.name])]);
      options(strategy, (of()?.strategies ?? []).map(s => [s]));
      about();
    };
    service.addEventListener("change", fill);
    setting.addEventListener("change", about);
    fill();
    return this.form("Update", "Update", [label("service", service), label("version", version), label("setting", setting), label("value", value), hint,
      label("strategy", strategy), label("at once", parallelism)], f => ({
      verb: "update", service: f.service.value, version: f.version.value, strategy: f.strategy.value,
      ...(f.setting.value ? { setting: f.setting.value, value: f.value.value } : {}), ...(f.strategy.value === "rolling" ? { parallelism: Number(f.parallelism.value) } : {}),
    }));
  }

  load() {
    const service = el("select", { name: "service" }), kind = el("select", { name: "verb" });
    options(service, this.with("attack"));
    options(kind, [["attack", "requests a second"], ["bench", "clients that wait for answers"]]);
    const form = this.form("Load", "Start", [label("service", service), label("number", number("amount", 20, 1, this.offer.most.rate)), label("of", kind)],
      f => ({ verb: f.verb.value, service: f.service.value, [f.verb.value === "attack" ? "rate" : "clients"]: Number(f.amount.value) }));
    this.stopped = form.querySelector("output"); // an entry of the list goes with its load
    form.append(this.loads);
    return form;
  }

  fault() {
    const kind = el("select", { name: "verb" }), service = el("select", { name: "service" });
    options(kind, [["kill", "kill"], ["pause", "pause"], ["slow", "slow"]].filter(([v]) => this.with(v).length));
    const time = label("for, in s", number("for", 5, 1, this.offer.most.for_s)), delay = label("by, in ms", number("delay", 200, 1, this.offer.most.delay_ms));
    const fill = () => {
      options(service, this.with(kind.value));
      time.hidden = kind.value === "kill";
      delay.hidden = kind.value !== "slow";
    };
    kind.addEventListener("change", fill);
    fill();
    return this.form("Fault", "Do it", [label("what", kind), label("service", service), label("replica", number("replica", 1, 1, this.offer.most.replica)), time, delay],
      f => ({ verb: f.verb.value, service: f.service.value, replica: Number(f.replica.value), ...(f.verb.value === "kill" ? {} : { for_s: Number(f.for.value) }),
        ...(f.verb.value === "slow" ? { delay_ms: Number(f.delay.value) } : {}) }));
  }

  measure() {
    return this.form("Measure", "Measure", [label("for, in s", number("for", 10, 1, this.offer.most.for_s))], f => ({ verb: "measure", for_s: Number(f.for.value) }));
  }

  // end needs a second press within five seconds.
  end(say) {
    let until = 0;
    const b = this.button("End the session", null, async () => {
      if (performance.now() > until) {
        until = performance.now() + 5000;
        b.textContent = "Press again to end it";
        setTimeout(() => { b.textContent = "End the session"; }, 5000);
        return;
      }
      const answer = await this.post("end", {});
      say.textContent = answer.ok ? "it ends; the report comes" : await answer.text();
    });
    b.className = "end";
    return b;
  }

  post(path, body) {
    return fetch(path, { method: "POST", headers: { ...this.headers(), "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  // why nothing can be asked for now; "": it can.
  why() {
    if (!this.state) return "waits for the first frame";
    const last = this.state.steps.at(-1);
    if (this.asked && !this.over()) return `waits for the end of: ${this.asked.title}`;
    if (!last || last.verb !== "wait" && last.end_s < 0) return `waits for the end of: ${last?.title ?? "the deployment"}`;
    return "";
  }

  over() { const s = this.state?.steps[this.asked.step - 1]; return s !== undefined && s.end_s >= 0; }

  async ask(command, say) {
    const why = this.sending ? "one thing after the other" : this.why();
    if (why) { say.textContent = why; return; }
    this.sending = true;
    say.className = "";
    say.textContent = "asked for";
    try {
      const answer = await this.post("step", { key: crypto.getRandomValues(new Uint32Array(4)).join("-"), ...command }), made = await answer.json();
      if (answer.ok) this.asked = { ...made, service: command.service, say };
      else { say.className = "refused"; say.textContent = made.error; }
    } catch (e) {
      say.className = "refused";
      say.textContent = `not sent: ${e.message}`;
    }
    this.sending = false;
    this.draw(this.state);
  }

  async save(say) {
    const answer = await fetch("scenario.yaml", { headers: this.headers(), cache: "no-store" });
    if (!answer.ok) { say.textContent = await answer.text(); return; }
    const url = URL.createObjectURL(await answer.blob()), a = el("a", { href: url, download: "play.yaml" });
    a.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    say.textContent = "saved; play it again with: coinbench run play.yaml";
  }

  draw(state) {
    this.state = state;
    if (!state) return;
    this.section.hidden = Boolean(state.now?.status);
    const why = this.why(), text = (e, words) => { if (e.textContent !== words) e.textContent = words; };
    text(this.busy, why || "each is a step of a scenario");
    for (const b of this.buttons) if ((b.getAttribute("aria-disabled") === "true") !== Boolean(why)) b.setAttribute("aria-disabled", String(Boolean(why)));
    for (const [name, row] of this.rows) text(row.count, String(this.count(name)));
    if (this.asked) {
      const { step, service, say, title } = this.asked, s = state.steps[step - 1], serving = state.services.find(x => x.name === service);
      say.className = s?.error ? "refused" : "";
      text(say, !s ? `${title}: it is about to begin` : s.error ? `${title}: ${s.error}` : s.end_s >= 0 ? `${title}: done at ${clock(s.end_s)}, in ${(s.end_s - s.begin_s).toFixed(1)} s`
        : `${title}: ${serving ? `${serving.serving} of ${serving.asked} serve, ` : ""}${Math.max(0, state.now.at_s - s.begin_s).toFixed(0)} s`);
      if (s && s.end_s >= 0) this.asked = null;
    }
    const going = state.loads.filter(l => !l.ended).map(l => l.name);
    if (going.join() !== this.loads.dataset.key) {
      this.loads.dataset.key = going.join();
      this.buttons = this.buttons.filter(b => !this.loads.contains(b));
      this.loads.replaceChildren(...going.map(name =>
        el("li", {}, el("span", {}, name), this.step("Stop", `stop ${name}`, () => ({ verb: "stop", load: name }), this.stopped))));
    }
  }
}
