/** `envoy.filters.http.ext_authz`: a service says whether a request may pass, and as what. */
import type { JsonObject } from "@bufbuild/protobuf";
import type { CheckedHttp, PeerSettings } from "../../../ext-authz/check-request.ts";
import type { Authorizer, CheckResult } from "../../../ext-authz/check-result.ts";
import { createGrpcAuthorizer } from "../../../ext-authz/grpc-authorizer.ts";
import { createHttpAuthorizer } from "../../../ext-authz/http-authorizer.ts";
import { labelsOf } from "../../../ext-authz/labels.ts";
import { isRuntimeFlagOn, isRuntimeFraction } from "../../../config-values.ts";
import type { Counter, StatsScope } from "../../../observability/stats.ts";
import { leaveMetadata } from "../../../rbac/judge.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import type { Cluster } from "../../../upstream/types.ts";
import type {
  BodyStatus,
  FilterFactoryContext,
  FilterStream,
  HeadersStatus,
  HttpFilter,
  HttpFilterFactory,
} from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import { withQueryParameters } from "../../query-parameters.ts";
import {
  type BodyConfig,
  type ExtAuthzConfig,
  type ExtAuthzRouteConfig,
  parseExtAuthz,
  parseExtAuthzRoute,
  type ServiceConfig,
} from "./config.ts";
import { applyChanges, areValid, isRemovable } from "./header-changes.ts";

const TYPE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.";
const NAMESPACE = "envoy.filters.http.ext_authz";

export const extAuthz: HttpFilterFactory<ExtAuthzConfig, ExtAuthzRouteConfig> = {
  name: "envoy.filters.http.ext_authz",
  typeUrls: [`${TYPE}ExtAuthz`],
  routeTypeUrls: [`${TYPE}ExtAuthzPerRoute`],
  parse: parseExtAuthz,
  parseRoute: parseExtAuthzRoute,
  create(config, context, name) {
    const shared = new Shared(config, context);
    return (stream) => {
      const routes = stream.routeConfigs<ExtAuthzRouteConfig>(name);
      const isOff = config.service === undefined || stream.route === undefined || routes[0]?.kind === "disabled";
      return isOff ? undefined : new ExtAuthzFilter(stream, shared, routes);
    };
  },
};

/** What all requests of one configuration share. */
class Shared {
  readonly config: ExtAuthzConfig;
  readonly context: FilterFactoryContext;
  readonly stats: ReturnType<typeof extAuthzStats>;
  readonly peers: PeerSettings;
  readonly #authorizers = new Map<ServiceConfig, Authorizer>();

  constructor(config: ExtAuthzConfig, context: FilterFactoryContext) {
    this.config = config;
    this.context = context;
    this.stats = extAuthzStats(context.scope, config.statPrefix);
    this.peers = {
      hasPeerCertificate: config.hasPeerCertificate,
      hasTlsSession: config.hasTlsSession,
      destinationLabels: labelsOf(context.node.metadata, config.labelsKey),
    };
  }

  authorizer(service: ServiceConfig): Authorizer {
    let known = this.#authorizers.get(service);
    if (known === undefined) {
      known =
        service.kind === "grpc"
          ? createGrpcAuthorizer(service.target, this.context)
          : createHttpAuthorizer(service.http, this.context);
      this.#authorizers.set(service, known);
    }
    return known;
  }

  /** `cluster.<route's cluster>.ext_authz.` */
  count(cluster: Cluster | undefined, name: string): void {
    if (cluster === undefined) return;
    const scope = cluster.scope.scope("ext_authz");
    (this.config.statPrefix === "" ? scope : scope.scope(this.config.statPrefix)).counter(name).inc();
  }
}

function extAuthzStats(parent: StatsScope, prefix: string): Readonly<Record<StatName, Counter>> {
  const own = parent.scope("ext_authz");
  const scope = prefix === "" ? own : own.scope(prefix);
  return Object.fromEntries(STATS.map((name) => [name, scope.counter(name)])) as Record<StatName, Counter>;
}

const STATS = [
  "ok",
  "denied",
  "error",
  "disabled",
  "failure_mode_allowed",
  "invalid",
  "ignored_dynamic_metadata",
  "filter_state_name_collision",
  "omitted_response_headers",
  "request_header_limits_reached",
] as const;
type StatName = (typeof STATS)[number];

type Settings = Extract<ExtAuthzRouteConfig, { kind: "settings" }>;

class ExtAuthzFilter implements HttpFilter {
  readonly #stream: FilterStream;
  readonly #shared: Shared;
  /** The most specific first. */
  readonly #routes: readonly Settings[];
  readonly #body: BodyConfig | undefined;
  #state: "idle" | "buffering" | "calling" | "passed" | "refused" = "idle";
  #headers: HeaderMap | undefined = undefined;
  #call: { cancel(): void } | undefined = undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #startedMs = 0;
  #responseHeaders: Extract<CheckResult, { verdict: "ok" }>["responseHeaders"] = [];

