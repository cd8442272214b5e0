// Accuracy against a cost of choice, the Pareto front, and two designs side by side.
const report = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"];
const KNOWN = ["uniform", "pot", "post"];
const families = [...new Set([...KNOWN, ...report.designs.map((design) => design.family)])].filter((name) => name !== "float");
const MARKER = 0.013; // width of a point, as a share of the axis
const MARGIN = 1.3; // by which a logarithmic axis goes beyond the costs
const chosen = []; // at most two designs, by their place in the table

const group = () => Number(find("group")?.value ?? 0);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const members = () => report.designs.filter((design) => design.group === group());
const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const percent = (design) => `${design.accuracy.toFixed(2)}${design.deviation === null ? "" : ` ± ${design.deviation.toFixed(2)}`} %`;

function compact(value) {
  if (value === undefined || value === null) return "not known";
  const step = Math.min(5, Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1) / 3)));
  return Number((value / 1000 ** step).toPrecision(3)) + ["", " k", " M", " G", " T", " P"][step];
}

function plotted(axis) {
  return members().filter((design) => design.family !== "float" && design.accuracy !== null && design.costs[axis] > 0);
}

function paretoFront(designs, axis) {
  const cheapest = [...designs].sort((a, b) => a.costs[axis] - b.costs[axis] || b.accuracy - a.accuracy);
  let best = -Infinity;
  return cheapest.filter((design) => design.accuracy > best && ((best = design.accuracy), true));
}

function places(designs, axis) {
  // Designs of the Pareto front stay at their costs; others step aside as far as they would overlap, in the order of cost.
  const [shown, costOf] = find("log").checked ? [Math.log, Math.exp] : [Number, Number];
  const at = (design) => shown(design.costs[axis]);
  const front = paretoFront(designs, axis);
  const step = MARKER * shownRange(designs.map(at));
  const ends = [-Infinity, ...front.map(at), Infinity];
  const placed = new Map(front.map((design) => [design, design.costs[axis]]));
  for (const [gap, members] of between(designs, front, at).entries()) {
    const spots = sideBySide(members.map(at), ends[gap], ends[gap + 1], step);
    members.forEach((design, i) => placed.set(design, spots[i] === at(design) ? design.costs[axis] : costOf(spots[i])));
  }
  return placed;
}

function shownRange(costs) {
  const spread = Math.max(...costs) - Math.min(...costs);
  return find("log").checked ? spread + 2 * Math.log(MARGIN) : spread || Math.max(...costs);
}

function between(designs, front, at) {
  // The designs before, between and after those of the front, in the order of cost; equal ones on both sides in turn.
  const gaps = [[], ...front.map(() => [])];
  const turns = front.map(() => 0);
  const others = designs.filter((design) => !front.includes(design)).sort((a, b) => at(a) - at(b));
  for (const design of others) {
    const last = front.filter((member) => at(member) <= at(design)).length - 1;
    const isLeft = at(front[last]) === at(design) && turns[last]++ % 2 === 0;
    gaps[isLeft ? last : last + 1].push(design);
  }
  return gaps;
}

function sideBySide(spots, low, high, step) {
  // Rising numbers between two ends, a step apart where there is room, else evenly.
  const moved = [...spots];
  for (let i = 0; i < moved.length; i += 1) moved[i] = Math.max(moved[i], (moved[i - 1] ?? low) + step);
  for (let i = moved.length - 1; i >= 0; i -= 1) moved[i] = Math.min(moved[i], (moved[i + 1] ?? high) - step);
  return moved[0] > low ? moved : spots.map((_, i) => low + ((high - low) * (i + 1)) / (spots.length + 1));
}

function hover(design, axis) {
  const unit = report.axes[axis].unit;
  return `<b>${escaped(design.name)}</b><br>${percent(design)}, ${design.measured} seed${design.measured > 1 ? "s" : ""}` +
    `<br>${compact(design.costs[axis])}${unit && ` ${unit}`} ${escaped(report.axes[axis].short)}`;
}

