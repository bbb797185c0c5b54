/** `/stats`, `/stats/prometheus`, `/reset_counters`. */
import { RE2JS } from "re2js";
import type { Parsed } from "#lib/problem.ts";
import { formatPrometheus } from "../observability/prometheus.ts";
import { formatStatsJson, formatStatsText, type HistogramMode, type StatType } from "../observability/stats-page.ts";
import type { Stat, StatsStore } from "../observability/stats-store.ts";
import type { TaggedName } from "../observability/stats-tags.ts";
import { has, text, type AdminEndpoint, type AdminRequest, type AdminResponse } from "./endpoint.ts";

export interface StatsView {
  readonly store: StatsStore;
  readonly tagsOf: (stat: Stat) => TaggedName;
  readonly bucketsOf: (name: string) => readonly number[];
  /** Brings gauges up to date that are only read here (`server.uptime`). */
  refresh(): void;
}

const TYPES: Readonly<Record<string, StatType>> = {
  all: "All",
  counters: "Counters",
  gauges: "Gauges",
  histograms: "Histograms",
  textreadouts: "TextReadouts",
};

const MODES: readonly string[] = ["cumulative", "disjoint", "detailed", "summary"] satisfies HistogramMode[];

const SHARED = [
  { name: "usedonly", help: "Only include stats that have been written by system since restart" },
  { name: "filter", help: "Regular expression (Google re2) for filtering stats" },
] as const;

/** The pages over one store. */
export function statsEndpoints(view: StatsView): readonly AdminEndpoint[] {
  return [
    {
      path: "/stats",
      help: "print server stats",
      parameters: [
        ...SHARED,
        { name: "format", help: "Format to use; One of (html, active-html, text, json)" },
        { name: "type", help: "Stat types to include.; One of (All, Counters, Histograms, Gauges, TextReadouts)" },
        {
          name: "histogram_buckets",
          help: "Histogram bucket display mode; One of (cumulative, disjoint, detailed, summary)",
        },
      ],
      handle: (request) => statsPage(request, view),
    },
    {
      path: "/stats/prometheus",
      help: "print server stats in prometheus format",
      parameters: [
        ...SHARED,
        {
          name: "text_readouts",
          help: "Render text_readouts as new gaugues with value 0 (increases Prometheus data size)",
        },
        { name: "histogram_buckets", help: "Histogram bucket display mode; One of (cumulative, summary)" },
      ],
      handle: (request) => prometheusPage(request, view),
    },
    {
      path: "/reset_counters",
      help: "reset all counters to zero",
      mutates: true,
      handle() {
        view.store.resetCounters();
        return text("OK\n");
      },
    },
  ];
}

function statsPage(request: AdminRequest, view: StatsView): AdminResponse {
  const format = request.query.get("format") ?? "text";
  const type = TYPES[(request.query.get("type") ?? "all").toLowerCase()];
  const histograms = request.query.get("histogram_buckets") ?? "summary";
  const hidden = request.query.get("hidden") ?? "exclude";
  if (!["html", "active-html", "json", "prometheus", "text"].includes(format))
    return text("usage: /stats?format=(html|active-html|json|prometheus|text)\n\n", 400);
  if (type === undefined) return text("invalid &type= param", 400);
  if (!["include", "only", "exclude"].includes(hidden))
    return text("usage: /stats?hidden=(include|only|exclude)\n\n", 400);
  if (format === "prometheus") return prometheusPage(request, view);
  if (!MODES.includes(histograms) && histograms !== "none" && histograms !== "")
    return text("usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)\n\n", 400);
  const includes = filterOf(request);
  if (includes.value === undefined) return text(includes.problems[0]?.message ?? "", 400);
  view.refresh();
  const options = {
    // No statistic is hidden here.
    includes: hidden === "only" ? () => false : includes.value,
    type,
    histograms: (MODES.includes(histograms) ? histograms : "summary") as HistogramMode,
    bucketsOf: view.bucketsOf,
  };
  if (format === "json") return { contentType: "application/json", body: formatStatsJson(view.store, options) };
  const body = formatStatsText(view.store, options);
  return format === "text" ? text(body) : { contentType: "text/html; charset=UTF-8", body: htmlPage(body) };
}

function prometheusPage(request: AdminRequest, view: StatsView): AdminResponse {
  const mode = request.query.get("histogram_buckets") ?? "cumulative";
  if (mode !== "cumulative" && mode !== "summary" && mode !== "none" && mode !== "")
    return text("unsupported prometheus histogram bucket mode", 400);
  const includes = filterOf(request);
  if (includes.value === undefined) return text(includes.problems[0]?.message ?? "", 400);
  view.refresh();
  const { store, tagsOf, bucketsOf } = view;
  return text(
    formatPrometheus(store, {
      tagsOf,
      bucketsOf,
      includes: includes.value,
      textReadouts: has(request, "text_readouts"),
      summaries: mode === "summary",
    }),
  );
}

function filterOf(request: AdminRequest): Parsed<(stat: Stat) => boolean> {
  const usedOnly = has(request, "usedonly");
  const pattern = request.query.get("filter") ?? "";
  const invert = has(request, "invert_filter");
  if (pattern === "") return { value: usedOnly ? (stat) => stat.isUsed : () => true, problems: [] };
  try {
    const regex = RE2JS.compile(pattern);
    return { value: (stat) => (!usedOnly || stat.isUsed) && regex.test(stat.name) !== invert, problems: [] };
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replace(/^error parsing regexp: /, "");
    return { problems: [{ code: "regex", level: "error", path: "filter", message: `Invalid re2 regex: ${reason}` }] };
  }
}

function htmlPage(body: string): string {
  const escaped = body.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<!DOCTYPE html>\n<html lang="en"><head><title>stats</title></head><body><pre>\n${escaped}</pre></body></html>\n`;
}
