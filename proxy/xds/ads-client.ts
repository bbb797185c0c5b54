/** The xDS client: one stream, many types. What a type does is in type-state.ts, how it is said in *-protocol.ts. */
import { clone } from "@bufbuild/protobuf";
import type { Logger, Runtime, Timer } from "#lib/runtime.ts";
import type { Node } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { schema } from "#protos/registry.ts";
import type { Counter, Gauge, StatsScope, TextReadout } from "../observability/stats.ts";
import type { AdsStream, AdsTransport, XdsResponse } from "./ads-transport.ts";
import { BackOff } from "./back-off.ts";
import { DeltaProtocol } from "./delta-protocol.ts";
import { nackMessage } from "./nack-message.ts";
import { SotwProtocol } from "./sotw-protocol.ts";
import { TokenBucket } from "./token-bucket.ts";
import type { ReceivedUpdate } from "./type-protocol.ts";
import { TypeState } from "./type-state.ts";
import type { RejectedResource, ResourceWatcher, WildcardHandler, XdsClient, XdsSubscription } from "./types.ts";

export interface AdsClientOptions {
  readonly runtime: Runtime;
  /** Where `control_plane.` begins: the root for ADS, `cluster.<name>.` for a stream of one type. */
  readonly scope: StatsScope;
  readonly node: Node;
  /** Names the server in log lines: the cluster. */
  readonly server?: string | undefined;
  readonly transport: AdsTransport;
  /** Default: delta, as istiod's agent. */
  readonly protocol?: "delta" | "sotw" | undefined;
  /** Default: 500 ms … 30 s. */
  readonly backOff?: { readonly baseMs: number; readonly maxMs: number } | undefined;
  readonly rateLimit?: { readonly maxTokens: number; readonly tokensPerSecond: number } | undefined;
  /** Default: true. */
  readonly setNodeOnFirstMessageOnly?: boolean | undefined;
}

/** Connects when the first subscription is made, and again whenever the stream ends, until `close`. */
export function createXdsClient(options: AdsClientOptions): XdsClient {
  return new AdsClient(options);
}

class AdsClient implements XdsClient {
  readonly #options: AdsClientOptions;
  readonly #log: Logger;
  readonly #backOff: BackOff;
  readonly #bucket: TokenBucket | undefined;
  readonly #connected: Gauge;
  readonly #pending: Gauge;
  readonly #rateLimited: Counter;
  readonly #identifier: TextReadout;
  /** In the order of their first subscription, in which they are asked for again. */
  readonly #types = new Map<string, TypeState>();
  #stream: AdsStream | undefined;
  #hasSentNode = false;
  #isClosed = false;
  /** While a response is applied, requests wait: the ACK comes first. */
  #isApplying = false;
  #retryTimer: Timer | undefined;
  #tokenTimer: Timer | undefined;

  constructor(options: AdsClientOptions) {
    const { runtime, scope, backOff = { baseMs: 500, maxMs: 30_000 }, rateLimit } = options;
    this.#options = options;
    this.#log = runtime.log.child("config");
    this.#backOff = new BackOff(runtime.random, backOff);
    this.#bucket = rateLimit === undefined ? undefined : new TokenBucket(runtime.clock, rateLimit);
    const controlPlane = scope.scope("control_plane");
    this.#connected = controlPlane.gauge("connected_state");
    this.#pending = controlPlane.gauge("pending_requests");
    this.#rateLimited = controlPlane.counter("rate_limit_enforced");
    this.#identifier = controlPlane.text("identifier");
  }

  wildcard(typeUrl: string, handler: WildcardHandler, initialFetchTimeoutMs: number): XdsSubscription {
    return this.#subscription(this.#type(typeUrl).setWildcard(handler, initialFetchTimeoutMs));
  }

  resource(typeUrl: string, name: string, watcher: ResourceWatcher, initialFetchTimeoutMs: number): XdsSubscription {
    return this.#subscription(this.#type(typeUrl).watch(name, watcher, initialFetchTimeoutMs));
  }

  pause(typeUrl: string): void {
    this.#type(typeUrl).pauses++;
  }

  resume(typeUrl: string): void {
    const type = this.#type(typeUrl);
    type.pauses = Math.max(0, type.pauses - 1);
    this.#flush();
  }

