/** `outbound|port|subset|host`: one cluster a service port, and one a subset of it. */
import { connectTimeout, circuitBreakers, upstreamConnectionOptions } from "./connection-pool.ts";
import { type DestinationRule } from "./destination-rule.ts";
import { discoveryType, type DiscoveryType } from "./discovery-type.ts";
import { durationFromMs } from "./duration.ts";
import { loadAssignment } from "./endpoints.ts";
import { any, compact, type JsonObject } from "./json.ts";
import { loadBalancing } from "./load-balancer.ts";
import { localityPlan, weightsLocalities } from "./locality.ts";
import { configPath, meshSni, outboundCluster } from "./names.ts";
import { passesMeshTlsThrough, sniTargets } from "./gateway-auto-passthrough.ts";
import { metadataExchange } from "./network-filters.ts";
import { healthyPanicThreshold, outlierDetection } from "./outlier-detection.ts";
import { destinationRuleOf, instancesOfPort, type ScopedPort, type ScopedService } from "./scope.ts";
import { ADS_SOURCE } from "./secrets.ts";
import { serviceAccountsOf } from "./service-accounts.ts";
import type { Subset } from "./spec/destination-rule.ts";
import { effectivePolicy, type EffectivePolicy } from "./traffic-policy.ts";
import { upgradesToHttp2 } from "./connection-pool.ts";
import { isHttp2 } from "./protocols.ts";
import { upstreamProtocol } from "./upstream-protocol.ts";
import { upstreamTls, withProxyProtocol } from "./upstream-tls.ts";
import { hasExtension, report, type View } from "./view.ts";

export function outboundClusters(view: View): readonly JsonObject[] {
  const result: JsonObject[] = [];
  for (const service of view.scope.services) {
    if (service.model.resolution === "dynamic-dns") {
      const message = `${service.host} has no cluster: resolution DYNAMIC_DNS is not known here. Use DNS, or NONE.`;
      report(view, "warning", "no-effect", service.model.object, "spec.resolution", message);
      continue;
    }
    const rule = destinationRuleOf(view.mesh, view.scope, service.model, view.labels);
    for (const port of service.ports) {
      if (port.protocol === "UDP") continue;
      for (const subset of [undefined, ...(rule?.subsets ?? [])]) {
        const cluster = outboundClusterOf(view, { service, port, rule, subset });
        if (cluster !== undefined) result.push(cluster);
      }
    }
  }
  return result;
}

interface ClusterInput {
  readonly service: ScopedService;
  readonly port: ScopedPort;
  readonly rule: DestinationRule | undefined;
  readonly subset: Subset | undefined;
}

/** `outbound_.80_._.host`: what comes with mesh TLS of another network goes on as it is, whatever it holds. */
export function sniClusters(view: View): readonly JsonObject[] {
  if (!passesMeshTlsThrough(view)) return [];
  return sniTargets(view).flatMap(({ service, port, subset }) => {
    const rule = destinationRuleOf(view.mesh, view.scope, service.model, view.labels);
    const input = { service, port, rule, subset: rule?.subsets.find(({ name }) => name === subset) };
    const cluster = outboundClusterOf(view, input, meshSni(port.number, subset, service.host));
    if (cluster === undefined) return [];
    const { transportSocket: _socket, transportSocketMatches: _matches, ...rest } = cluster;
    return [rest];
  });
}

