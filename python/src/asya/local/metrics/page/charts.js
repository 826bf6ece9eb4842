// Lines, areas and single numbers, as SVG.

const COLOURS = ["#3b7ddd", "#2ca58d", "#e08a1e", "#9b5de5", "#d6456b", "#6c8f2f", "#1f9ac0", "#a8683c", "#5c6bc0", "#c0399f"];
const COLUMN = 75, HEIGHT = 180, LEFT = 52, BOTTOM = 20, TOP = 8, RIGHT = 8;
const GAP_STEPS = 3;

export function colour(number) {
  return COLOURS[number % COLOURS.length];
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const plain = (value) => {
  const size = Math.abs(value);
  if (size >= 1e6) return (value / 1e6).toFixed(1) + " M";
  if (size >= 1e4) return (value / 1e3).toFixed(1) + " k";
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
};

export function shown(value, unit) {
  if (unit === "percentunit") return (value * 100).toFixed(value && value < 0.1 ? 1 : 0) + " %";
  if (unit === "mps") return plain(value) + " /s";
  if (unit === "bytes") return value >= 1e6 ? plain(value / 1e6) + " MB" : value >= 1e3 ? plain(value / 1e3) + " kB" : plain(value) + " B";
  if (unit !== "s") return plain(value);
  if (value === 0) return "0 s";
  if (value < 0.001) return (value * 1e6).toFixed(0) + " µs";
  if (value < 1) return (value * 1e3).toFixed(value < 0.01 ? 1 : 0) + " ms";
  return value < 120 ? plain(value) + " s" : (value / 60).toFixed(1) + " min";
}

// A round number not below `value`, and steps to it that are round too.
function scale(value, unit) {
  const least = unit === "short" ? 4 : 1e-9;
  const top = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(top));
  const step = [0.25, 0.5, 0.75, 1, 1.5, 2.5].map((factor) => factor * power).find((size) => size * 4 >= top);
  return { top: step * 4, step };
}

function lines(series, stack, step, colours) {
  const totals = new Map();
  return series.map(({ name, points }) => {
    const drawn = points.map(([at, value]) => {
      const base = stack ? totals.get(at) ?? 0 : 0;
      if (stack) totals.set(at, base + value);
      return { at, value, low: base, high: base + value };
    });
    const parts = [];
    for (const point of drawn) {
      const part = parts.at(-1);
      if (part && point.at - part.at(-1).at <= step * GAP_STEPS) part.push(point);
      else parts.push([point]);
    }
    return { name, parts, last: drawn.at(-1), all: drawn, colour: colours.get(name) };
  });
}

export function chart(panel, series, from, to, step, colours) {
  const drawn = lines(series, panel.stack, step, colours);
  const highest = Math.max(0, ...drawn.flatMap((line) => line.all.map((point) => point.high)));
  const width = panel.width * COLUMN;
  const { top, step: tick } = scale(highest, panel.unit);
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": panel.title });
  for (let value = 0; value <= top * 1.001; value += tick) {
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    picture.append(svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, shown(value, panel.unit)));
  }
  for (let number = 0; number <= 4; number += 1) {
    const at = from + ((to - from) * number) / 4;
    const anchor = number === 4 ? "end" : number === 0 ? "start" : "middle";
    picture.append(svg("text", { x: x(at), y: HEIGHT - 4, "text-anchor": anchor }, new Date(at * 1000).toLocaleTimeString("en-GB")));
  }
  for (const { value, level } of panel.thresholds) {
    if (value <= top) picture.append(svg("line", { class: `threshold ${level}`, x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
  }
  for (const line of drawn) {
    for (const part of line.parts) {
      const there = part.map((point) => `${x(point.at).toFixed(1)},${y(point.high).toFixed(1)}`);
      const back = part.map((point) => `${x(point.at).toFixed(1)},${y(point.low).toFixed(1)}`).reverse();
      picture.append(svg("polygon", { points: [...there, ...back].join(" "), fill: line.colour, opacity: panel.stack ? 0.35 : 0.07 }));
      picture.append(svg("polyline", { points: there.join(" "), fill: "none", stroke: line.colour, "stroke-width": 1.6 }));
      if (part.length === 1) picture.append(svg("circle", { cx: x(part[0].at), cy: y(part[0].high), r: 2, fill: line.colour }));
    }
  }
  if (!drawn.length) picture.append(svg("text", { class: "empty", x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "nothing yet"));
  const share = (event) => {
    const box = picture.getBoundingClientRect();
    return Math.min(1, Math.max(0, (((event.clientX - box.left) / box.width) * width - LEFT) / (width - LEFT - RIGHT)));
  };
  const mark = (at) => picture.append(svg("line", { class: "cursor", x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
  return { picture, drawn, share, mark };
}

// A line whose last number is old has none.
export function legend(panel, drawn, at, now, step) {
  const list = html("ul", { class: "legend" });
  const near = (line) => (at === null ? line.last : line.all.findLast((point) => point.at <= at));
  const rows = drawn.map((line) => ({ line, point: near(line) }));
  for (const { line, point } of rows.slice(0, 12)) {
    const fresh = point && (at ?? now) - point.at <= step * GAP_STEPS;
    const item = html("li", fresh ? {} : { class: "gone" });
    const mark = html("i");
    mark.style.background = line.colour;
    item.append(mark, html("span", { title: line.name }, line.name), html("b", {}, fresh ? shown(point.value, panel.unit) : "–"));
    list.append(item);
  }
  if (rows.length > 12) list.append(html("li", { class: "gone" }, `and ${rows.length - 12} more`));
  return list;
}

export function level(panel, value) {
  const reached = panel.thresholds.filter((threshold) => value >= threshold.value);
  return reached.length ? reached.at(-1).level : panel.thresholds.length ? "good" : "plain";
}

export function spark(points, from, to) {
  const picture = svg("svg", { viewBox: "0 0 200 36", preserveAspectRatio: "none", height: 36, "aria-hidden": "true" });
  const highest = Math.max(1e-9, ...points.map(([, value]) => value));
  const place = ([at, value]) => `${(((at - from) / (to - from)) * 200).toFixed(1)},${(34 - (value / highest) * 32).toFixed(1)}`;
  if (points.length > 1) {
    picture.append(svg("polyline", { points: points.map(place).join(" "), fill: "none", stroke: colour(0), "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" }));
  }
  return picture;
}
