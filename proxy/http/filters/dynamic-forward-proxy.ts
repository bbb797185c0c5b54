/** `envoy.filters.http.dynamic_forward_proxy`: holds a request until the name that it asks for is resolved. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  FilterConfig,
  PerRouteConfig,
} from "#protos/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.js";
import { ResponseFlag } from "../../stream-info.ts";
import { parseDnsCache } from "../../upstream/config/parse-dns-cache.ts";
import type { ClusterManager } from "../../upstream/types.ts";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory, LocalReply } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

/** What the name is taken from, in place of `:authority`. */
type HostRewrite = { readonly literal: string } | { readonly header: string } | undefined;

const type = "type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3";

export const dynamicForwardProxy: HttpFilterFactory<null, HostRewrite> = {
  name: "envoy.filters.http.dynamic_forward_proxy",
  typeUrls: [`${type}.FilterConfig`],
  routeTypeUrls: [`${type}.PerRouteConfig`],
  parse,
  parseRoute,
  create:
    (_config, { clusters }, name) =>
    (stream) =>
      new DynamicForwardFilter(stream, clusters, stream.routeConfig<HostRewrite>(name)),
};

class DynamicForwardFilter implements HttpFilter {
  readonly #stream: FilterStream;
  readonly #clusters: ClusterManager;
  readonly #rewrite: HostRewrite;
  #waiting: { cancel(): void } | undefined = undefined;

  constructor(stream: FilterStream, clusters: ClusterManager, rewrite: HostRewrite) {
    this.#stream = stream;
    this.#clusters = clusters;
    this.#rewrite = rewrite;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const route = this.#stream.forwardRoute;
    const hosts = route === undefined ? undefined : this.#clusters.get(route.clusterName)?.dynamicHosts;
    if (hosts === undefined) return "continue";
    const name = this.#nameOf(headers);
    if (name !== undefined) headers.set(":authority", name);
    const state = hosts.prepare(headers.authority, (isThere) => {
      this.#waiting = undefined;
      if (isThere) this.#stream.continueDecoding();
      else this.#stream.sendLocalReply(replies.failed);
    });
    if (state === "ready") return "continue";
    if (typeof state === "string") this.#stream.sendLocalReply(replies[state]);
    else this.#waiting = state;
    return "stop";
  }

  onDestroy(): void {
    this.#waiting?.cancel();
  }

  #nameOf(headers: HeaderMap): string | undefined {
    if (this.#rewrite === undefined) return undefined;
    return "literal" in this.#rewrite ? this.#rewrite.literal : headers.get(this.#rewrite.header);
  }
}

const replies: Readonly<Record<"failed" | "overflow" | "pending-overflow", LocalReply>> = {
  failed: {
    status: 503,
    body: "DNS resolution failure",
    details: "dns_resolution_failure",
    flag: ResponseFlag.DnsResolutionFailed,
  },
  overflow: { status: 503, body: "DNS cache overflow", details: "dns_cache_overflow" },
  "pending-overflow": {
    status: 503,
    body: "Dynamic forward proxy pending request overflow",
    details: "dynamic_forward_proxy_pending_request_overflow",
  },
};

function parse(message: Message, path: string): Parsed<null> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as FilterConfig, path, problems);
  const specifier = reader.get("implementationSpecifier");
  if (specifier.case === "dnsCacheConfig")
    // The cluster of the same cache resolves; what is written here must still be something that it could do.
    parseDnsCache(reader.oneof("implementationSpecifier", specifier.value));
  else if (specifier.case !== undefined)
    reader.unsupported("implementationSpecifier", "sub clusters are not supported; use dns_cache_config");
  reader.finish();
  return problems.length > 0 ? { problems } : { value: null, problems };
}

function parseRoute(message: Message, path: string): Parsed<HostRewrite> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as PerRouteConfig, path, problems);
  const specifier = reader.get("hostRewriteSpecifier");
  reader.finish();
  if (problems.length > 0) return { problems };
  if (specifier.case === "hostRewriteLiteral") return { value: { literal: specifier.value }, problems };
  return specifier.case === "hostRewriteHeader"
    ? { value: { header: specifier.value.toLowerCase() }, problems }
    : { value: undefined, problems };
}
