/** istio.stats: which providers count, and what deviates from the standard metrics (rule 115). */
import { durationJson } from "./duration.ts";
import { any, byText, compact, type JsonObject, sortedEntries } from "./json.ts";
import { memoized } from "./memo.ts";
import type { MetricsOverride, MetricsRule } from "./spec/telemetry.ts";
import { defaultProviders, extensionProvider, isForMode, providerNames, telemetrySpecs } from "./telemetry.ts";
import type { View } from "./view.ts";

/** Istio's name of a metric → Prometheus' without `istio_`. */
const METRICS: Readonly<Record<string, string>> = {
  GRPC_REQUEST_MESSAGES: "request_messages_total",
  GRPC_RESPONSE_MESSAGES: "response_messages_total",
  REQUEST_COUNT: "requests_total",
  REQUEST_DURATION: "request_duration_milliseconds",
  REQUEST_SIZE: "request_bytes",
  RESPONSE_SIZE: "response_bytes",
  TCP_CLOSED_CONNECTIONS: "tcp_connections_closed_total",
  TCP_OPENED_CONNECTIONS: "tcp_connections_opened_total",
  TCP_RECEIVED_BYTES: "tcp_received_bytes_total",
  TCP_SENT_BYTES: "tcp_sent_bytes_total",
};

type Side = "CLIENT" | "SERVER";

/** The filter, once a Prometheus provider; none when no provider is left or all metrics are switched off. */
export function statsFilters(view: View, side: Side): readonly JsonObject[] {
  const plan = planOf(view);
  const filters: JsonObject[] = [];
  for (const [name, settings] of plan) {
    const isPrometheus = extensionProvider(view.mesh, name)?.prometheus !== undefined;
    if (!isPrometheus || settings.disabled.has(side)) continue;
    const metrics = metricConfigs(settings.overrides[side]);
    filters.push({
      name: "istio.stats",
      typedConfig: any("stats.PluginConfig", {
        // What a client from outside writes into Host names no service.
        disableHostHeaderFallback: side === "SERVER" || view.proxy.type === "router" ? true : undefined,
        metrics: metrics.length === 0 ? undefined : metrics,
        tcpReportingDuration: settings.interval,
      }),
    });
  }
  return filters;
}

interface MetricSettings {
  disabled?: boolean;
  readonly tags: Map<string, { readonly operation?: string; readonly value?: string }>;
}

interface ProviderPlan {
  interval: string | undefined;
  readonly overrides: Readonly<Record<Side, Map<string, MetricSettings>>>;
  /** Sides on which all metrics are off. */
  readonly disabled: Set<Side>;
}

/** The last rule that names providers decides which there are; a rule without them belongs to those before it. */
const planOf = memoized((view: View): ReadonlyMap<string, ProviderPlan> => {
  const rules = telemetrySpecs(view).flatMap((spec) => spec.metrics ?? []);
  const plans = new Map<string, ProviderPlan>();
  let names = defaultProviders(view.mesh, "metrics");
  for (const name of names) planFor(plans, name);
  for (const rule of rules) {
    const own = providerNames(rule.providers);
    if (own.length > 0) names = own;
    for (const name of names) apply(planFor(plans, name), rule);
  }
  return new Map(names.toSorted(byText).map((name) => [name, planFor(plans, name)]));
});

function planFor(plans: Map<string, ProviderPlan>, name: string): ProviderPlan {
  const known = plans.get(name);
  if (known !== undefined) return known;
  const plan: ProviderPlan = {
    interval: undefined,
    overrides: { CLIENT: new Map(), SERVER: new Map() },
    disabled: new Set(),
  };
  plans.set(name, plan);
  return plan;
}

function apply(plan: ProviderPlan, rule: MetricsRule): void {
  plan.interval = durationJson(rule.reportingInterval) ?? plan.interval;
  for (const override of rule.overrides ?? []) {
    for (const side of ["CLIENT", "SERVER"] as const) {
      if (isForMode(override.match?.mode, side)) applyOverride(plan, override, side);
    }
  }
}

function applyOverride(plan: ProviderPlan, override: MetricsOverride, side: Side): void {
  const { metric, customMetric } = override.match ?? {};
  const isAll = customMetric === undefined && (metric === undefined || metric === "ALL_METRICS");
  if (isAll && override.disabled === true) {
    plan.disabled.add(side);
    return;
  }
  // What is said of one metric switches the filter on again.
  plan.disabled.delete(side);
  const names = isAll ? Object.keys(METRICS) : [customMetric ?? metric ?? ""];
  for (const name of names) {
    const settings: MetricSettings = plan.overrides[side].get(name) ?? { tags: new Map() };
    if (override.disabled !== undefined) settings.disabled = override.disabled;
    for (const [tag, value] of Object.entries(override.tagOverrides ?? {})) settings.tags.set(tag, value);
    plan.overrides[side].set(name, settings);
  }
}

function metricConfigs(overrides: ReadonlyMap<string, MetricSettings>): readonly JsonObject[] {
  return [...overrides]
    .toSorted(([a], [b]) => byText(a, b))
    .map(([name, settings]) => {
      const tags = sortedEntries(Object.fromEntries(settings.tags));
      const removed = tags.filter(([, { operation }]) => operation === "REMOVE").map(([tag]) => tag);
      const kept = tags.filter(([, { operation }]) => operation !== "REMOVE");
      return compact({
        name: METRICS[name] ?? name,
        dimensions:
          kept.length === 0 ? undefined : Object.fromEntries(kept.map(([tag, { value }]) => [tag, value ?? ""])),
        tagsToRemove: removed.length === 0 ? undefined : removed,
        drop: settings.disabled === true ? true : undefined,
      });
    });
}