  constructor(stream: FilterStream, shared: Shared, routes: readonly ExtAuthzRouteConfig[]) {
    this.#stream = stream;
    this.#shared = shared;
    this.#routes = routes.filter((route) => route.kind === "settings");
    const own = this.#routes[0]?.body;
    this.#body = own === undefined ? shared.config.body : (own ?? undefined);
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): HeadersStatus {
    const { config, stats } = this.#shared;
    this.#headers = headers;
    if (!this.#isEnabled()) {
      stats.disabled.inc();
      if (!isRuntimeFlagOn(config.deniesWhenDisabled, this.#shared.context.runtimeSnapshot)) {
        this.#state = "passed";
        return "continue";
      }
      this.#refuse(config.statusOnError, "", "ext_authz_error");
      return "stop";
    }
    const isUpgrade = headers.protocol !== "" || headers.has("upgrade");
    if (this.#body === undefined || endStream || isUpgrade) return this.#ask(headers, undefined);
    this.#state = "buffering";
    if (!this.#body.allowsPartial) this.#stream.setDecoderBufferLimit(this.#body.maxBytes);
    return "hold";
  }

  decodeData(chunk: Buffer, endStream: boolean): BodyStatus {
    if (this.#state !== "buffering") return this.#status();
    const { maxBytes = 0, allowsPartial = false } = this.#body ?? {};
    this.#chunks.push(Buffer.from(chunk));
    this.#bytes += chunk.length;
    if (!allowsPartial && this.#bytes > maxBytes) return "stop"; // the stream answers 413
    if (!endStream && !(allowsPartial && this.#bytes >= maxBytes)) return "stop";
    return this.#askWithBody();
  }

  decodeTrailers(): BodyStatus {
    return this.#state === "buffering" ? this.#askWithBody() : this.#status();
  }

  encodeHeaders(headers: HeaderMap): "continue" {
    applyChanges(headers, this.#responseHeaders);
    return "continue";
  }

  onDestroy(): void {
    if (this.#state === "calling") this.#call?.cancel();
    this.#state = "refused";
    this.#chunks = [];
  }

  #status(): "continue" | "stop" {
    return this.#state === "passed" ? "continue" : "stop";
  }

  #isEnabled(): boolean {
    const { enabledFraction, enabledMetadata } = this.#shared.config;
    const { dynamicMetadata } = this.#stream.info;
    if (enabledMetadata !== undefined && !enabledMetadata((namespace) => dynamicMetadata?.get(namespace))) return false;
    if (enabledFraction === undefined) return true;
    const { runtime, runtimeSnapshot } = this.#shared.context;
    return isRuntimeFraction(enabledFraction, BigInt(runtime.random.uint32()), runtimeSnapshot);
  }

  #askWithBody(): "continue" | "stop" {
    const body = Buffer.concat(this.#chunks).subarray(0, this.#body?.maxBytes);
    this.#chunks = [];
    return this.#ask(this.#headers as HeaderMap, body);
  }

  #ask(headers: HeaderMap, body: Buffer | undefined): "continue" | "stop" {
    const { config, context, peers } = this.#shared;
    const service = this.#routes[0]?.service ?? config.service;
    if (service === undefined) return "continue";
    const { info, originalDestination } = this.#stream;
    this.#state = "calling";
    this.#startedMs = context.runtime.clock.monotonic();
    let isAsking = true;
    const attributes = {
      info,
      connection: info.connection,
      source: info.connection?.remoteAddress,
      destination: info.connection === undefined ? undefined : originalDestination,
      settings: peers,
      http: this.#checked(headers, body),
      contextExtensions: Object.assign({}, ...this.#routes.toReversed().map((route) => route.contextExtensions)),
      metadata: pick(config.metadataNamespaces, (namespace) => info.dynamicMetadata?.get(namespace)),
      routeMetadata: pick(config.routeMetadataNamespaces, (namespace) => this.#stream.route?.metadata[namespace]),
    };
    const call = this.#shared.authorizer(service).check({ attributes }, (result) => {
      if (this.#state !== "calling") return;
      this.#settle(result, headers);
      if (!isAsking && this.#status() === "continue") this.#stream.continueDecoding();
    });
    isAsking = false;
    this.#call = call;
    return this.#status();
  }

  #checked(headers: HeaderMap, body: Buffer | undefined): CheckedHttp {
    const { config } = this.#shared;
    const told = [...pseudoHeaders(headers), ...headers.entries().filter(([name]) => !name.startsWith(":"))].filter(
      ([name]) => name !== PARTIAL_BODY && config.tells(name),
    );
    if (body !== undefined) told.push([PARTIAL_BODY, String(body.length < this.#bytes || !this.#isComplete())]);
    return {
      id: String(this.#stream.streamRandom),
      method: headers.method,
      path: headers.path,
      host: headers.authority,
      scheme: headers.scheme,
      protocol: this.#stream.info.protocol ?? "",
      size: this.#stream.info.bytesReceived,
      service: headers.get("x-envoy-downstream-service-cluster") ?? "",
      headers: told,
      body,
      packsBody: this.#body?.isBytes ?? false,
      sendsRawHeaders: config.sendsRawHeaders,
    };
  }

  #isComplete(): boolean {
    return this.#body?.allowsPartial !== true || this.#bytes <= (this.#body.maxBytes ?? 0);
  }

  #settle(result: CheckResult, headers: HeaderMap): void {
    const { config, stats } = this.#shared;
    const { forwardRoute } = this.#stream;
    const cluster = forwardRoute && this.#shared.context.clusters.get(forwardRoute.clusterName);
    const metadata = result.verdict === "error" ? undefined : result.metadata;
    if (metadata !== undefined && Object.keys(metadata).length > 0) {
      if (config.takesMetadata) leaveMetadata(this.#stream.info, NAMESPACE, this.#timed(result.verdict, metadata));
      else stats.ignored_dynamic_metadata.inc();
    }
    switch (result.verdict) {
      case "ok":
        this.#pass(result, headers, cluster);
        break;
      case "denied":
        this.#deny(result, cluster);
        break;
      case "error":
        this.#fail(headers, cluster);
    }
  }

  #timed(verdict: CheckResult["verdict"], metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
    if (verdict !== "ok") return { ...metadata };
    const elapsedMs = this.#shared.context.runtime.clock.monotonic() - this.#startedMs;
    return { ...metadata, ext_authz_duration: Math.trunc(elapsedMs) };
  }

  #pass(result: Extract<CheckResult, { verdict: "ok" }>, headers: HeaderMap, cluster: Cluster | undefined): void {
    const { config, stats } = this.#shared;
    const { requestHeaders, removedHeaders, responseHeaders, setParameters, removedParameters } = result;
    if (!areValid(requestHeaders, true) || !areValid(responseHeaders, false)) return this.#reject(cluster);
    applyChanges(headers, requestHeaders);
    for (const name of removedHeaders) if (isRemovable(name)) headers.remove(name);
    if (setParameters.length > 0 || removedParameters.length > 0)
      headers.path = withQueryParameters(headers.path, setParameters, removedParameters);
    this.#responseHeaders = responseHeaders;
    const changes = [requestHeaders, removedHeaders, setParameters, removedParameters];
    if (config.clearsRouteCache && changes.some((list) => list.length > 0)) this.#stream.clearRouteCache();
    stats.ok.inc();
    this.#shared.count(cluster, "ok");
    this.#state = "passed";
  }

  #deny(result: Extract<CheckResult, { verdict: "denied" }>, cluster: Cluster | undefined): void {
    const { config, stats } = this.#shared;
    const { maxDeniedBodyBytes: max } = config;
    const body = max > 0 ? result.body.slice(0, max) : result.body;
    const headers = result.headers.filter(
      ([name]) => !OF_THE_ANSWER.has(name) && !name.startsWith(":") && (name !== "content-type" || body !== ""),
    );
    stats.denied.inc();
    this.#shared.count(cluster, "denied");
    if (
      !areValid(
        headers.map(([name, value]) => ({ name, value })),
        false,
      )
    )
      return this.#reject(cluster);
    if (config.chargesCluster) cluster?.stats.countResponse(result.status);
    this.#refuse(result.status, body, "ext_authz_denied", headers);
  }

  #fail(headers: HeaderMap, cluster: Cluster | undefined): void {
    const { config, stats } = this.#shared;
    stats.error.inc();
    this.#shared.count(cluster, "error");
    if (!config.failureModeAllow) return this.#refuse(config.statusOnError, "", "ext_authz_error");
    stats.failure_mode_allowed.inc();
    this.#shared.count(cluster, "failure_mode_allowed");
    if (config.addsFailureHeader) headers.add("x-envoy-auth-failure-mode-allowed", "true");
    this.#state = "passed";
  }

  /** The service wants headers that can't be: it is not to be trusted with this request. */
  #reject(cluster: Cluster | undefined): void {
    this.#shared.stats.invalid.inc();
    this.#shared.count(cluster, "invalid");
    this.#refuse(500, "", "ext_authz_invalid");
  }

  #refuse(status: number, body: string, details: string, headers?: readonly (readonly [string, string])[]): void {
    this.#state = "refused";
    const flag = ResponseFlag.UnauthorizedExternalService;
    this.#stream.sendLocalReply({ status, body, details, flag, headers });
  }
}

const PARTIAL_BODY = "x-envoy-auth-partial-body";

/** Of the service's own answer, not of ours. */
const OF_THE_ANSWER = new Set(["content-length", "transfer-encoding", "connection", "keep-alive"]);

/** In Envoy's order. */
function pseudoHeaders(headers: HeaderMap): readonly [string, string][] {
  return [":authority", ":path", ":method", ":scheme", ":protocol"].flatMap((name): [string, string][] => {
    const value = headers.get(name);
    return value === undefined ? [] : [[name, value]];
  });
}

function pick(namespaces: readonly string[], find: (namespace: string) => unknown): Record<string, JsonObject> {
  const found: Record<string, JsonObject> = {};
  for (const namespace of namespaces) {
    const value = find(namespace);
    if (value !== undefined) found[namespace] = value as JsonObject;
  }
  return found;
}
