// The page of the labs: it shows what the server says of one lab, or of all, and sends the step that the learner takes.
import { el } from "./chart.js";

const $ = id => document.getElementById(id);
const lab = new URLSearchParams(location.search).get("lab");
if (location.hash.length > 1) {
  sessionStorage.setItem("coinbench", location.hash.slice(1)); // the live page finds it there too
  history.replaceState(null, "", location.pathname + location.search);
}
const headers = { "X-Coinbench-Token": sessionStorage.getItem("coinbench") ?? "", "Content-Type": "application/json" };

// node makes an element of what the server sent: a text, or a name and what it holds.
const NAMES = ["p", "em", "strong", "code", "pre", "ul", "ol", "li", "h2", "h4", "table", "thead", "tbody", "tr", "th", "td"];
const node = n => typeof n === "string" ? n : el(NAMES.includes(n[0]) ? n[0] : "span", {}, ...n.slice(1).map(node));

function link(words, type) {
  $("link").textContent = words;
  $("link").className = `link ${type}`;
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { headers, cache: "no-store", ...options });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.status === 204 ? null : answer.json();
}

let busy = false;
async function take(step) {
  if (busy) return;
  busy = true;
  for (const b of document.querySelectorAll("#steps button")) b.disabled = true;
  $("fault").textContent = "";
  try {
    await ask("step", { method: "POST", body: JSON.stringify({ lab, ...step }) });
  } catch (e) {
    $("fault").textContent = e.message;
  }
  busy = false;
  for (const b of document.querySelectorAll("#steps button")) b.disabled = false;
  await look();
}

// ---------------------------------------------------------------- the steps

const field = (label, input) => el("label", {}, label, input);
const choose = (name, pairs) => el("select", { name }, ...pairs.map(([value, text]) => el("option", { value }, text)));

function button(text, act, type = "button") {
  const b = el("button", { type }, text);
  if (type === "submit") b.className = "main";
  else b.addEventListener("click", act);
  return b;
}

function form(words, fields, label, act, ...others) {
  const f = el("form", {}, ...words.map(w => el("p", {}, w)), ...fields, button(label, null, "submit"), ...others);
  f.addEventListener("submit", e => { e.preventDefault(); act(new FormData(f)); });
  return f;
}

const number = () => el("input", { name: "number", inputmode: "decimal", autocomplete: "off", required: "" });
const places = { local: "on this machine", sim: "in virtual time, in a blink", swarm: "on the Swarm" };

function steps(v) {
  const again = button("A new attempt", () => take({ verb: "reset" }));
  const hint = v.hints ? [button("Hint", () => take({ verb: "hint" }))] : [];
  if (v.running) return [el("p", {}, "The run is under way.")];
  switch (v.phase) {
    case "predict": {
      const sure = choose("confidence", [[50, "50 %"], [75, "75 %"], [95, "95 %"]]);
      sure.value = "75";
      return [form(["Predict before anything runs. It is sealed when the run begins."], [field(`Your prediction, ${v.unit}`, number()), field("How sure are you?", sure)], "Predict",
        d => take({ verb: "predict", number: d.get("number"), confidence: +d.get("confidence") }),
        button("Without a prediction", () => take({ verb: "predict", confidence: 75 })), ...hint)];
    }
    case "run":
      return [form([`Your prediction: ${v.sealed}. Now measure it.`], [field("Where", choose("cluster", v.clusters.map(c => [c, places[c] ?? c])))], "Run",
        d => take({ verb: "run", cluster: d.get("cluster") }), again)];
    case "check": {
      const fields = [field(`What did you read, ${v.unit}`, number())];
      if (v.ask) fields.push(field(v.ask, choose("evidence", v.choices.map(c => [c, c]))));
      return [form([`Your prediction: ${v.sealed}. Read the number off the report, then have the prediction judged.`], fields, "Check",
        d => take({ verb: "check", number: d.get("number"), evidence: d.get("evidence") ?? "" }), ...hint, again)];
    }
  }
  const rest = [again];
  if (v.next) rest.push(el("p", {}, "Next: ", to(v.next)));
  return [el("p", {}, "This lab is done."), ...rest];
}

const to = l => el("a", { href: `?lab=${encodeURIComponent(l.name)}` }, l.title);

// ---------------------------------------------------------------- what is shown

let known = "", shown = "";
function show(v) {
  const first = known === "";
  known = v.version;
  document.title = `${v.title} – coinbench`;
  $("title").textContent = v.title;
  $("text").lang = v.language;
  $("text").replaceChildren(...v.text.map(node));
  $("steps").replaceChildren(...steps(v));
  if (v.shared) $("steps").append(el("p", { class: "cap" }, v.shared));
  board(v.board);
  if (v.fault) $("fault").textContent = v.fault;
  if (v.live !== shown) {
    shown = v.live;
    $("live").replaceChildren(...(v.live ? [el("iframe", { src: v.live, title: "the live page of the run" })] : []));
    $("live").hidden = !v.live;
    $("halves").className = v.live ? "split" : "";
  }
  if (!first) ($("text").querySelector("h2:last-of-type") ?? $("title")).scrollIntoView({ block: "start" });
}

function list(l) {
  document.title = "coinbench labs";
  const rows = l.labs.map(x => el("tr", {}, el("td", {}, to(x)), el("td", { class: "n" }, x.minutes), el("td", {}, x.standing)));
  $("text").replaceChildren(el("div", { class: "scroll" }, el("table", { class: "labs" },
    el("thead", {}, el("tr", {}, el("th", {}, "lab"), el("th", { class: "n" }, "minutes"), el("th", {}, "you"))), el("tbody", {}, ...rows))),
    el("p", {}, l.score));
  board(l.board);
}

// board leads to the room's, where things are shared.
function board(address) {
  $("board").hidden = !address;
  if (address) $("board").href = address;
}

async function look() {
  if (busy) return;
  try {
    if (!lab) list(await ask("labs"));
    else {
      const v = await ask(`view?${new URLSearchParams({ lab, known })}`);
      if (v && !busy) show(v);
    }
    link("here and in the terminal", "live");
  } catch (e) {
    link(e instanceof TypeError ? "the server does not answer" : e.message, "lost");
  }
}

$("all").hidden = !lab;
look();
if (lab) setInterval(() => { if (!document.hidden) look(); }, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
