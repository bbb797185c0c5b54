/** `envoy.config.route.v3.RouteConfiguration` → `RouteTable`. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { RouteConfiguration } from "#protos/gen/envoy/config/route/v3/route_pb.js";
import type { HttpFilterFactory } from "../http/filter.ts";
import type { HeaderMap } from "../http/header-map.ts";
import type { ClusterManager } from "../upstream/types.ts";
import { parseMirrorPolicy } from "./mirror-policy.ts";
import type { RouteParseContext } from "./parse-context.ts";
import { parseVirtualHost, type CompiledVirtualHost } from "./parse-virtual-host.ts";
import { RouteConfigParsers } from "./per-filter-config.ts";
import { portAt } from "./redirect.ts";
import { RegexCache } from "./regex.ts";
import { parseLevel } from "./route-level.ts";
import type { MatchContext, ResolvedRoute, RouteTable } from "./types.ts";
import { VirtualHostIndex } from "./virtual-host-index.ts";

export interface RouteParseOptions {
  /** Where the names of clusters are looked up when they are to be validated. */
  readonly clusters?: ClusterManager | undefined;
  /** The HTTP filters that may have per-route configuration. */
  readonly filters: Iterable<HttpFilterFactory>;
  /** `validate_clusters` when it is absent: true for an inline route configuration, false for one over RDS. */
  readonly validateClusters?: boolean;
  /** Path of the message inside a larger one; empty for a resource of its own. */
  readonly path?: string;
}

const defaultMaxDirectResponseBodyBytes = 4096;

/** Reads and compiles a route configuration. Any problem of level `error` means that there is no value. */
export function parseRouteConfiguration(message: Message, options: RouteParseOptions): Parsed<RouteTable> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as RouteConfiguration, options.path ?? "", problems);
  const filters = new RouteConfigParsers(options.filters);
  const context: RouteParseContext = {
    regexes: new RegexCache(),
    filters,
    maxDirectResponseBodyBytes: reader.get("maxDirectResponseBodySizeBytes") ?? defaultMaxDirectResponseBodyBytes,
    mostSpecificWins: reader.get("mostSpecificHeaderMutationsWins"),
    level: parseLevel(
      {
        requestHeadersToAdd: reader.children("requestHeadersToAdd"),
        requestHeadersToRemove: reader.get("requestHeadersToRemove"),
        responseHeadersToAdd: reader.children("responseHeadersToAdd"),
        responseHeadersToRemove: reader.get("responseHeadersToRemove"),
        typedPerFilterConfig: reader.get("typedPerFilterConfig"),
      },
      reader.path,
      problems,
      filters,
    ),
    mirrors: reader.children("requestMirrorPolicies").map(parseMirrorPolicy),
    clusterNames: new Map(),
  };
  const index = new VirtualHostIndex<CompiledVirtualHost>();
  const names = new Set<string>();
  for (const host of reader.children("virtualHosts")) {
    const compiled = parseVirtualHost(host, context);
    if (names.has(compiled.name))
      host.invalid("name", `Only unique names for virtual hosts are permitted. Duplicate: ${compiled.name}`);
    names.add(compiled.name);
    for (const [at, domain] of compiled.domains.entries()) {
      const problem = index.add(domain, compiled);
      if (problem !== undefined)
        problems.push({ code: "invalid-value", level: "error", path: `${host.path}.domains[${at}]`, message: problem });
    }
  }
  const validate = reader.get("validateClusters") ?? options.validateClusters ?? false;
  if (validate && options.clusters !== undefined) checkClusters(context, options.clusters, problems);
  const table = new CompiledRouteTable({
    name: reader.get("name"),
    index,
    hostHeader: reader.get("vhostHeader").toLowerCase(),
    ignorePort: reader.get("ignorePortInHostMatching"),
    ignorePathParameters: reader.get("ignorePathParametersInPathMatching"),
    internalOnlyHeaders: reader.get("internalOnlyHeaders").map((name) => name.toLowerCase()),
    maxDirectResponseBodyBytes: context.maxDirectResponseBodyBytes,
    clusterNames: [...context.clusterNames.keys()],
  });
  if (reader.get("vhds") !== undefined)
    reader.unsupported(
      "vhds",
      "virtual hosts are not discovered one by one here; send them with the route configuration",
    );
  reader.ignore("metadata", "nothing in the proxy reads it");
  reader.finish();
  return problems.some((problem) => problem.level === "error") ? { problems } : { value: table, problems };
}

function checkClusters(context: RouteParseContext, clusters: ClusterManager, problems: Problem[]): void {
  for (const [name, path] of context.clusterNames) {
    if (clusters.get(name) !== undefined) continue;
    problems.push({ code: "invalid-value", level: "error", path, message: `route: unknown cluster '${name}'` });
  }
}

interface RouteTableParts {
  /** Named by `vhost_header`; "": the host itself. */
  readonly hostHeader: string;
  readonly name: string;
  readonly index: VirtualHostIndex<CompiledVirtualHost>;
  readonly ignorePort: boolean;
  readonly ignorePathParameters: boolean;
  readonly internalOnlyHeaders: readonly string[];
  readonly maxDirectResponseBodyBytes: number;
  readonly clusterNames: readonly string[];
}

class CompiledRouteTable implements RouteTable {
  readonly name: string;
  readonly maxDirectResponseBodyBytes: number;
  readonly clusterNames: readonly string[];
  readonly internalOnlyHeaders: readonly string[];
  readonly #index: VirtualHostIndex<CompiledVirtualHost>;
  readonly #hostHeader: string;
  readonly #ignorePort: boolean;
  readonly #ignorePathParameters: boolean;

  constructor(parts: RouteTableParts) {
    this.name = parts.name;
    this.maxDirectResponseBodyBytes = parts.maxDirectResponseBodyBytes;
    this.clusterNames = parts.clusterNames;
    this.internalOnlyHeaders = parts.internalOnlyHeaders;
    this.#index = parts.index;
    this.#hostHeader = parts.hostHeader;
    this.#ignorePort = parts.ignorePort;
    this.#ignorePathParameters = parts.ignorePathParameters;
  }

  match(headers: HeaderMap, context: MatchContext): ResolvedRoute | undefined {
    const authority = this.#hostHeader === "" ? headers.authority : (headers.get(this.#hostHeader) ?? "");
    if (authority === "") return undefined;
    const host = this.#index.find(this.#ignorePort ? withoutPort(authority) : authority);
    if (host === undefined) return undefined;
    return host.match(headers, this.#ignorePathParameters ? withoutParameters(headers.path) : headers.path, context);
  }
}

/** Whatever stands where a port would. */
function withoutPort(host: string): string {
  const colon = portAt(host);
  return colon < 0 ? host : host.slice(0, colon);
}

/** Of every segment (Envoy since 1.39.1); the query keeps its semicolons. */
function withoutParameters(path: string): string {
  if (!path.includes(";")) return path;
  const query = path.indexOf("?");
  const bare = query < 0 ? path : path.slice(0, query);
  return bare.replaceAll(/;[^/]*/g, "") + (query < 0 ? "" : path.slice(query));
}
