"use strict";
// Read-outs of the charts: the nearest point under the pointer, or the one that the arrow keys reach.
for (const chart of document.querySelectorAll("svg.chart")) {
  const points = [...chart.querySelectorAll("[data-tip]")].sort((a, b) => a.dataset.x - b.dataset.x);
  const tip = chart.closest("figure").querySelector(".tip");
  const cursor = chart.querySelector(".cursor");
  let at = -1;
  const show = i => {
    if (at >= 0) points[at].classList.remove("sel");
    at = i;
    chart.classList.toggle("on", i >= 0);
    if (i < 0) { tip.textContent = ""; return; }
    points[i].classList.add("sel");
    tip.textContent = points[i].dataset.tip;
    cursor.setAttribute("x1", points[i].dataset.x);
    cursor.setAttribute("x2", points[i].dataset.x);
  };
  chart.addEventListener("pointermove", e => {
    const p = new DOMPoint(e.clientX, e.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let best = -1, near = Infinity;
    points.forEach((q, i) => {
      const dx = q.dataset.x - p.x, dy = q.dataset.y - p.y, d = dx * dx * 4 + dy * dy;
      if (d < near) { near = d; best = i; }
    });
    if (best !== at) show(best);
  });
  chart.addEventListener("pointerleave", () => show(-1));
  chart.addEventListener("blur", () => show(-1));
  chart.addEventListener("keydown", e => {
    const last = points.length - 1;
    const to = {ArrowRight: Math.min(last, at + 1), ArrowLeft: Math.max(0, at - 1), Home: 0, End: last, Escape: -1}[e.key];
    if (to === undefined || last < 0) return;
    e.preventDefault();
    show(to);
  });
}
// What is folded up on the screen is printed, in browsers whose style sheets cannot unfold it.
let folded = [];
addEventListener("beforeprint", () => { folded = [...document.querySelectorAll("details:not([open])")]; for (const d of folded) d.open = true; });
addEventListener("afterprint", () => { for (const d of folded) d.open = false; });
