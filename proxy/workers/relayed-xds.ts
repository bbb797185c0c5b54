/**
 * The worker's side of xDS: subscriptions go to the main thread, which has the streams; resources come back as bytes and are
 * applied by the code of a stream of one's own. The answer of an update is what becomes the ACK or the NACK.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Parsed } from "#lib/problem.ts";
import type { Clock } from "#lib/runtime.ts";
import type { ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import { descOf, registry } from "#protos/registry.ts";
import { durationMs } from "../config-values.ts";
import type { BootstrapModel } from "../bootstrap/model.ts";
import type { ManagementServers } from "../server/management-servers.ts";
import type { ReceivedResource } from "../xds/decode-resource.ts";
import { DEFAULT_FETCH_TIMEOUT_MS, type XdsSource, type XdsSources } from "../xds/sources.ts";
import type { TypeProtocol } from "../xds/type-protocol.ts";
import { TypeState } from "../xds/type-state.ts";
import type { RejectedResource, ResourceWatcher, WildcardHandler, XdsClient, XdsSubscription } from "../xds/types.ts";
import type { Line } from "./line.ts";
import type { MainOperations, RelayedUpdate, SubscriptionKey, WorkerOperations } from "./operations.ts";

export type WorkerLine = Line<WorkerOperations, MainOperations>;

/** The key of the aggregated stream. */
export const ADS = "ads";

/** All streams, as one worker sees them. */
export class RelayedServers implements ManagementServers, XdsSources {
  readonly ads: XdsClient | undefined;
  readonly #clients = new Map<string, RelayedClient>();
  readonly #line: WorkerLine;
  readonly #clock: Clock;

  constructor(line: WorkerLine, clock: Clock, { ads }: Pick<BootstrapModel, "ads">) {
    this.#line = line;
    this.#clock = clock;
    this.ads = ads === undefined ? undefined : this.#client(ADS);
  }

  get loaded(): XdsSources {
    return this;
  }

  load(): Promise<XdsSources> {
    return Promise.resolve(this);
  }

  /** What is wrong with a source the main thread says, which opens it. */
  open(source: ConfigSource): Parsed<XdsSource> {
    const client = this.#client(source.configSourceSpecifier.case === "ads" ? ADS : sourceKey(source));
    const initialFetchTimeoutMs = durationMs(source.initialFetchTimeout) ?? DEFAULT_FETCH_TIMEOUT_MS;
    return { value: { client, initialFetchTimeoutMs }, problems: [] };
  }

  update({ source, typeUrl, resources, removed }: RelayedUpdate): readonly RejectedResource[] {
    const desc = registry().getMessage(typeUrl.slice(typeUrl.indexOf("/") + 1));
    if (desc === undefined) throw new Error(`no message ${typeUrl} in the registry`);
    return (
      this.#clients.get(source)?.apply(
        typeUrl,
        resources.map(({ name, version, bytes }) => ({ ...NOTHING, name, version, message: fromBinary(desc, bytes) })),
        removed,
      ) ?? []
    );
  }

  refuse({ source, typeUrl, name, problems }: WorkerOperations["refused"]["takes"]): void {
    this.#clients.get(source)?.apply(typeUrl, [{ ...NOTHING, name, problems }], []);
  }

  disconnected({ source, typeUrl }: { readonly source: string; readonly typeUrl: string }): void {
    this.#clients.get(source)?.disconnected(typeUrl);
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #client(source: string): RelayedClient {
    const client = this.#clients.get(source) ?? new RelayedClient(source, this.#line, this.#clock);
    this.#clients.set(source, client);
    return client;
  }
}

const NOTHING: Omit<ReceivedResource, "name"> = {
  version: "",
  message: undefined,
  bytes: undefined,
  ttlMs: undefined,
  aliases: [],
  problems: [],
};

export function sourceKey(source: ConfigSource): string {
  return Buffer.from(toBinary(descOf(source), source)).toString("base64");
}

class RelayedClient implements XdsClient {
  readonly #source: string;
  readonly #line: WorkerLine;
  readonly #clock: Clock;
  readonly #types = new Map<string, TypeState>();

  constructor(source: string, line: WorkerLine, clock: Clock) {
    this.#source = source;
    this.#line = line;
    this.#clock = clock;
  }

  wildcard(typeUrl: string, handler: WildcardHandler, initialFetchTimeoutMs: number): XdsSubscription {
    return once(this.#type(typeUrl).setWildcard(handler, initialFetchTimeoutMs));
  }

  resource(typeUrl: string, name: string, watcher: ResourceWatcher, initialFetchTimeoutMs: number): XdsSubscription {
    return once(this.#type(typeUrl).watch(name, watcher, initialFetchTimeoutMs));
  }

  pause(typeUrl: string): void {
    this.#line.tell("pause", { source: this.#source, typeUrl });
  }

  resume(typeUrl: string): void {
    this.#line.tell("resume", { source: this.#source, typeUrl });
  }

  close(): void {
    for (const type of this.#types.values()) type.close();
  }

  apply(
    typeUrl: string,
    resources: readonly ReceivedResource[],
    removed: readonly string[],
  ): readonly RejectedResource[] {
    const version = resources.at(-1)?.version ?? "";
    return this.#type(typeUrl).apply({ version, nonce: "", resources, removed, isWhole: false, errors: [] });
  }

  disconnected(typeUrl: string): void {
    this.#types.get(typeUrl)?.countConnectionFailure();
  }

  #type(typeUrl: string): TypeState {
    let type = this.#types.get(typeUrl);
    if (type === undefined) {
      type = new TypeState(typeUrl, relayProtocol({ source: this.#source, typeUrl }, this.#line), this.#clock);
      this.#types.set(typeUrl, type);
    }
    return type;
  }
}

function once(stop: () => void): XdsSubscription {
  let isOpen = true;
  return {
    close() {
      if (!isOpen) return;
      isOpen = false;
      stop();
    },
  };
}

/** Has no stream: interest is told as it comes, and nothing is ever requested or settled here. */
function relayProtocol(key: Omit<SubscriptionKey, "name">, line: WorkerLine): TypeProtocol {
  const never = (): never => {
    throw new Error("the main thread speaks with the management server");
  };
  return {
    asksAnew: true,
    restart() {},
    subscribed: (name) => line.tell("subscribe", { ...key, name }),
    unsubscribed: (name) => line.tell("unsubscribe", { ...key, name }),
    hasRequest: () => false,
    takeRequest: never,
    read: never,
    settle() {},
  };
}
