/** Aggregated discovery: authenticates streams, keeps their connections, pushes each new mesh to all of them. */
import { status, type ServerDuplexStream } from "@grpc/grpc-js";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { SpiffeId } from "#certs/spiffe-id.ts";
import type { Problem } from "#lib/problem.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import { authenticate, credentialsOf, type Authenticator } from "../ca/authenticator.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { proxyNodeFrom, type NodeMessage } from "../model/proxy-node-from.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { ProvenIdentity } from "../translate/credential-access.ts";
import type { ResourceJson, Translator } from "../translate/types.ts";
import { isDebugType, type AnswerDebug } from "./debug-requests.ts";
import { createDebounce } from "./debounce.ts";
import { discoveryServiceDefinition, type DiscoveryServiceDefinition } from "./discovery-service.ts";
import type { EventBus } from "./events.ts";
import { createProxyResources } from "./proxy-resources.ts";
import { createResourceEncoder } from "./resource-encoder.ts";
import { PCDS, resourceTypeOf, type ResourceType } from "./resource-types.ts";
import type { SubscriptionRequest } from "./subscription.ts";
import { deltaRequestFrom, deltaResponseFrom, sotwRequestFrom, sotwResponseFrom } from "./wire-messages.ts";
import { createXdsConnection, type XdsConnection, type XdsResponse } from "./xds-connection.ts";
import type { XdsMetrics } from "./xds-metrics.ts";

export interface AdsServerDeps {
  readonly runtime: Pick<Runtime, "clock" | "log" | "random">;
  readonly translator: Translator;
  readonly authenticators: readonly Authenticator[];
  readonly events: EventBus;
  readonly metrics: XdsMetrics;
  /** `control_plane.identifier` of every response. */
  readonly identifier: string;
  /** What PCDS says now; always the same object while it says the same. */
  readonly trust?: (() => ResourceJson) | undefined;
  /** Who answers istioctl; undefined: nobody. */
  readonly debug?: AnswerDebug | undefined;
  readonly quietMs?: number | undefined;
  readonly maxMs?: number | undefined;
}

/** A proxy that is connected. */
export interface ConnectedProxy extends XdsConnection {
  readonly identity?: SpiffeId | undefined;
  readonly peer: string;
  readonly connectedAtMs: number;
  /** `reviews-0.default`, as istioctl names proxies. */
  readonly proxyName: string;
  readonly version: string;
}

export interface AdsServer {
  readonly definition: DiscoveryServiceDefinition;
  /** Handlers; with `isAuthenticated` false a stream needs no proof (the plaintext port). */
  implementation(isAuthenticated: boolean): {
    readonly streamAggregatedResources: (call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) => void;
    readonly deltaAggregatedResources: (
      call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>,
    ) => void;
  };
  /** A new mesh is in force: pushed after it has been quiet for a while. */
  update(mesh: MeshIndex): void;
  /** The mesh's roots have changed: every proxy is told at once. */
  trustChanged(): void;
  /** Without the streams of agents that follow nothing but the roots. */
  connections(): readonly ConnectedProxy[];
  /** Of translation, for the proxies that are connected, each once. */
  problems(): readonly Problem[];
  close(): void;
}

type Message = DiscoveryRequest | DeltaDiscoveryRequest;

