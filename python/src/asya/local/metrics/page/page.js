// Asks for what is new every two seconds and draws all panels again.

import { chart, colour, html, legend, level, shown, spark } from "/charts.js";
import { nodeMap } from "/map.js";

const KEPT_SECONDS = 900;
const token = location.hash.slice(1) || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);

const state = document.getElementById("state");
const range = document.getElementById("range");
const LEAST_SECONDS = 60;
let panels = [], views = [], histories = [], colours = [], latest = 0, step = 2, pointer = null;

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
  colours = panels.map(() => new Map());
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
  const to = latest;
  const first = Math.min(...histories.flatMap((history) => [...history.values()].map((points) => points[0][0])));
  const from = Math.min(to - LEAST_SECONDS, Math.max(to - Number(range.value), first));
  panels.forEach((panel, number) => {
    const series = [...histories[number]].map(([name, points]) => ({ name, points: points.filter(([at]) => at >= from) }));
    series.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
    const moving = ({ points }) => points.length && (!panel.nonzero || points.some(([, value]) => value > 0));
    const drawn = series.filter(moving);
    // Once given, a colour stays with its line.
    for (const { name } of drawn) if (!colours[number].has(name)) colours[number].set(name, colour(colours[number].size));
    views[number].replaceChildren(...shownAs(panel, drawn, from, to, number));
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
  const drawn = chart(panel, series, from, to, step, colours[number]);
  const at = pointer?.number === number ? from + pointer.share * (to - from) : null;
  if (at !== null) drawn.mark(at);
  drawn.picture.addEventListener("pointermove", (event) => {
    pointer = { number, share: drawn.share(event) };
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
