/**
 * The main thread's side of xDS: it has the streams, and every worker that has subscribed gets what comes by them. A response
 * is settled when all of them have applied it: acknowledged if all took it, refused if one did not.
 */
import { fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import { formatProblem } from "#lib/problem.ts";
import type { Logger } from "#lib/runtime.ts";
import type { ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import { descOf, schema } from "#protos/registry.ts";
import type { Counter, Gauge, Histogram, TextReadout } from "../observability/stats.ts";
import type { SubscriptionStats } from "../xds/subscription-stats.ts";
import { WILDCARD } from "../xds/type-protocol.ts";
import {
  TypeUrl,
  type RejectedResource,
  type XdsClient,
  type XdsResource,
  type XdsSubscription,
} from "../xds/types.ts";
import type { XdsSources } from "../xds/sources.ts";
import { Line } from "./line.ts";
import type { MainOperations, SubscriptionKey, WorkerOperations } from "./operations.ts";
import { ADS } from "./relayed-xds.ts";

export type MainLine = Line<MainOperations, WorkerOperations>;

export interface XdsRelayDeps {
  readonly log: Logger;
  readonly lines: readonly MainLine[];
  /** Loads what speaks gRPC when it is first asked for; what is loaded is given at once. */
  readonly sources: () => XdsSources | Promise<XdsSources>;
}

/** What the resources of a type ask for in turn: held back while they are applied, so that it is one request. */
const FOLLOWERS: Readonly<Record<string, readonly string[]>> = {
  [TypeUrl.cluster]: [TypeUrl.endpoint],
  [TypeUrl.listener]: [TypeUrl.route, TypeUrl.extensionConfig],
};

export class XdsRelay {
  readonly #deps: XdsRelayDeps;
  readonly #clients = new Map<string, XdsClient | undefined>();
  /** By worker and key. */
  readonly #watches = new Map<string, XdsSubscription>();
  /** By key: the workers that want all of a type. */
  readonly #wildcards = new Map<string, Set<MainLine>>();
  readonly #bytes = new WeakMap<Message, Uint8Array>();
  readonly #disconnected = new Set<string>();

  constructor(deps: XdsRelayDeps) {
    this.#deps = deps;
  }

  subscribe(line: MainLine, key: SubscriptionKey): void {
    this.#withClient(key, (client) => {
      if (key.name === WILDCARD) this.#subscribeAll(line, key, client);
      else this.#watch(line, key, client);
    });
  }

  unsubscribe(line: MainLine, key: SubscriptionKey): void {
    const id = key.name === WILDCARD ? keyText(key) : this.#watchId(line, key);
    const subscription = this.#watches.get(id);
    this.#watches.delete(id);
    this.#wildcards.delete(keyText(key));
    subscription?.close();
  }

  /** Only of one worker: the others say the same, each in its time. */
  pause(line: MainLine, { source, typeUrl }: Omit<SubscriptionKey, "name">): void {
    if (line === this.#deps.lines[0]) this.#clients.get(source)?.pause(typeUrl);
  }

  resume(line: MainLine, { source, typeUrl }: Omit<SubscriptionKey, "name">): void {
    if (line === this.#deps.lines[0]) this.#clients.get(source)?.resume(typeUrl);
  }

  /** Opens the aggregated stream's client, so that it can be held back before anything is subscribed to. */
  open(sources: XdsSources): void {
    if (sources.ads !== undefined) this.#clients.set(ADS, sources.ads);
  }

  close(): void {
    for (const subscription of this.#watches.values()) subscription.close();
    this.#watches.clear();
  }

  #withClient(key: SubscriptionKey, use: (client: XdsClient) => void): void {
    const known = this.#clients.get(key.source);
    if (known !== undefined) {
      use(known);
      return;
    }
    const open = (sources: XdsSources): void => {
      const client = this.#clients.get(key.source) ?? this.#open(sources, key);
      if (client !== undefined) use(client);
    };
    const sources = this.#deps.sources();
    if (sources instanceof Promise)
      sources.then(open).catch((error: unknown) => this.#deps.log.error(`${key.name}: ${String(error)}`));
    else open(sources);
  }

  #open(sources: XdsSources, { source, typeUrl, name }: SubscriptionKey): XdsClient | undefined {
    const message = fromBinary(
      schema<ConfigSource>("envoy.config.core.v3.ConfigSource"),
      Buffer.from(source, "base64"),
    );
    const opened = sources.open(message, typeUrl, name);
    if (opened.value === undefined)
      this.#deps.log.error(`${typeUrl} ${name}: ${opened.problems.map(formatProblem).join("; ")}`);
    else this.#clients.set(source, opened.value.client);
    return opened.value?.client;
  }

  /** The stream is asked when the last worker is ready: all of them hear the first response. */
  #subscribeAll(line: MainLine, key: SubscriptionKey, client: XdsClient): void {
    const { lines } = this.#deps;
    const id = keyText(key);
    const ready = this.#wildcards.get(id) ?? new Set();
    this.#wildcards.set(id, ready);
    ready.add(line);
    if (ready.size < lines.length || this.#watches.has(id)) return;
    const followers = FOLLOWERS[key.typeUrl] ?? [];
    const ads = this.#clients.get(ADS);
    const subscription = client.wildcard(
      key.typeUrl,
      {
        stats: this.#failuresOf(key),
        onUpdate: (added, removed) => {
          for (const type of followers) ads?.pause(type);
          const rejected = this.#update(lines, key, added, removed);
          for (const type of followers.toReversed()) ads?.resume(type);
          return rejected;
        },
        onFetchTimeout() {
          // Each worker has a timer of its own.
        },
      },
      0,
    );
    this.#watches.set(id, subscription);
  }

  #watch(line: MainLine, key: SubscriptionKey, client: XdsClient): void {
    const id = this.#watchId(line, key);
    this.#watches.get(id)?.close();
    const { source, typeUrl, name } = key;
    const subscription = client.resource(
      typeUrl,
      name,
      {
        stats: this.#failuresOf(key),
        onResource: (resource) => this.#update([line], key, [resource], []).flatMap(({ problems }) => problems),
        onAbsent: () => line.tell("update", { source, typeUrl, resources: [], removed: [name] }),
        onRejected: (problems) => line.tell("refused", { ...key, problems }),
      },
      0,
    );
    this.#watches.set(id, subscription);
  }

  #update(
    lines: readonly MainLine[],
    { source, typeUrl }: SubscriptionKey,
    added: readonly XdsResource[],
    removed: readonly string[],
  ): readonly RejectedResource[] {
    const resources = added.map(({ name, version, message }) => ({ name, version, bytes: this.#bytesOf(message) }));
    const answers = Line.askNow<MainOperations, WorkerOperations, "update">(lines, "update", {
      source,
      typeUrl,
      resources,
      removed,
    });
    const rejected = new Map<string, RejectedResource>();
    for (const one of answers.flat()) if (!rejected.has(one.name)) rejected.set(one.name, one);
    for (const { name } of rejected.values())
      if (answers.some((refused) => !refused.some((one) => one.name === name)))
        this.#deps.log.error(`${typeUrl} ${name}: refused by one worker and taken by another`);
    return [...rejected.values()];
  }

  /** Once a message, however many workers get it. */
  #bytesOf(message: Message): Uint8Array {
    let bytes = this.#bytes.get(message);
    if (bytes === undefined) {
      bytes = toBinary(descOf(message), message);
      this.#bytes.set(message, bytes);
    }
    return bytes;
  }

  /** Workers count what they apply; that a stream has ended only the main thread sees. */
  #failuresOf({ source, typeUrl }: SubscriptionKey): SubscriptionStats {
    const updateFailure: Counter = {
      ...NO_COUNTER,
      inc: () => {
        const key = `${source} ${typeUrl}`;
        if (this.#disconnected.has(key)) return;
        this.#disconnected.add(key);
        queueMicrotask(() => {
          this.#disconnected.delete(key);
          for (const line of this.#deps.lines) line.tell("disconnected", { source, typeUrl });
        });
      },
    };
    return { ...NO_STATS, updateFailure };
  }

  #watchId(line: MainLine, key: SubscriptionKey): string {
    return `${this.#deps.lines.indexOf(line)} ${keyText(key)}`;
  }
}

function keyText({ source, typeUrl, name }: SubscriptionKey): string {
  return `${source} ${typeUrl} ${name}`;
}

const NO_COUNTER: Counter = { name: "", value: 0, inc() {}, add() {} };
const NO_GAUGE: Gauge = { name: "", value: 0, set() {}, inc() {}, dec() {}, add() {} };
const NO_HISTOGRAM: Histogram = { name: "", record() {} };
const NO_TEXT: TextReadout = { name: "", value: "" };
const NO_STATS: SubscriptionStats = {
  updateAttempt: NO_COUNTER,
  updateSuccess: NO_COUNTER,
  updateFailure: NO_COUNTER,
  updateRejected: NO_COUNTER,
  initFetchTimeout: NO_COUNTER,
  updateTime: NO_GAUGE,
  version: NO_GAUGE,
  versionText: NO_TEXT,
  updateDuration: NO_HISTOGRAM,
};
