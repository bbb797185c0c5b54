/** A cluster manager in a simulated world, with HTTP/1.1 servers to talk to. */
import type { Connection } from "#lib/connection.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { HeaderMap } from "../../http/header-map.ts";
import type { Protocol, ResetReason, StreamDecoder, StreamEncoder } from "../../http/codec.ts";
import { createStatsStore, type StatsStore } from "../../observability/stats-store.ts";
import { createTransportFactory } from "../../tls/transport-factory.ts";
import type { ResourceWatcher, XdsClient } from "../../xds/types.ts";
import { createClusterManager, type ClusterManagerShell } from "../cluster-manager.ts";
import type { ClusterEntry } from "../cluster.ts";
import type { Host, PoolCallbacks, PoolFailureReason, PoolOptions, PoolRequest } from "../types.ts";

export interface World {
  readonly runtime: SimulatedRuntime;
  readonly store: StatsStore;
  readonly manager: ClusterManagerShell;
  readonly xds: FakeXds;
  /** Lines of event logs, with the file's path before them. */
  readonly lines: readonly string[];
  /** Adds or changes a cluster given as JSON; the problems it has. */
  add(json: object, dynamic?: boolean): readonly Problem[];
  cluster(name: string): ClusterEntry;
  counter(name: string): number;
  gauge(name: string): number;
}

/** `localCluster`: the name of the cluster that the proxy itself belongs to; it runs in zone `z1`. */
export function createWorld(seed = 1, localCluster = ""): World {
  const runtime = simulatedRuntime({ seed });
  const store = createStatsStore();
  const xds = new FakeXds();
  const lines: string[] = [];
  const manager = createClusterManager({
    runtime,
    scope: store.root,
    node: {
      id: "test",
      cluster: "test",
      metadata: {},
      locality: { region: "", zone: localCluster === "" ? "" : "z1", subZone: "" },
    },
    localClusterName: localCluster,
    outlierEventLog: "outliers",
    transports: createTransportFactory({
      runtime,
      scope: store.root,
      secrets: { subscribe: () => ({ close() {} }) },
    }),
    xds,
    writeLine: (path, line) => void lines.push(`${path} ${line}`),
  });
  const value = (stats: readonly { readonly name: string; readonly value: number }[], name: string): number =>
    stats.find((stat) => stat.name === name)?.value ?? 0;
  return {
    runtime,
    store,
    manager,
    xds,
    lines,
    add: (json, dynamic = true) =>
      manager.addOrUpdate(messageOf("envoy.config.cluster.v3.Cluster", json), "1", { dynamic }).problems,
    cluster(name) {
      const found = manager.get(name);
      if (found === undefined) throw new Error(`no active cluster ${name}`);
      return found as ClusterEntry;
    },
    counter: (name) => value(store.counters(), name),
    gauge: (name) => value(store.gauges(), name),
  };
}

export function messageOf(typeName: string, json: object): Message {
  const { value, problems } = messageFromJson(typeName, json);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value;
}

/** Holds watchers; `answer` plays the server. */
export class FakeXds implements XdsClient {
  readonly watchers: Map<string, ResourceWatcher> = new Map();
  readonly pauses: string[] = [];

  wildcard(): { close(): void } {
    return { close() {} };
  }

  resource(_typeUrl: string, name: string, watcher: ResourceWatcher): { close(): void } {
    this.watchers.set(name, watcher);
    return {
      close: () => {
        if (this.watchers.get(name) === watcher) this.watchers.delete(name);
      },
    };
  }

  /** Sends a ClusterLoadAssignment. */
  answer(name: string, json: object): readonly Problem[] {
    const message = messageOf("envoy.config.endpoint.v3.ClusterLoadAssignment", { clusterName: name, ...json });
    return this.watchers.get(name)?.onResource({ name, version: "1", message }) ?? [];
  }

  pause(typeUrl: string): void {
    this.pauses.push(`pause ${typeUrl}`);
  }
  resume(typeUrl: string): void {
    this.pauses.push(`resume ${typeUrl}`);
  }
  close(): void {}
}

/** `lb_endpoints` of addresses. */
export function endpointsOf(...addresses: string[]): object[] {
  return addresses.map((text) => {
    const colon = text.lastIndexOf(":");
    const socketAddress = { address: text.slice(0, colon), portValue: Number(text.slice(colon + 1)) };
    return { endpoint: { address: { socketAddress } } };
  });
}

/** A STATIC cluster of these addresses. */
export function staticCluster(name: string, addresses: readonly string[], extra: object = {}): object {
  return {
    name,
    connectTimeout: "1s",
    loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: endpointsOf(...addresses) }] },
    ...extra,
  };
}

/** An HTTP/1.1 server that answers each request with 200, or holds it. */
export class TestServer {
  readonly connections: Connection[] = [];
  /** Heads of requests, in order. */
  readonly requests: string[] = [];
  isHolding = false;
  /** What a request is answered with. */
  response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

  static async listen(runtime: SimulatedRuntime, address: string, port: number): Promise<TestServer> {
    const server = new TestServer();
    await runtime.at(address).network.listen({ address: { kind: "ip", address, port } }, (connection) => {
      server.connections.push(connection);
      connection.handler = {
        onData(chunk) {
          server.requests.push(chunk.toString("latin1"));
          if (!server.isHolding) connection.write(server.response);
        },
        onEnd: () => connection.end(),
        onClose: () => server.connections.splice(server.connections.indexOf(connection), 1),
      };
    });
    return server;
  }
}

export const http1: PoolOptions = { priority: "default", protocol: "http1" };

/** One request over a pool, with everything that came of it. */
export class TestRequest implements StreamDecoder, PoolCallbacks {
  status = 0;
  body = "";
  isComplete = false;
  reset: ResetReason | undefined = undefined;
  failure: PoolFailureReason | undefined = undefined;
  failureText = "";
  host: Host | undefined = undefined;
  connection: Connection | undefined = undefined;
  protocol: Protocol | undefined = undefined;
  encoder: StreamEncoder | undefined = undefined;
  waiting: PoolRequest | undefined;

  constructor(cluster: ClusterEntry, host: Host, options: PoolOptions = http1) {
    this.waiting = cluster.httpPool(host, options).newStream(this, this);
  }

  onPoolReady(encoder: StreamEncoder, host: Host, connection: Connection, protocol: Protocol): void {
    this.encoder = encoder;
    this.host = host;
    this.connection = connection;
    this.protocol = protocol;
    const headers = HeaderMap.of({ ":method": "GET", ":path": "/", ":authority": "test", ":scheme": "http" });
    encoder.sendHeaders(headers, true);
  }
  onPoolFailure(reason: PoolFailureReason, text: string): void {
    this.failure = reason;
    this.failureText = text;
  }
  onHeaders(headers: HeaderMap, endStream: boolean): void {
    this.status = headers.status;
    this.isComplete = endStream;
  }
  onData(chunk: Buffer, endStream: boolean): void {
    this.body += chunk.toString("latin1");
    this.isComplete ||= endStream;
  }
  onTrailers(): void {
    this.isComplete = true;
  }
  onReset(reason: ResetReason): void {
    this.reset = reason;
  }
  onWritable(): void {}
}

/** A request to whichever host the balancer chooses. */
export function request(cluster: ClusterEntry, options: PoolOptions = http1): TestRequest {
  const host = cluster.chooseHost({});
  if (host === undefined) throw new Error("no healthy upstream");
  return new TestRequest(cluster, host, options);
}