  close(): void {
    this.#isClosed = true;
    this.#retryTimer?.cancel();
    this.#tokenTimer?.cancel();
    this.#stream?.close();
    this.#stream = undefined;
    this.#connected.set(0);
    for (const type of this.#types.values()) type.close();
  }

  #type(typeUrl: string): TypeState {
    let type = this.#types.get(typeUrl);
    if (type === undefined) {
      const protocol = this.#options.protocol === "sotw" ? new SotwProtocol(typeUrl) : new DeltaProtocol(typeUrl);
      type = new TypeState(typeUrl, protocol, this.#options.runtime.clock);
      this.#types.set(typeUrl, type);
    }
    return type;
  }

  #subscription(stop: () => void): XdsSubscription {
    this.#connect();
    this.#flush();
    let isOpen = true;
    return {
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        stop();
        this.#flush();
      },
    };
  }

  #connect(): void {
    if (this.#isClosed || this.#stream !== undefined || this.#retryTimer !== undefined) return;
    this.#hasSentNode = false;
    for (const type of this.#types.values()) type.restart();
    const stream = this.#options.transport.open({
      onConnect: () => this.#connected.set(1),
      onMessage: (response) => {
        if (this.#stream === stream) this.#onResponse(response);
      },
      onEnd: (reason) => {
        if (this.#stream === stream) this.#onEnd(reason);
      },
    });
    this.#stream = stream;
  }

  #onEnd(reason: string): void {
    this.#stream = undefined;
    this.#connected.set(0);
    for (const type of this.#types.values()) type.countConnectionFailure();
    const delayMs = this.#backOff.nextMs();
    this.#log.warning("the xDS stream ended; what was accepted stays in force", {
      server: this.#options.server,
      reason,
      reconnectInMs: delayMs,
    });
    this.#retryTimer = this.#options.runtime.clock.setTimer(delayMs, () => {
      this.#retryTimer = undefined;
      this.#connect();
      this.#flush();
    });
  }

  #onResponse(response: XdsResponse): void {
    this.#connected.set(1);
    const identifier = response.controlPlane?.identifier ?? "";
    if (identifier !== "") this.#identifier.value = identifier;
    const type = this.#types.get(response.typeUrl);
    if (type === undefined) {
      this.#log.warning("ignoring a response for a type that nobody asked for", { typeUrl: response.typeUrl });
      return;
    }
    this.#isApplying = true;
    try {
      this.#apply(type, response);
    } finally {
      this.#isApplying = false;
    }
    this.#flush(type);
  }

  #apply(type: TypeState, response: XdsResponse): void {
    const update = type.protocol.read(response);
    const rejected = this.#applyTo(type, update);
    const error = rejected.length === 0 ? undefined : nackMessage(type.typeUrl, rejected);
    type.protocol.settle(update, error, type);
    if (error === undefined) {
      this.#backOff.reset();
      this.#log.debug("accepted", {
        typeUrl: type.typeUrl,
        version: update.version,
        resources: update.resources.length,
      });
    } else {
      this.#log.warning("refused", { typeUrl: type.typeUrl, version: update.version, error });
    }
  }

  /** What throws is a bug of ours: the proxy goes on with what it has, and the server hears of it. */
  #applyTo(type: TypeState, update: ReceivedUpdate): readonly RejectedResource[] {
    try {
      return type.apply(update);
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log.error("applying a response failed", { typeUrl: type.typeUrl, version: update.version, error: detail });
      const message = `internal error: ${error instanceof Error ? error.message : String(error)}`;
      return [{ name: "", problems: [{ code: "internal-error", level: "error", path: "", message }] }];
    }
  }

  /** Sends what is due; of `first` before the others. */
  #flush(first?: TypeState): void {
    if (this.#stream === undefined || this.#isApplying || this.#tokenTimer !== undefined) return;
    if (first !== undefined && !this.#send(first)) return;
    for (const type of this.#types.values()) if (!this.#send(type)) return;
  }

  /** False when the rate limit stops all sending. */
  #send(type: TypeState): boolean {
    while (type.pauses === 0 && type.protocol.hasRequest(type)) {
      const waitMs = this.#bucket?.take() ?? 0;
      if (waitMs > 0) {
        this.#holdBack(waitMs);
        return false;
      }
      const request = type.takeRequest();
      if (!this.#hasSentNode || this.#options.setNodeOnFirstMessageOnly === false) {
        request.node = clone(schema<Node>("envoy.config.core.v3.Node"), this.#options.node);
        this.#hasSentNode = true;
      }
      this.#stream?.send(request);
    }
    return true;
  }

  #holdBack(waitMs: number): void {
    this.#rateLimited.inc();
    let due = 0;
    for (const type of this.#types.values()) if (type.pauses === 0 && type.protocol.hasRequest(type)) due++;
    this.#pending.set(due);
    this.#tokenTimer = this.#options.runtime.clock.setTimer(waitMs, () => {
      this.#tokenTimer = undefined;
      this.#pending.set(0);
      this.#flush();
    });
  }
}
