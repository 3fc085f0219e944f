// Small plots on one axis of time. Shape tells the series as well as colour.

import { colour, h } from "./dom.js";

const LEFT = 64;

function mark(ctx, shape, x, y, r) {
  ctx.beginPath();
  if (shape === "square") ctx.rect(x - r, y - r, 2 * r, 2 * r);
  else if (shape === "triangle") { ctx.moveTo(x, y - 1.2 * r); ctx.lineTo(x + 1.2 * r, y + r); ctx.lineTo(x - 1.2 * r, y + r); ctx.closePath(); }
  else if (shape === "diamond") { ctx.moveTo(x, y - 1.4 * r); ctx.lineTo(x + 1.4 * r, y); ctx.lineTo(x, y + 1.4 * r); ctx.lineTo(x - 1.4 * r, y); ctx.closePath(); }
  else if (shape === "cross") { ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x + r, y - r); ctx.lineTo(x - r, y + r); }
  else ctx.arc(x, y, r, 0, 2 * Math.PI);
}

function key(series) {
  const sign = h("canvas", { width: "18", height: "14" });
  const ctx = sign.getContext("2d");
  ctx.fillStyle = ctx.strokeStyle = colour(series.colour);
  ctx.lineWidth = 2;
  mark(ctx, series.shape, 9, 7, 4.5);
  if (series.hollow || series.shape === "cross") ctx.stroke(); else ctx.fill();
  return h("span", {}, sign, series.label);
}

// series: {label, colour, shape, hollow?, line?, points: [{t, y, low?, high?}]}; t in s, y a number.
export function panel(title, alt, series, { span, unit = "", zero = false, height = 150, last = false, level = null }) {
  const times = [...new Set(series.flatMap((s) => s.points.map((p) => p.t)))].sort((a, b) => a - b);
  const columns = series.map((s) => {
    const at = new Map(s.points.map((p) => [p.t, p.y]));
    return times.map((t) => at.get(t) ?? null);
  });
  const values = series.flatMap((s) => s.points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]));
  if (zero) values.push(0);
  if (level !== null) values.push(level.y);
  let low = Math.min(...values), high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * 0.12;
  if (!(zero && low === 0)) low -= room;
  high += room;
  const where = h("div", { role: "img", "aria-label": alt });
  const draw = (u) => {
    const ctx = u.ctx, ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.lineWidth = 2 * ratio;
    if (level !== null) {
      const y = u.valToPos(level.y, "y", true);
      ctx.setLineDash([6 * ratio, 5 * ratio]);
      ctx.strokeStyle = colour("--soft");
      ctx.lineWidth = ratio;
      ctx.beginPath(); ctx.moveTo(u.bbox.left, y); ctx.lineTo(u.bbox.left + u.bbox.width, y); ctx.stroke();
      ctx.setLineDash([]);
    }
    for (const s of series) {
      ctx.strokeStyle = ctx.fillStyle = colour(s.colour);
      ctx.lineWidth = 1.5 * ratio;
      for (const p of s.points) {
        const x = u.valToPos(p.t, "x", true), y = u.valToPos(p.y, "y", true);
        if (p.low !== undefined && p.low !== null) {
          const top = u.valToPos(p.high, "y", true), bottom = u.valToPos(p.low, "y", true);
          ctx.beginPath();
          ctx.moveTo(x, top); ctx.lineTo(x, bottom);
          for (const e of [top, bottom]) { ctx.moveTo(x - 4 * ratio, e); ctx.lineTo(x + 4 * ratio, e); }
          ctx.stroke();
        }
        mark(ctx, s.shape, x, y, 4.5 * ratio);
        if (s.hollow || s.shape === "cross") ctx.stroke(); else ctx.fill();
      }
    }
    ctx.restore();
  };
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid") }, font: "12px system-ui" };
  const made = h("div", { class: "plot" }, h("h3", {}, unit ? `${title} (${unit})` : title),
    h("div", { class: "keys" }, series.map(key), level !== null ? h("span", {}, `┄ ${level.label}`) : null), where);
  const options = () => ({
    width: Math.max(where.clientWidth, 280), height: height + (last ? 44 : 0),
    cursor: { drag: { x: false, y: false }, sync: { key: "time" }, points: { show: false } },
    legend: { show: false },
    scales: { x: { time: true, range: () => span }, y: { range: () => [low, high] } },
    axes: [{ ...axis, show: true, size: last ? 52 : 8, values: last ? undefined : (u, s) => s.map(() => "") }, { ...axis, size: LEFT }],
    series: [{}, ...series.map((s) => ({ stroke: s.line ? colour(s.colour) : "transparent", width: s.line ? 1.5 : 0, points: { show: false }, spanGaps: true, label: s.label }))],
    hooks: { draw: [draw] },
  });
  let plot = null;
  const fit = new ResizeObserver(() => {
    if (!where.isConnected) return;
    if (plot === null) plot = new uPlot(options(), [times, ...columns], where);
    else plot.setSize({ width: Math.max(where.clientWidth, 280), height: height + (last ? 44 : 0) });
  });
  fit.observe(where);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (plot === null || !where.isConnected) return;
    plot.destroy();
    plot = new uPlot(options(), [times, ...columns], where);
  });
  return made;
}

// A curve that grows, for the console.
export function curve(height, series, unit, x = {}) {
  const where = h("div", {});
  let plot = null;
  const axis = () => ({ stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid") }, font: "12px system-ui" });
  return {
    where,
    set(data) {
      if (!where.isConnected) return;
      if (plot !== null && plot.width !== where.clientWidth) { plot.destroy(); plot = null; }
      if (plot === null) {
        plot = new uPlot({
          width: Math.max(where.clientWidth, 240), height, legend: { show: false }, cursor: { show: false },
          scales: { x: { time: false, ...x }, y: { range: unit.range } },
          axes: [{ ...axis(), size: 30, label: unit.x, labelSize: 18, labelFont: "12px system-ui" }, { ...axis(), size: 54, label: unit.y, labelSize: 18, labelFont: "12px system-ui" }],
          series: [{}, ...series.map((s) => ({ stroke: colour(s.colour), width: 2, dash: s.dash, points: { show: false }, spanGaps: true }))],
        }, data, where);
      } else plot.setData(data);
    },
  };
}
