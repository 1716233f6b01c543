// The board of a room: it shows what the server says, and sends nothing.
import { el } from "./chart.js";

const $ = id => document.getElementById(id);
if (location.hash.length > 1) {
  sessionStorage.setItem("coinbench board", location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}
const headers = { "X-Coinbench-Token": sessionStorage.getItem("coinbench board") ?? "" };

// node makes an element of what the server sent: a text, or a name and what it holds.
const NAMES = ["p", "em", "strong", "code", "pre", "ul", "ol", "li"];
const node = n => typeof n === "string" ? n : el(NAMES.includes(n[0]) ? n[0] : "span", {}, ...n.slice(1).map(node));

function table(head, rows, texts = 1) { // the first columns are texts, the others numbers
  return el("table", {}, el("thead", {}, el("tr", {}, ...head.map((h, i) => el("th", i >= texts ? { class: "n" } : {}, h)))), el("tbody", {}, ...rows));
}

const people = n => n === 1 ? "1 prediction" : `${n} predictions`;

function bar(b, most) {
  const width = el("span", { class: "bar" });
  width.style.width = `${100 * b.count / most}%`;
  return el("li", { class: b.right ? "right" : b.means ? "model" : "" }, el("b", {}, b.number), width,
    el("span", { class: "means" }, `${b.count}, ${b.sure} % sure${b.means ? ` · ${b.means}` : ""}`));
}

function round(r) {
  const parts = [el("h2", {}, r.heading), ...r.ask.map(node), el("p", { class: "cap" }, `${people(r.votes)}, in ${r.unit} · ${r.stage}`)];
  if (r.bars) parts.push(el("ol", { class: "votes" }, ...r.bars.map(b => bar(b, Math.max(...r.bars.map(x => x.count))))));
  if (r.models) {
    parts.push(el("div", { class: "scroll" }, table(["way of thinking", r.unit, "predictions"], r.models.map(m =>
      el("tr", m.right ? { class: "right" } : {}, el("td", {}, m.right ? "Measured: right" : m.name), el("td", { class: "n" }, m.number), el("td", { class: "n" }, m.count))))));
  }
  return el("section", {}, ...parts);
}

function labs(all) {
  const rows = all.map(l => {
    const to = el("button", { class: "lab", type: "button" }, l.title);
    to.addEventListener("click", () => { lab = l.name; look(); });
    return el("tr", {}, el("td", {}, to), ...[l.predict, l.run, l.check, l.done].map(n => el("td", { class: "n" }, n || "–")),
      el("td", { class: l.stuck ? "n stuck" : "n" }, l.stuck || "–"));
  });
  return table(["lab", "to predict", "predicted", "to check", "done", "stuck"], rows);
}

function learners(all) {
  return table(["learner", "lab", "where", "minutes"], all.map(s => el("tr", s.stuck ? { class: "stuck" } : {}, el("td", {}, s.name),
    el("td", {}, s.lab), el("td", {}, s.text), el("td", { class: "n" }, s.stuck ? `${s.minutes}, stuck` : s.minutes))), 3);
}

function link(words, type) {
  if ($("link").textContent === words) return;
  $("link").textContent = words;
  $("link").className = `link ${type}`;
}

let lab = "", before = "", busy = false;
async function look() {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(`board?${new URLSearchParams({ lab })}`, { headers, cache: "no-store" });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.trim());
    if (text !== before) {
      before = text;
      const v = JSON.parse(text);
      document.title = `${v.title} – board`;
      $("title").textContent = v.title;
      $("rounds").replaceChildren(...v.rounds.map(round));
      $("labs").replaceChildren(labs(v.labs));
      $("seats").hidden = !v.learners;
      if (v.learners) $("learners").replaceChildren(learners(v.learners));
    }
    link("as the room predicts", "live");
  } catch (e) {
    link(e instanceof TypeError ? "the board does not answer" : e.message, "lost");
  }
  busy = false;
}

look();
setInterval(() => { if (!document.hidden) look(); }, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
