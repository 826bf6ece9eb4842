// Asks for what is new every two seconds and draws all panels again.

import { chart, html, legend, level, shown, spark } from "/charts.js";
import { nodeMap } from "/map.js";

const KEPT_SECONDS = 900;
const token = location.hash.slice(1) || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);

const state = document.getElementById("state");
const range = document.getElementById("range");
let panels = [], views = [], histories = [], latest = 0, step = 2, pointer = null;

async function ask(path) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` } });
  if (answer.status === 401) throw new Error("open the address that `asya up --metrics` has printed: it is new at each start");
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

function build(told) {
  document.getElementById("where").textContent = told.title;
  panels = told.panels;
  histories = panels.map(() => new Map());
  views = panels.map((panel) => {
    const body = html("div");
    const card = html("section", { class: `panel ${panel.kind}` }, html("h2", {}, panel.title), html("p", { title: panel.description }, panel.description), body);
    card.style.gridColumn = `span ${panel.width}`;
    document.getElementById("panels").append(card);
    return body;
  });
}

function take(news) {
  step = news.step;
  news.panels.forEach((series, number) => {
    for (const [name, points] of Object.entries(series)) {
      const known = histories[number].get(name) ?? [];
      known.push(...points);
      if (points.length) latest = Math.max(latest, points.at(-1)[0]);
      histories[number].set(name, known);
    }
    for (const [name, points] of histories[number]) {
      while (points.length && points[0][0] < latest - KEPT_SECONDS) points.shift();
      if (!points.length) histories[number].delete(name);
    }
  });
}

function draw() {
  const to = latest, from = to - Number(range.value);
  panels.forEach((panel, number) => {
    const series = [...histories[number]].map(([name, points]) => ({ name, points: points.filter(([at]) => at >= from) }));
    series.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
    views[number].replaceChildren(...shownAs(panel, series.filter(({ points }) => points.length), from, to, number));
  });
}

function shownAs(panel, series, from, to, number) {
  if (panel.kind === "nodegraph") return [nodeMap(panel, series, to, step)];
  if (panel.kind === "stat") {
    const points = series[0]?.points ?? [];
    const last = points.at(-1);
    const fresh = last && to - last[0] <= step * 3;
    return [html("div", { class: `number ${fresh ? level(panel, last[1]) : "none"}` }, fresh ? shown(last[1], panel.unit) : "–"), spark(points, from, to)];
  }
  const drawn = chart(panel, series, from, to, step);
  const at = pointer?.number === number ? from + pointer.share * (to - from) : null;
  if (at !== null) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [key, value] of Object.entries({ class: "cursor", x1: drawn.x(at), x2: drawn.x(at), y1: 8, y2: 160 })) line.setAttribute(key, value);
    drawn.picture.append(line);
  }
  drawn.picture.addEventListener("pointermove", (event) => {
    const box = drawn.picture.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * 600 - 52) / 540;
    pointer = { number, share: Math.min(1, Math.max(0, share)) };
    draw();
  });
  drawn.picture.addEventListener("pointerleave", () => { pointer = null; draw(); });
  return [drawn.picture, legend(panel, drawn.drawn, at, to, step)];
}

async function follow() {
  try {
    if (!panels.length) build(await ask("/panels.json"));
    take(await ask(`/live.json?after=${latest}`));
    state.textContent = `as of ${new Date(latest * 1000).toLocaleTimeString("en-GB")}`;
    state.className = "";
    if (latest) draw();
  } catch (problem) {
    state.textContent = problem instanceof TypeError ? "asya up does not answer any more" : problem.message;
    state.className = "bad";
  }
  setTimeout(follow, step * 1000);
}

range.addEventListener("change", draw);
follow();
