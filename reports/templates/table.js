// The table of designs: sorted by its headings, filtered, and saved as CSV.
(() => {
  const table = find("designs");
  const heads = [...table.querySelectorAll("th[data-key]")];
  const rows = [...table.tBodies[0].rows];
  const designOf = (row) => report.designs[Number(row.dataset.design)];
  const valueOf = (design, key) => design[key] ?? design.costs[key] ?? null;

  function sort(head) {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const key = head.dataset.key;
    const order = (a, b) => {
      const [first, second] = [valueOf(designOf(a), key), valueOf(designOf(b), key)];
      if (first === null || second === null) return (first === null) - (second === null); // missing last, both ways
      const sign = typeof first === "string" ? first.localeCompare(second, "en", { numeric: true }) : first - second;
      return rising ? sign : -sign;
    };
    table.tBodies[0].append(...rows.sort(order));
  }

  function filter() {
    const words = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const family = find("family").value;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word)) || (family !== "" && designOf(row).family !== family);
    }
    const shown = rows.filter((row) => !row.hidden).length;
    find("count").textContent = `${shown} of ${rows.length} designs`;
  }

  function csv() {
    const cell = (value) => {
      const text = value === null || value === undefined ? "" : String(value);
      const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text; // no formula in a spreadsheet
      return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const costs = Object.entries(report.axes);
    const names = ["design", "network", "weights", "bits", "act_bits", "accuracy [%]", "sd [%]", "against float [points]", "agreement [%]", "seeds", ...costs.map(([name, axis]) => name + (axis.unit && ` [${axis.unit}]`))];
    const lines = rows.filter((row) => !row.hidden).map(designOf).map((design) => [
      design.name, report.groups[design.group], design.family, design.bits, design.act_bits, design.accuracy, design.deviation,
      design.loss, design.agreement, design.seeds, ...costs.map(([name]) => design.costs[name]),
    ]);
    return [names, ...lines].map((line) => line.map(cell).join(",") + "\n").join("");
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "designs.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head));
  }
  for (const family of new Set(report.designs.map((design) => design.family))) find("family").add(new Option(family, family));
  for (const id of ["filter", "family"]) find(id).addEventListener("input", filter);
  find("csv").addEventListener("click", save);
  filter();
})();