/** The duplex stream of either mode, as far as both are alike. */
interface AnyStream {
  readonly metadata: ServerDuplexStream<unknown, unknown>["metadata"];
  getAuthContext(): ReturnType<ServerDuplexStream<unknown, unknown>["getAuthContext"]>;
  getPeer(): string;
  on(event: "data", listener: (message: Message) => void): unknown;
  on(event: "end" | "cancelled" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  emit(event: "error", error: unknown): boolean;
  pause(): unknown;
  resume(): unknown;
  end(): unknown;
}

/** How long pushing may keep everything else waiting. */
const TURN_MS = 10;

export function createAdsServer(deps: AdsServerDeps, initial: MeshIndex): AdsServer {
  const { runtime, events, metrics, translator } = deps;
  const { clock } = runtime;
  const log = runtime.log.child("xds");
  const encoder = createResourceEncoder();
  const connections = new Map<string, ConnectedProxy>();
  const streams = new Map<string, AnyStream>();
  let mesh = initial;
  let pending = initial;
  let sequence = 0;
  let queue: { readonly ids: string[]; readonly sinceMs: number } | undefined;
  let queueTimer: Timer | undefined;

  const debounce = createDebounce({
    clock,
    quietMs: deps.quietMs ?? 100,
    maxMs: deps.maxMs ?? 10_000,
    run(changes, waitedMs) {
      metrics.debounced(waitedMs / 1000);
      mesh = pending;
      encoder.sweep();
      queue = { ids: [...connections.keys()], sinceMs: clock.monotonic() - waitedMs };
      log.debug(`pushing ${mesh.version} to ${queue.ids.length} proxies`, { changes });
      queueTimer ??= clock.setTimer(0, pushNext);
    },
  });

  /** Some milliseconds a turn, so that a large mesh does not keep streams waiting. */
  function pushNext(): void {
    queueTimer = undefined;
    const endMs = clock.monotonic() + TURN_MS;
    do {
      const id = queue?.ids.shift();
      if (queue === undefined || id === undefined) {
        queue = undefined;
        return;
      }
      pushTo(id, queue.sinceMs);
    } while (clock.monotonic() < endMs);
    queueTimer = clock.setTimer(0, pushNext);
  }

  function pushTo(id: string, sinceMs: number): void {
    const connection = connections.get(id);
    if (connection === undefined || connection.resources.mesh === mesh) return;
    const startMs = clock.monotonic();
    metrics.queued((startMs - sinceMs) / 1000);
    connection.push(mesh);
    const endMs = clock.monotonic();
    metrics.pushTime((endMs - startMs) / 1000);
    metrics.converged((endMs - sinceMs) / 1000);
  }

  async function serve(
    call: AnyStream,
    mode: "delta" | "sotw",
    isAuthenticated: boolean,
    read: (message: Message) => SubscriptionRequest,
    write: (response: XdsResponse) => void,
  ): Promise<void> {
    // Nothing is read before the peer is known.
    call.pause();
    let identity: SpiffeId | undefined;
    if (isAuthenticated) {
      const result = await authenticate(deps.authenticators, credentialsOf(call));
      if (result.kind === "refused") {
        log.warning(`refused a proxy at ${call.getPeer()}: ${result.reason}`);
        refuse(call, status.UNAUTHENTICATED, result.reason);
        return;
      }
      ({ identity } = result);
    }
    sequence += 1;
    const id = `${mode}-${sequence}`;
    let connection: ConnectedProxy | undefined;

    function open(node: NodeMessage | undefined): ConnectedProxy | undefined {
      const parsed = node === undefined ? undefined : proxyNodeFrom(node);
      if (parsed?.value === undefined) {
        const reason = parsed?.problems[0]?.message ?? "the first request of a stream must carry the node.";
        refuse(call, status.INVALID_ARGUMENT, reason);
        return undefined;
      }
      const mismatch = identity === undefined ? undefined : identityFault(identity, parsed.value);
      if (mismatch !== undefined) {
        log.warning(`refused ${parsed.value.id} at ${call.getPeer()}: ${mismatch}`);
        refuse(call, status.PERMISSION_DENIED, mismatch);
        return undefined;
      }
      return register(id, mode, parsed.value, identity, call, write);
    }

    function gone(): void {
      if (connection === undefined || connections.get(id) !== connection) return;
      connections.delete(id);
      streams.delete(id);
      connection.close();
      metrics.connected(-1);
      log.info(`${connection.proxyName} disconnected`, { id });
      events.emit({ type: "disconnected", proxy: connection.proxyName });
    }

    let debugged = 0;

    /** Who only asks is no proxy: it is not among the connections. */
    function answerDebug(message: Message): void {
      const request = read(message);
      // An answer has been taken. istioctl writes a nonce of its own into its first request.
      if (request.nonce.startsWith(`${id}-debug-`)) return;
      const caller = identity === undefined ? undefined : workloadOf(identity);
      if (caller === undefined || deps.debug === undefined) {
        refuse(call, status.UNAUTHENTICATED, `${message.typeUrl} needs a proof of identity: ask over the TLS port.`);
        return;
      }
      const names = request.mode === "sotw" ? request.names : request.subscribe;
      let answer: ReturnType<AnswerDebug>;
      try {
        answer = deps.debug({ typeUrl: message.typeUrl, names, callerNamespace: caller.namespace });
      } catch (error) {
        log.error(`${message.typeUrl} could not be answered: ${String(error)}`);
        refuse(call, status.INTERNAL, "the answer could not be made; the control plane's log says why.");
        return;
      }
      if ("code" in answer) {
        log.warning(`refused ${message.typeUrl} to ${identity?.uri ?? ""}: ${answer.reason}`);
        refuse(call, answer.code, answer.reason);
        return;
      }
      debugged += 1;
      write({
        type: { short: "debug", typeName: "", typeUrl: message.typeUrl, isWildcard: false },
        resources: answer.map((resource) => ({ ...resource, version: mesh.version, json: {} })),
        removed: [],
        nonce: `${id}-debug-${debugged}`,
        version: mesh.version,
      });
    }

    call.on("data", (message) => {
      if (isDebugType(message.typeUrl)) {
        answerDebug(message);
        return;
      }
      connection ??= open(message.node as NodeMessage | undefined);
      if (connection === undefined) return;
      const type = resourceTypeOf(message.typeUrl);
      if (type === undefined) {
        log.debug(`${connection.proxyName} asked for ${message.typeUrl}, which is not served here`);
        return;
      }
      handle(connection, type, read(message));
    });
    call.on("end", () => {
      gone();
      call.end();
    });
    call.on("cancelled", gone);
    call.on("close", gone);
    call.on("error", (error) => {
      log.debug(`stream ${id} failed: ${error.message}`);
      gone();
    });
    call.resume();
  }

  function register(
    id: string,
    mode: "delta" | "sotw",
    node: ProxyNode,
    identity: SpiffeId | undefined,
    call: AnyStream,
    write: (response: XdsResponse) => void,
  ): ConnectedProxy {
    const proxyName = `${node.name}.${node.namespace}`;
    const workload = identity === undefined ? undefined : workloadOf(identity);
    const core = createXdsConnection({
      id,
      mode,
      node,
      mesh,
      clock,
      resourcesIn: (target, lastGood, previous) =>
        createProxyResources(
          { translator, encoder, identity: workload, trust: deps.trust },
          target,
          node,
          lastGood,
          previous,
        ),
      send(response) {
        const { type, resources, removed, version } = response;
        write(response);
        metrics.pushed(
          type.short.toLowerCase(),
          resources.reduce((sum, { bytes }) => sum + bytes.length, 0),
        );
        const names = resources.map(({ name }) => name);
        events.emit({ type: "push", proxy: proxyName, resourceType: type.short, resources: names, removed, version });
      },
      onFailure(type, error) {
        metrics.internalError();
        const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
        log.error(`${type.short} for ${proxyName} could not be made, it keeps what it has: ${reason}`);
      },
    });
    const istioVersion = node.metadata["ISTIO_VERSION"];
    const connection: ConnectedProxy = Object.assign(core, {
      identity,
      peer: call.getPeer(),
      connectedAtMs: clock.now(),
      proxyName,
      version: typeof istioVersion === "string" ? istioVersion : "",
    });
    connections.set(id, connection);
    streams.set(id, call);
    metrics.connected(1);
    log.info(`${proxyName} connected`, { id, mode, peer: connection.peer });
    events.emit({ type: "connected", proxy: proxyName });
    return connection;
  }

  function handle(connection: ConnectedProxy, type: ResourceType, request: SubscriptionRequest): void {
    const verdict = connection.request(type, request);
    const { proxyName: proxy } = connection;
    switch (verdict.kind) {
      case "none":
        return;
      case "stale":
        metrics.expiredNonce(type.short.toLowerCase());
        return;
      case "ack":
        events.emit({ type: "ack", proxy, resourceType: type.short, version: verdict.version });
        return;
      case "nack":
        metrics.rejected(type.short.toLowerCase());
        log.warning(`${proxy} refused ${type.short}: ${verdict.detail}`);
        events.emit({
          type: "nack",
          proxy,
          resourceType: type.short,
          version: verdict.version,
          detail: verdict.detail,
        });
    }
  }

  function run(call: AnyStream, serving: Promise<void>): void {
    serving.catch((error: unknown) => {
      log.error(`a stream of ${call.getPeer()} failed: ${String(error)}`);
      refuse(call, status.INTERNAL, "the control plane failed; its log says why.");
    });
  }

  return {
    definition: discoveryServiceDefinition(),
    implementation: (isAuthenticated) => ({
      streamAggregatedResources(call) {
        const write = (response: XdsResponse): void => void call.write(sotwResponseFrom(response, deps.identifier));
        run(
          call,
          serve(call, "sotw", isAuthenticated, (message) => sotwRequestFrom(message as DiscoveryRequest), write),
        );
      },
      deltaAggregatedResources(call) {
        const write = (response: XdsResponse): void => void call.write(deltaResponseFrom(response, deps.identifier));
        run(
          call,
          serve(call, "delta", isAuthenticated, (message) => deltaRequestFrom(message as DeltaDiscoveryRequest), write),
        );
      },
    }),
    update(next) {
      pending = next;
      metrics.triggered("config");
      debounce.touch();
    },
    trustChanged() {
      for (const connection of connections.values()) connection.refresh(PCDS);
    },
    connections: () => [...connections.values()].filter((connection) => !followsOnlyTrust(connection)),
    problems() {
      const seen = new Map<string, Problem>();
      for (const { problems } of connections.values()) {
        for (const problem of problems)
          seen.set(`${problem.code} ${problem.object ?? ""} ${problem.path} ${problem.message}`, problem);
      }
      return [...seen.values()];
    },
    close() {
      debounce.close();
      queueTimer?.cancel();
      for (const call of streams.values())
        refuse(call, status.UNAVAILABLE, "the control plane is ending; connect again.");
    },
  };
}

function followsOnlyTrust(connection: XdsConnection): boolean {
  const types = connection.statuses();
  return types.size === 1 && types.has(PCDS);
}

/** Node metadata must say who the proxy proved to be (§4.6). */
function identityFault(identity: SpiffeId, node: ProxyNode): string | undefined {
  const workload = workloadOf(identity);
  if (workload === undefined) return `${identity.uri} is no identity of a workload.`;
  const { namespace, serviceAccount } = workload;
  const way = "the token or certificate and the node of the bootstrap must be of the same workload.";
  if (namespace !== node.namespace) {
    return `the node says namespace ${node.namespace}, the identity is ${identity.uri}: ${way}`;
  }
  if (node.serviceAccount !== "" && node.serviceAccount !== serviceAccount) {
    return `the node says service account ${node.serviceAccount}, the identity is ${identity.uri}: ${way}`;
  }
  return undefined;
}

function workloadOf({ path }: SpiffeId): ProvenIdentity | undefined {
  const [, namespace = "", serviceAccount = ""] = /^\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(path) ?? [];
  return namespace === "" ? undefined : { namespace, serviceAccount };
}

function refuse(call: AnyStream, code: status, details: string): void {
  call.emit("error", { code, details });
}
