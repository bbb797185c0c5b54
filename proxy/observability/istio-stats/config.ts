/** `stats.PluginConfig` → what is counted, under which labels. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { MetricConfig, PluginConfig } from "#protos/gen/stats/config_pb.js";
import { durationMs } from "../../config-values.ts";
import { compileCel, type CelExpression } from "../cel/compile.ts";

/** Metrics by their names without `istio_`. */
export const HTTP_METRICS = [
  "requests_total",
  "request_duration_milliseconds",
  "request_bytes",
  "response_bytes",
  "request_messages_total",
  "response_messages_total",
] as const;
export const TCP_METRICS = [
  "tcp_connections_opened_total",
  "tcp_connections_closed_total",
  "tcp_sent_bytes_total",
  "tcp_received_bytes_total",
] as const;

export type MetricName = (typeof HTTP_METRICS)[number] | (typeof TCP_METRICS)[number];

export interface IstioStatsConfig {
  readonly useHostHeader: boolean;
  readonly tcpReportingMs: number;
  readonly isServerGateway: boolean;
  /** What deviates from the standard labels; a metric that is not here has none. */
  readonly overrides: ReadonlyMap<MetricName, MetricOverride>;
}

export interface MetricOverride {
  readonly drop: boolean;
  readonly removed: ReadonlySet<string>;
  /** By label, in the order in which new ones are appended. */
  readonly dimensions: ReadonlyMap<string, CelExpression>;
}

const DEFAULT_REPORTING_MS = 5000;

export const ISTIO_STATS_TYPE_URL = "type.googleapis.com/stats.PluginConfig";

/** Reads the configuration of both filters. */
export function parseIstioStats(message: Message, path: string): Parsed<IstioStatsConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as PluginConfig, path, problems);
  const useHostHeader = !reader.get("disableHostHeaderFallback");
  const tcpReportingMs = durationMs(reader.get("tcpReportingDuration")) ?? DEFAULT_REPORTING_MS;
  const isServerGateway = reader.get("reporter") === 1;
  reader.ignore("rotationInterval", "series are kept as long as the filter: their number is that of peers");
  reader.ignore("gracefulDeletionInterval", "series are never deleted while the filter lives");
  const overrides = new Map<MetricName, MetricOverride>();
  for (const metric of reader.children("metrics")) addOverride(metric, overrides);
  reader.finish();
  return problems.length > 0
    ? { problems }
    : { value: { useHostHeader, tcpReportingMs, isServerGateway, overrides }, problems };
}

function addOverride(reader: MessageReader<MetricConfig>, overrides: Map<MetricName, MetricOverride>): void {
  const name = reader.get("name");
  const drop = reader.get("drop");
  const removed = reader.get("tagsToRemove");
  const dimensions = new Map<string, CelExpression>();
  for (const [label, text] of Object.entries(reader.get("dimensions")).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const compiled = compileCel(text, `${reader.at("dimensions")}[${label}]`);
    reader.problems.push(...compiled.problems);
    if (compiled.value !== undefined) dimensions.set(label, compiled.value);
  }
  reader.finish();
  const all: readonly MetricName[] = [...HTTP_METRICS, ...TCP_METRICS];
  // A metric that nobody defined (Istio sends its users' custom metrics) is none of ours.
  for (const metric of name === "" ? all : all.filter((known) => known === name)) {
    const before = overrides.get(metric);
    overrides.set(metric, {
      drop: drop || before?.drop === true,
      removed: new Set([...(before?.removed ?? []), ...removed]),
      dimensions: new Map([...(before?.dimensions ?? []), ...dimensions]),
    });
  }
}