function familyTrace(family, axis, designs, placed) {
  const place = families.indexOf(family);
  const shade = color(`--series-${place % 8}`);
  return {
    name: escaped(family), type: "scatter", mode: "markers",
    x: designs.map((design) => placed.get(design)), y: designs.map((design) => design.accuracy),
    error_y: { type: "data", array: designs.map((design) => design.deviation ?? 0), thickness: 1.2, width: 3, color: shade },
    marker: {
      color: shade, opacity: 1, symbol: SYMBOLS[place % SYMBOLS.length],
      size: designs.map((design) => (chosen.includes(report.designs.indexOf(design)) ? 17 : 11)),
      line: { width: designs.map((design) => (chosen.includes(report.designs.indexOf(design)) ? 3 : 1)), color: color("--ground") },
    },
    customdata: designs.map((design) => report.designs.indexOf(design)),
    hovertext: designs.map((design) => hover(design, axis)), hoverinfo: "text",
  };
}

function frontTrace(designs, axis) {
  const front = paretoFront(designs, axis);
  return {
    name: "Pareto front", type: "scatter", mode: "lines", hoverinfo: "skip",
    x: front.map((design) => design.costs[axis]), y: front.map((design) => design.accuracy),
    line: { shape: "hv", color: color("--soft"), width: 1.5 },
  };
}

function baselineShapes() {
  const baseline = members().find((design) => design.family === "float" && design.accuracy !== null);
  if (!baseline) return { shapes: [], annotations: [] };
  const { accuracy, deviation } = baseline;
  const across = { xref: "paper", x0: 0, x1: 1, layer: "below" };
  return {
    shapes: [
      { ...across, type: "line", y0: accuracy, y1: accuracy, line: { color: color("--text"), width: 1.2, dash: "dash" } },
      { ...across, type: "rect", y0: accuracy - (deviation ?? 0), y1: accuracy + (deviation ?? 0), fillcolor: color("--soft"), opacity: 0.15, line: { width: 0 } },
    ],
    annotations: [{ xref: "paper", x: 0, xanchor: "left", y: accuracy, yanchor: "bottom", text: `float ${percent(baseline)}`, showarrow: false, font: { size: 12 } }],
  };
}

function ticks(designs, axis) {
  if (!find("log").checked || !designs.length) return {};
  const costs = designs.map((design) => design.costs[axis]);
  const [low, high] = [Math.min(...costs) / MARGIN, Math.max(...costs) * MARGIN];
  const steps = high < 20 * low ? [1, 2, 3, 5, 7] : high < 200 * low ? [1, 2, 5] : [1];
  const values = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    values.push(...steps.map((step) => step * 10 ** power).filter((value) => value >= low && value <= high));
  }
  const every = Math.ceil(values.length / (find("plot").clientWidth < 500 ? 5 : 12));
  const kept = values.filter((_, place) => place % every === 0);
  return { range: [Math.log10(low), Math.log10(high)], tickvals: kept, ticktext: kept.map(compact) };
}

function layout(designs, axis) {
  const { label, unit } = report.axes[axis];
  const lines = { gridcolor: color("--rule"), linecolor: color("--soft"), zeroline: false, fixedrange: false };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: color("--text"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 58, r: 16, t: 8, b: 52 }, hovermode: "closest", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    hoverlabel: { bgcolor: color("--ground"), font: { color: color("--text") }, bordercolor: color("--soft"), align: "left" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, xanchor: "left" },
    xaxis: { ...lines, title: { text: label + (unit && ` [${unit}]`) }, type: find("log").checked ? "log" : "linear", ...ticks(designs, axis) },
    yaxis: { ...lines, title: { text: "integer accuracy [%]" } },
    ...baselineShapes(),
  };
}

function draw() {
  const axis = find("axis").value;
  const designs = plotted(axis);
  const used = families.filter((family) => designs.some((design) => design.family === family));
  const placed = places(designs, axis);
  const traces = used.map((family) => familyTrace(family, axis, designs.filter((design) => design.family === family), placed));
  find("axis-note").textContent = `Cost: ${report.axes[axis].note}.`;
  find("moved").hidden = designs.every((design) => placed.get(design) === design.costs[axis]);
  const buttons = [["toImage"], ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]]; // none leads elsewhere
  const options = { responsive: true, displaylogo: false, modeBarButtons: buttons };
  return Plotly.react("plot", [frontTrace(designs, axis), ...traces], layout(designs, axis), options);
}

