/** `envoy.filters.network.ext_authz`: a service says which connections may be used; others are closed. */
import type { JsonObject, Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { ExtAuthz } from "#protos/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js";
import { MessageReader } from "#protos/reader.ts";
import type { PeerSettings } from "../ext-authz/check-request.ts";
import type { Authorizer, CheckResult } from "../ext-authz/check-result.ts";
import { createGrpcAuthorizer } from "../ext-authz/grpc-authorizer.ts";
import { labelsOf } from "../ext-authz/labels.ts";
import { type GrpcTarget, parseGrpcTarget } from "../http/grpc-call.ts";
import type { Counter, Gauge, StatsScope } from "../observability/stats.ts";
import { leaveMetadata } from "../rbac/judge.ts";
import { type MetadataPredicate, parseMetadataMatcher } from "../router/metadata-matcher.ts";
import { RegexCache } from "../router/regex.ts";
import { ResponseFlag } from "../stream-info.ts";
import type { ConnectionFilter, DownstreamConnection, NetworkFilterContext, NetworkFilterFactory } from "./filter.ts";
import { FilteredConnection } from "./filtered-connection.ts";

export interface NetworkExtAuthzConfig {
  /** Undefined: nobody is asked, and every connection is an error. */
  readonly target: GrpcTarget | undefined;
  readonly statPrefix: string;
  readonly failureModeAllow: boolean;
  readonly enabledMetadata: MetadataPredicate | undefined;
  readonly hasPeerCertificate: boolean;
  readonly hasTlsSession: boolean;
  readonly labelsKey: string;
  readonly metadataNamespaces: readonly string[];
}

const DEFAULT_TIMEOUT_MS = 200;
const NAMESPACE = "envoy.filters.network.ext_authz";

export const networkExtAuthz: NetworkFilterFactory<NetworkExtAuthzConfig> = {
  name: "envoy.filters.network.ext_authz",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz"],
  isTerminal: false,
  parse: parseNetworkExtAuthz,
  create(config, context) {
    const shared: Shared = {
      config,
      stats: statsOf(context.rootScope, config.statPrefix),
      authorizer: config.target && createGrpcAuthorizer(config.target, context),
      peers: {
        hasPeerCertificate: config.hasPeerCertificate,
        hasTlsSession: config.hasTlsSession,
        destinationLabels: labelsOf(context.node.metadata, config.labelsKey),
      },
    };
    return (downstream) => new ConnectionCheck(shared, downstream, context);
  },
};

function parseNetworkExtAuthz(message: Message, path: string): Parsed<NetworkExtAuthzConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as ExtAuthz, path, problems);
  const service = reader.child("grpcService");
  const metadata = reader.child("filterEnabledMetadata");
  reader.ignore("transportApiVersion", "only version 3 is spoken");
  const value: NetworkExtAuthzConfig = {
    target: service && parseGrpcTarget(service, DEFAULT_TIMEOUT_MS),
    statPrefix: reader.get("statPrefix"),
    failureModeAllow: reader.get("failureModeAllow"),
    enabledMetadata: metadata && parseMetadataMatcher(metadata, new RegexCache()),
    hasPeerCertificate: reader.get("includePeerCertificate"),
    hasTlsSession: reader.get("includeTlsSession"),
    labelsKey: reader.get("bootstrapMetadataLabelsKey"),
    metadataNamespaces: reader.get("metadataContextNamespaces"),
  };
  if (value.statPrefix === "") reader.invalid("statPrefix", "must be set");
  if (service === undefined) reader.invalid("grpcService", "must be set");
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

interface Shared {
  readonly config: NetworkExtAuthzConfig;
  readonly stats: NetworkExtAuthzStats;
  readonly authorizer: Authorizer | undefined;
  readonly peers: PeerSettings;
}

interface NetworkExtAuthzStats {
  readonly total: Counter;
  readonly ok: Counter;
  readonly denied: Counter;
  readonly error: Counter;
  readonly failureModeAllowed: Counter;
  readonly disabled: Counter;
  readonly cxClosed: Counter;
  readonly active: Gauge;
}

