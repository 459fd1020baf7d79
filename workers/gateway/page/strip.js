// The strip above the rows: which processes are alive, and what the last quarter of an hour was like.

import { drawChart } from "./chart.js";
import { el, show, write } from "./element.js";
import { many, oneLine } from "./wording.js";

const held = (worker) => worker.held ?? 0;
const alive = (processes) => processes.filter((process) => process.live);

function drawWorkers(parts, workers) {
  const live = alive(workers);
  const busy = live.reduce((sum, worker) => sum + held(worker), 0);
  const slots = live.reduce((sum, worker) => sum + (worker.concurrency ?? 1), 0);
  write(parts.workers, String(live.length));
  const rest = [`${busy} of ${many(slots, "slot")} busy`];
  for (const state of ["starting", "draining"]) {
    const such = live.filter((worker) => worker[state]).length;
    if (such) rest.push(`${such} ${state}`);
  }
  if (workers.length > live.length) rest.push(`${workers.length - live.length} gone`);
  write(parts.workersNote, live.length ? rest.join(", ") : "nothing will be worked on");
  parts.workers.closest(".tile").classList.toggle("bad", !live.length);
}

function drawControllers(parts, controllers) {
  const live = alive(controllers);
  write(parts.controllers, String(live.length));
  write(parts.controllersNote, live.length ? "alive" : "nothing will be decided");
  parts.controllers.closest(".tile").classList.toggle("bad", !live.length);
}

function processLine(kind, process) {
  const state = !process.live ? "gone" : process.draining ? "draining" : process.starting ? "starting" : "alive";
  const work = kind === "worker" ? `${held(process)} of ${process.concurrency ?? 1} busy` : "";
  const cells = [kind, process.name, state, process.host, process.model, work, process.version];
  return el("tr", {}, ...cells.map((text) => el("td", {}, el("bdi", {}, oneLine(text)))));
}

function drawProcesses(parts, fleet) {
  const key = JSON.stringify([fleet.workers, fleet.controllers]);
  if (parts.processes.dataset.drawn === key) return;
  parts.processes.dataset.drawn = key;
  const lines = [
    ...fleet.controllers.map((process) => processLine("controller", process)),
    ...fleet.workers.map((process) => processLine("worker", process)),
  ];
  parts.processes.replaceChildren(...lines);
  show(parts.noProcesses, !lines.length);
}

/** Draw what the gateway tells of the fleet as a whole. */
export function drawStrip(parts, fleet) {
  drawWorkers(parts, fleet.workers ?? []);
  drawControllers(parts, fleet.controllers ?? []);
  drawProcesses(parts, { workers: fleet.workers ?? [], controllers: fleet.controllers ?? [] });
  drawChart(parts.retries, "Retries a minute", fleet.charts?.retries ?? []);
  drawChart(parts.refused, "Refused calls a minute", fleet.charts?.refused ?? []);
}