/** Undefined for a DNS cluster that has no endpoint (rule 91). */
function outboundClusterOf(view: View, input: ClusterInput, sniName?: string): JsonObject | undefined {
  const { service, port, rule, subset } = input;
  const { meshConfig } = view.mesh;
  const subsetName = subset?.name ?? "";
  const name = sniName ?? outboundCluster(port.number, subsetName, service.host);
  const policy = effectivePolicy(rule, subsetName, port.number, meshConfig);
  const type = discoveryType(view, service, policy);
  const discovery = discoveryFields(view, type, name, { service, port, rule, subset });
  if (discovery === undefined) return undefined;
  const pool = policy.connectionPool;
  const speaksHttp2 =
    (isHttp2(port.protocol) || upgradesToHttp2(pool, port.protocol, meshConfig)) &&
    pool?.http?.useClientProtocol !== true;
  const tls = upstreamTls(view, {
    service: service.model,
    port: port.number,
    subset: subsetName,
    rule,
    tls: policy.tls,
    serviceAccounts: serviceAccountsOf(view.mesh, service),
    isHttp2: speaksHttp2,
    isOriginalDst: type === "ORIGINAL_DST",
    instances: instancesOfPort(view.mesh, port),
  });
  const protocol = upstreamProtocol({
    protocol: port.protocol,
    pool,
    meshConfig,
    isInbound: false,
    isGateway: view.proxy.type !== "sidecar",
    upstreamHttpOptions: sniName === undefined ? tls.httpOptions : undefined,
  });
  return compact({
    name,
    altStatName: `${name};`,
    ...discovery,
    connectTimeout: connectTimeout(pool, meshConfig),
    circuitBreakers: circuitBreakers(pool, policy.retryBudget),
    commonLbConfig: {
      healthyPanicThreshold: healthyPanicThreshold(policy.outlierDetection),
      ...(type !== "ORIGINAL_DST" &&
        weightsLocalities(localityPlan(service, policy, meshConfig)) && { localityWeightedLbConfig: {} }),
    },
    ...(type === "ORIGINAL_DST" ? { lbPolicy: "CLUSTER_PROVIDED" } : loadBalancing(policy.loadBalancer)),
    outlierDetection: outlierDetection(policy.outlierDetection),
    upstreamConnectionOptions: upstreamConnectionOptions(pool, meshConfig),
    typedExtensionProtocolOptions: protocol.options,
    ...withProxyProtocol(view, tls.fields, proxyProtocolVersion(policy), rule?.object),
    filters: metadataExchange(view),
    metadata: { filterMetadata: { istio: istioMetadata(service, rule, subsetName, tls.keepsAlpn) } },
  });
}

/** A block without a version means the first. */
function proxyProtocolVersion({ proxyProtocol }: EffectivePolicy): "V1" | "V2" | undefined {
  return proxyProtocol === undefined ? undefined : (proxyProtocol.version ?? "V1");
}

function istioMetadata(
  service: ScopedService,
  rule: DestinationRule | undefined,
  subset: string,
  keepsAlpn: boolean,
): JsonObject {
  const { host, name, namespace } = service.model;
  return compact({
    config: rule === undefined ? undefined : configPath(rule.object),
    services: [{ host, name, namespace }],
    subset: subset === "" ? undefined : subset,
    external: service.model.isExternal ? true : undefined,
    alpn_override: keepsAlpn ? "false" : undefined,
  });
}

function discoveryFields(view: View, type: DiscoveryType, name: string, input: ClusterInput): JsonObject | undefined {
  switch (type) {
    case "EDS":
      return { type, edsClusterConfig: { edsConfig: ADS_SOURCE, serviceName: name } };
    case "ORIGINAL_DST":
      return { type };
    case "STRICT_DNS":
    case "LOGICAL_DNS": {
      const { service, port, rule, subset } = input;
      const { meshConfig } = view.mesh;
      const policy = effectivePolicy(rule, subset?.name ?? "", port.number, meshConfig);
      const assignment = loadAssignment(view, {
        service,
        port,
        subset: subset?.name ?? "",
        labels: subset?.labels,
        rule,
        policy,
      });
      if (assignment["endpoints"] === undefined) return undefined;
      return compact({
        type,
        loadAssignment: assignment,
        respectDnsTtl: true,
        dnsRefreshRate: durationFromMs(meshConfig.dnsRefreshRateMs),
        dnsJitter: "0.100s",
        dnsLookupFamily: "V4_ONLY",
        typedDnsResolverConfig: dnsResolver(view),
      });
    }
  }
}

function dnsResolver(view: View): JsonObject | undefined {
  const name = "envoy.network.dns_resolver.cares";
  if (!hasExtension(view, name)) return undefined;
  return {
    name,
    typedConfig: any("envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", { udpMaxQueries: 100 }),
  };
}
