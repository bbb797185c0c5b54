/** `consistentHash` → hash policies of routes and TCP proxies (rule 45). */
import { durationJson } from "./duration.ts";
import { compact, type JsonObject } from "./json.ts";
import type { DestinationRule } from "./destination-rule.ts";
import type { ConsistentHash, TrafficPolicy } from "./spec/destination-rule.ts";

/**
 * By what the requests to a destination are hashed: its subset's, for the port that it names or at all; then the rule's
 * own in the same order. Unlike the cluster's policy it is not replaced as a whole by that of a port.
 */
export function consistentHashOf(
  rule: DestinationRule | undefined,
  subsetName: string,
  port: number | undefined,
): ConsistentHash | undefined {
  const subset = rule?.subsets.find(({ name }) => name === subsetName)?.trafficPolicy;
  return (
    ofPort(subset, port) ??
    subset?.loadBalancer?.consistentHash ??
    ofPort(rule?.trafficPolicy, port) ??
    rule?.trafficPolicy?.loadBalancer?.consistentHash
  );
}

function ofPort(policy: TrafficPolicy | undefined, port: number | undefined): ConsistentHash | undefined {
  if (port === undefined) return undefined;
  const settings = policy?.portLevelSettings?.find((setting) => setting.port?.number === port);
  return settings?.loadBalancer?.consistentHash;
}

/** Empty when there is nothing to hash. */
export function httpHashPolicy(hash: ConsistentHash | undefined): readonly JsonObject[] {
  if (hash === undefined) return [];
  if (hash.httpHeaderName !== undefined) return [{ header: { headerName: hash.httpHeaderName } }];
  if (hash.httpCookie !== undefined) return [{ cookie: cookie(hash.httpCookie) }];
  if (hash.useSourceIp === true) return [{ connectionProperties: { sourceIp: true } }];
  if (hash.httpQueryParameterName !== undefined) return [{ queryParameter: { name: hash.httpQueryParameterName } }];
  return [];
}

export function tcpHashPolicy(hash: ConsistentHash | undefined): readonly JsonObject[] | undefined {
  return hash?.useSourceIp === true ? [{ sourceIp: {} }] : undefined;
}

/** Without `ttl` the cookie is only read, with 0 it lives as long as the browser. */
function cookie(settings: NonNullable<ConsistentHash["httpCookie"]>): JsonObject {
  const attributes = settings.attributes ?? [];
  return compact({
    name: settings.name,
    path: settings.path === "" ? undefined : settings.path,
    ttl: durationJson(settings.ttl),
    attributes: attributes.length === 0 ? undefined : attributes.map(({ name, value }) => compact({ name, value })),
  });
}