function difference(first, second) {
  const seeds = Object.keys(first.by_seed).filter((seed) => seed in second.by_seed);
  if (!seeds.length) return "they share no seed";
  const values = seeds.map((seed) => second.by_seed[seed] - first.by_seed[seed]);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (seeds.length === 1) return `${signed(mean)} points in one seed, which shows no difference, whatever its size`;
  if (values.every((value) => Math.abs(value - values[0]) < 1e-9)) return `${signed(mean)} points in each of ${seeds.length} seeds: no spread to judge by`;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  const half = report.quantiles[seeds.length - 2] * Math.sqrt(variance / values.length);
  const normal = seeds.length < 6 ? " if differences are normal" : ""; // below, the exact test cannot reach 5 %
  const verdict = Math.abs(mean) > half ? `a difference is shown${normal}, uncorrected for how many pairs are looked at` :
    `no difference shown; an effect below ${half.toFixed(2)} points could not have been seen`;
  return `${signed(mean)} points, 95 % interval ${signed(mean - half)} to ${signed(mean + half)}, paired over ${seeds.length} seeds: ${verdict}`;
}

function compare() {
  const box = find("comparison");
  const designs = chosen.map((place) => report.designs[place]);
  box.hidden = !designs.length;
  if (!designs.length) return;
  const row = (head, cells) => `<tr><th scope="row">${escaped(head)}</th>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`;
  const rows = Object.entries(report.axes).map(([name, axis]) => {
    const [first, second] = designs.map((design) => design.costs[name]);
    const ratio = first && second ? [`× ${Number((second / first).toPrecision(3))}`] : designs.length > 1 ? [""] : [];
    return row(axis.label + (axis.unit && ` [${axis.unit}]`), [...designs.map((design) => compact(design.costs[name])), ...ratio]);
  });
  const heads = designs.map((design) => `<th scope="col"><a href="${escaped(design.page)}">${escaped(design.name)}</a></th>`).join("");
  const last = designs.length > 1 ? '<th scope="col">second to first</th>' : "";
  const accuracies = row("accuracy", [...designs.map(percent), ...(designs.length > 1 ? [difference(...designs)] : [])]);
  box.innerHTML = `<h3>Comparison</h3><div class="scroll" tabindex="0" role="region" aria-label="Comparison"><table><thead><tr><td></td>${heads}${last}</tr></thead><tbody>${accuracies}${rows.join("")}</tbody></table></div>` +
    (designs.length < 2 ? '<p class="note">Select a second design to compare.</p>' : "");
}

function choose(place, wanted = !chosen.includes(place)) {
  const found = chosen.indexOf(place);
  if (found >= 0) chosen.splice(found, 1);
  if (wanted) chosen.push(place);
  if (chosen.length > 2) chosen.shift();
  for (const box of document.querySelectorAll("#designs tbody input")) {
    box.checked = chosen.includes(Number(box.closest("tr").dataset.design));
  }
  compare();
  draw();
}

function start() {
  for (const controls of document.querySelectorAll(".controls")) controls.hidden = false;
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const id of ["group", "axis"]) {
    const select = find(id);
    if (!select) continue;
    if ([...select.options].some((option) => option.value === wanted.get(id))) select.value = wanted.get(id);
    select.addEventListener("change", () => {
      const state = new URLSearchParams(location.hash.slice(1));
      state.set(id, select.value);
      history.replaceState(null, "", `#${state}`);
      if (id === "group") { chosen.length = 0; choose(-1, false); }
      draw();
    });
  }
  find("log").addEventListener("change", draw);
  find("designs").addEventListener("change", (event) => choose(Number(event.target.closest("tr").dataset.design), event.target.checked));
  document.addEventListener("themechange", draw);
  draw().then((plot) => plot.on("plotly_click", (event) => choose(event.points[0].customdata)));
}
start();
