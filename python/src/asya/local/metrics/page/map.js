// Who sends to whom: actors in columns by their distance from where messages come in.

import { shown, svg } from "/charts.js";

const NODE_WIDTH = 132, NODE_HEIGHT = 40, COLUMN = 220, ROW = 84, PAD = 32;
const BOW = 46;
const ARROW = " → ";

function columns(names, edges) {
  const depth = new Map(names.map((name) => [name, 0]));
  // The longest way, in at most as many rounds as there are actors: a loop ends with the rounds.
  for (let round = 0; round < names.length; round += 1) {
    let moved = false;
    for (const { from, to } of edges) {
      if (from !== to && !edges.some((other) => other.from === to && other.to === from && depth.get(to) < depth.get(from)) && depth.get(to) < depth.get(from) + 1 && depth.get(from) + 1 < names.length) {
        depth.set(to, depth.get(from) + 1);
        moved = true;
      }
    }
    if (!moved) break;
  }
  const last = Math.max(0, ...depth.values());
  for (const name of names) if (name === "x-sink" || name === "x-sump") depth.set(name, Math.max(last, depth.get(name)));
  return depth;
}

export function nodeMap(panel, series, now, step) {
  const edges = series.map(({ name, points }) => {
    const [from, to] = name.split(ARROW);
    const last = points.at(-1);
    return { from, to, rate: last && now - last[0] <= step * 3 ? last[1] : 0 };
  });
  const names = [...new Set(edges.flatMap(({ from, to }) => [from, to]))].sort();
  const depth = columns(names, edges);
  const places = new Map();
  const filled = [];
  for (const name of names) {
    const column = depth.get(name);
    filled[column] = (filled[column] ?? 0) + 1;
    places.set(name, { column, row: filled[column] - 1 });
  }
  const rows = Math.max(1, ...filled.map((count) => count ?? 0));
  const width = Math.max(1, filled.length) * COLUMN - (COLUMN - NODE_WIDTH) + 2 * PAD;
  const height = rows * ROW + 2 * PAD;
  for (const place of places.values()) {
    place.x = PAD + place.column * COLUMN;
    place.y = PAD + ((place.row + 0.5) * (rows * ROW)) / filled[place.column] - NODE_HEIGHT / 2;
  }
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": panel.title });
  picture.style.maxHeight = `${Math.max(160, height)}px`;
  picture.append(svg("defs", {}, svg("marker", { id: "end", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse" }, svg("path", { d: "M0,0L8,4L0,8z", fill: "var(--soft)" }))));
  const busiest = Math.max(1e-9, ...edges.map(({ rate }) => rate));
  const labels = [];
  for (const { from, to, rate } of edges) {
    const [a, b] = [places.get(from), places.get(to)];
    const [x1, y1, x2, y2] = [a.x + NODE_WIDTH, a.y + NODE_HEIGHT / 2, b.x - 2, b.y + NODE_HEIGHT / 2];
    // A way past other actors goes round them, below; a way back above.
    const passed = b.column - a.column;
    const bow = passed > 1 ? BOW + 12 * passed : passed <= 0 ? -BOW : 0;
    const reach = Math.max(40, Math.abs(x2 - x1) / (bow ? 4 : 2));
    const path = from === to
      ? `M${a.x + 30},${a.y} C${a.x + 20},${a.y - 30} ${a.x + NODE_WIDTH - 20},${a.y - 30} ${a.x + NODE_WIDTH - 30},${a.y - 2}`
      : `M${x1},${y1} C${x1 + reach},${y1 + bow} ${x2 - reach},${y2 + bow} ${x2},${y2}`;
    const line = svg("path", { class: rate > 0 ? "edge" : "edge still", d: path, "stroke-width": (1 + (3 * rate) / busiest).toFixed(1), "marker-end": "url(#end)" });
    line.append(svg("title", {}, `${from}${ARROW}${to}: ${shown(rate, panel.unit)}`));
    picture.append(line);
    const [lx, ly] = from === to ? [a.x + NODE_WIDTH / 2, a.y - 24] : bow
        ? [(x1 + x2) / 2, (y1 + y2) / 2 + bow * 0.75 + 4]
        : [x1 + (x2 - x1) * 0.35, y1 + (y2 - y1) * 0.28 - 5];
    if (rate > 0) labels.push(svg("text", { class: "label", x: lx, y: ly }, shown(rate, panel.unit)));
  }
  for (const name of names) {
    const { x, y } = places.get(name);
    const incoming = edges.filter(({ to, from }) => to === name && from !== name).reduce((sum, { rate }) => sum + rate, 0);
    const short = name.length > 18 ? name.slice(0, 17) + "…" : name;
    picture.append(svg("g", { class: name.startsWith("x-") ? "node crew" : "node" },
      svg("title", {}, name),
      svg("rect", { x, y, width: NODE_WIDTH, height: NODE_HEIGHT, rx: 8 }),
      svg("text", { x: x + NODE_WIDTH / 2, y: y + 17 }, short),
      svg("text", { class: "rate", x: x + NODE_WIDTH / 2, y: y + 32 }, places.get(name).column ? `in ${shown(incoming, panel.unit)}` : "first")));
  }
  picture.append(...labels);
  if (!names.length) picture.append(svg("text", { class: "empty", x: width / 2, y: height / 2 }, "nobody has sent anything yet"));
  return picture;
}
