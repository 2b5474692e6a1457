"use strict";
// What the page does beside being read: it lights marks of one kernel together, shows what they are, sorts lines, stretches time.

const numbers = mark => (mark.dataset.k || "").split(" ").filter(Boolean);
const marks = [...document.querySelectorAll("[data-k]")];
const byKernel = new Map();
for (const mark of marks)
  for (const k of numbers(mark)) byKernel.has(k) ? byKernel.get(k).push(mark) : byKernel.set(k, [mark]);

// --- what is under the pointer
const tip = document.getElementById("tip");
for (const title of document.querySelectorAll("svg title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}

function light(mark) {
  document.body.classList.toggle("dim", Boolean(mark));
  document.querySelectorAll(".lit").forEach(m => m.classList.remove("lit"));
  if (mark) for (const k of numbers(mark)) byKernel.get(k).forEach(m => m.classList.add("lit"));
}

document.addEventListener("pointerover", event => {
  const mark = event.target.closest("[data-k]"), shown = event.target.closest("[data-tip]");
  light(mark && numbers(mark).length ? mark : null);
  tip.hidden = !shown;
  if (shown) tip.textContent = shown.dataset.tip;
});

document.addEventListener("pointermove", event => {
  if (tip.hidden) return;
  const right = innerWidth - tip.offsetWidth - 12, below = event.clientY + 18 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, right))}px`;
  tip.style.top = `${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 12}px`;
});

document.addEventListener("click", event => {
  const mark = event.target.closest("svg .mark[data-k]");
  const row = mark && (byKernel.get(numbers(mark)[0]) || []).find(m => m.matches("tr"));
  if (!row || dragged) return;
  row.scrollIntoView({ behavior: "smooth", block: "center" });
  row.classList.remove("shown");
  requestAnimationFrame(() => row.classList.add("shown"));
});

// --- lines in the order of the program, or the slowest first
const order = document.getElementById("order"), table = document.querySelector("table"), lines = [...table.tBodies];
order.hidden = lines.length < 2;
order.addEventListener("click", () => {
  const slowest = order.textContent.startsWith("slowest");
  const sorted = slowest ? [...lines].sort((a, b) => b.dataset.share - a.dataset.share) : lines;
  table.append(...sorted);
  order.textContent = slowest ? "order of the program" : "slowest line first";
});

// --- the course begins in the middle, where the call does
const course = document.querySelector("svg.course");
if (course) course.parentNode.scrollLeft = -course.viewBox.baseVal.x - course.parentNode.clientWidth / 2;

// --- the timeline: the wheel stretches it at the pointer, dragging moves it, a double click shows all
let dragged = false;
const lanes = document.querySelector("svg.lanes");
if (lanes) {
  const time = lanes.querySelector("svg.time"), ticks = lanes.querySelector(".ticks");
  const total = Number(time.dataset.total), { left, inside, height } = lanes.dataset;
  const tall = time.viewBox.baseVal.height, sample = ticks.querySelector("line"), top = sample.getAttribute("y1");
  let begin = 0, length = total;

  const duration = us => us >= 1e6 ? [us / 1e6, "s"] : us >= 1e3 ? [us / 1e3, "ms"] : us >= 1 || us === 0 ? [us, "µs"] : [us * 1e3, "ns"];
  function draw() {
    length = Math.min(total, Math.max(total / 1e4, length));
    begin = Math.min(total - length, Math.max(0, begin));
    time.setAttribute("viewBox", `${begin} 0 ${length} ${tall}`);
    const rough = length / 8, unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * unit).find(s => s >= rough);
    ticks.replaceChildren();
    for (let at = Math.ceil(begin / step) * step; at <= begin + length; at += step) {
      const x = Number(left) + (at - begin) / length * Number(inside), [value, name] = duration(at);
      const line = sample.cloneNode(), label = document.createElementNS(sample.namespaceURI, "text");
      line.setAttribute("x1", x); line.setAttribute("x2", x);
      label.setAttribute("x", x); label.setAttribute("y", Number(top) - 4); label.setAttribute("text-anchor", "middle");
      label.textContent = at ? `${Number(value.toPrecision(length < total / 20 ? 6 : 3))} ${name}` : "0";
      ticks.append(line, label);
    }
  }
  const place = event => {
    const box = lanes.getBoundingClientRect(), scale = lanes.viewBox.baseVal.width / box.width;
    return ((event.clientX - box.left) * scale - Number(left)) / Number(inside);
  };
  time.addEventListener("wheel", event => {
    event.preventDefault();
    const at = place(event), factor = Math.exp(event.deltaY / 400), longer = Math.min(total, length * factor);
    begin += at * (length - longer);
    length = longer;
    draw();
  }, { passive: false });
  let from = null;
  time.addEventListener("pointerdown", event => { from = { at: place(event), begin }; dragged = false; });
  addEventListener("pointermove", event => {
    if (!from) return;
    const moved = place(event) - from.at;
    if (Math.abs(moved) > 0.004) dragged = true;
    begin = from.begin - moved * length;
    draw();
  });
  addEventListener("pointerup", () => { from = null; });
  time.addEventListener("dblclick", () => { begin = 0; length = total; draw(); });
}
