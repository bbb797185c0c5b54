/** `retries` → RetryPolicy; every outbound route has one by default (rules 29, 30). */
import type { MeshConfig } from "../model/mesh-config.ts";
import { durationJson } from "./duration.ts";
import { any, compact, type JsonObject } from "./json.ts";
import type { HttpRetries } from "./spec/virtual-service.ts";

const DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const DEFAULT_ATTEMPTS = 2;

const PREVIOUS_HOSTS: JsonObject = {
  name: "envoy.retry_host_predicates.previous_hosts",
  typedConfig: any("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
};
const PREVIOUS_PRIORITIES: JsonObject = {
  name: "envoy.retry_priorities.previous_priorities",
  typedConfig: any("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", {
    updateFrequency: 2,
  }),
};

/** The sidecar's own try again when the application has not seen the request yet. */
export const INBOUND_RETRY: JsonObject = { numRetries: 2, retryOn: "reset-before-request" };

/**
 * Undefined: no retries. `hashes`: the route's one destination is chosen by hash, so that trying another host is left
 * out unless it is asked for.
 */
export function retryPolicy(
  retries: HttpRetries | undefined,
  meshConfig: MeshConfig,
  hashes = false,
): JsonObject | undefined {
  const ofMesh = meshConfig.raw["defaultHttpRetryPolicy"] as HttpRetries | null | undefined;
  const settings = retries ?? ofMesh ?? { attempts: DEFAULT_ATTEMPTS };
  const attempts = settings.attempts ?? 0;
  if (attempts <= 0) return undefined;
  const { retryOn, codes } = retryConditions(settings.retryOn ?? "");
  const avoidsPrevious = settings.retryIgnorePreviousHosts ?? !hashes;
  const backoff = durationJson(settings.backoff);
  return compact({
    retryOn,
    numRetries: attempts,
    perTryTimeout: durationJson(settings.perTryTimeout),
    retriableStatusCodes: codes.length === 0 ? undefined : codes,
    retryHostPredicate: avoidsPrevious ? [PREVIOUS_HOSTS] : undefined,
    hostSelectionRetryMaxAttempts: "5",
    retryPriority: settings.retryRemoteLocalities === true ? PREVIOUS_PRIORITIES : undefined,
    retryBackOff: backoff === undefined ? undefined : { baseInterval: backoff },
  });
}

/** Status codes among the conditions become a list of their own. */
function retryConditions(text: string): { readonly retryOn: string; readonly codes: readonly number[] } {
  if (text === "") return { retryOn: DEFAULT_RETRY_ON, codes: [] };
  const names: string[] = [];
  const codes: number[] = [];
  for (const part of text.split(",").map((item) => item.trim())) {
    if (/^\d+$/.test(part)) codes.push(Number(part));
    else if (part !== "") names.push(part);
  }
  if (codes.length > 0 && !names.includes("retriable-status-codes")) names.push("retriable-status-codes");
  return { retryOn: names.join(","), codes };
}