function statsOf(root: StatsScope, prefix: string): NetworkExtAuthzStats {
  // Envoy parts prefix and name by a dot, whatever the prefix ends in.
  const scope = root.scope("ext_authz");
  const counter = (name: string): Counter => scope.counter(`${prefix}.${name}`);
  return {
    total: counter("total"),
    ok: counter("ok"),
    denied: counter("denied"),
    error: counter("error"),
    failureModeAllowed: counter("failure_mode_allowed"),
    disabled: counter("disabled"),
    cxClosed: counter("cx_closed"),
    active: scope.gauge(`${prefix}.active`),
  };
}

/** One connection, asked about when its first byte has come. */
class ConnectionCheck implements ConnectionFilter {
  readonly #shared: Shared;
  readonly #downstream: DownstreamConnection;
  readonly #context: NetworkFilterContext;
  #state: "idle" | "calling" | "passed" | "closed" = "idle";
  #held: Buffer[] = [];
  #call: { cancel(): void } | undefined = undefined;

  constructor(shared: Shared, downstream: DownstreamConnection, context: NetworkFilterContext) {
    this.#shared = shared;
    this.#downstream = downstream;
    this.#context = context;
  }

  onNewConnection(): "continue" {
    return "continue";
  }

  onRead(chunk: Buffer): Buffer | undefined {
    if (this.#state === "idle") this.#ask();
    if (this.#isPassed()) {
      this.#stepAside();
      return chunk;
    }
    if (this.#state === "calling") this.#held.push(Buffer.from(chunk));
    return undefined;
  }

  onClose(): void {
    if (this.#state === "calling") {
      this.#shared.stats.active.dec();
      this.#call?.cancel();
    }
    this.#state = "closed";
    this.#held = [];
  }

  #isPassed(): boolean {
    return this.#state === "passed";
  }

  #ask(): void {
    const { config, stats, authorizer, peers } = this.#shared;
    const { connection, info, dynamicMetadata, originalDestination } = this.#downstream;
    if (config.enabledMetadata?.((namespace) => dynamicMetadata.get(namespace)) === false) {
      stats.disabled.inc();
      this.#state = "passed";
      return;
    }
    this.#state = "calling";
    stats.total.inc();
    stats.active.inc();
    connection.pause();
    const metadata: Record<string, JsonObject> = {};
    for (const namespace of config.metadataNamespaces) {
      const value = dynamicMetadata.get(namespace);
      if (value !== undefined) metadata[namespace] = value as JsonObject;
    }
    info.startTimeMs ||= this.#context.runtime.clock.now();
    const attributes = {
      info,
      connection,
      source: connection.remoteAddress,
      destination: originalDestination,
      settings: peers,
      http: undefined,
      contextExtensions: {},
      metadata,
      routeMetadata: {},
    };
    let isAsking = true;
    const onDone = (result: CheckResult): void => {
      if (this.#state !== "calling") return;
      stats.active.dec();
      this.#settle(result);
      if (!isAsking && this.#isPassed()) this.#passOn();
    };
    if (authorizer === undefined) onDone({ verdict: "error" });
    else this.#call = authorizer.check({ attributes }, onDone);
    isAsking = false;
  }

  #settle(result: CheckResult): void {
    const { config, stats } = this.#shared;
    const { connection, info } = this.#downstream;
    const metadata = result.verdict === "error" ? undefined : result.metadata;
    if (metadata !== undefined && Object.keys(metadata).length > 0) leaveMetadata(info, NAMESPACE, metadata);
    if (result.verdict === "ok") stats.ok.inc();
    else if (result.verdict === "denied") stats.denied.inc();
    else stats.error.inc();
    const isExcused = result.verdict === "error" && config.failureModeAllow;
    if (isExcused) stats.failureModeAllowed.inc();
    if (result.verdict === "ok" || isExcused) {
      this.#state = "passed";
      connection.resume();
      return;
    }
    this.#state = "closed";
    stats.cxClosed.inc();
    info.setFlag(ResponseFlag.UnauthorizedExternalService);
    info.responseCodeDetails = result.verdict === "denied" ? "ext_authz_denied" : "ext_authz_error";
    this.#held = [];
    connection.destroy();
  }

  /** What came meanwhile goes on, and nothing more comes by here. */
  #passOn(): void {
    const { connection } = this.#downstream;
    const held = Buffer.concat(this.#held);
    this.#held = [];
    if (connection instanceof FilteredConnection && held.length > 0) connection.passOn(this, held);
    this.#stepAside();
  }

  #stepAside(): void {
    const { connection } = this.#downstream;
    if (connection instanceof FilteredConnection) connection.release(this);
  }
}
