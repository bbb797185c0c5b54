/** A cluster for tests of the HTTP room: hosts in turn, a pool that keeps idle connections, the real client codec. */
import { formatAddress, type Connection, type SocketAddress } from "#lib/connection.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { StatsScope } from "../../observability/stats.ts";
import { TrafficStats } from "../../upstream/cluster-stats.ts";
import { createResourceManager, defaultThresholds } from "../../upstream/resource-manager.ts";
import type {
  Cluster,
  Host,
  HttpPool,
  LbContext,
  PoolCallbacks,
  PoolRequest,
  ResourceManager,
} from "../../upstream/types.ts";
import type { ClientCodec, StreamDecoder } from "../codec.ts";
import { createHttp1ClientCodec, defaultHttp1ClientOptions } from "../http1/client-codec.ts";
import { FieldNames } from "../http1/field-names.ts";
import { createHttp2ClientCodec, defaultHttp2ClientOptions } from "../http2/client-codec.ts";

export interface FakeClusterOptions {
  readonly name: string;
  readonly runtime: Runtime;
  readonly scope: StatsScope;
  readonly addresses: readonly SocketAddress[];
  readonly protocol?: "http1" | "http2";
  /** Of HTTP/1.1. */
  readonly enableTrailers?: boolean;
  readonly metadata?: Cluster["metadata"];
  readonly maxRetries?: number;
}

export class FakeCluster implements Cluster {
  readonly name: string;
  readonly observabilityName: string;
  readonly metadata: Cluster["metadata"];
  readonly scope: StatsScope;
  readonly stats: TrafficStats;
  readonly connectTimeoutMs = 5000;
  readonly httpOptions = {
    maxResponseHeadersKb: 60,
    maxResponseHeadersCount: 100,
    autoSni: false,
    autoSanValidation: false,
  };
  isMaintenance = false;
  dropOverload: Cluster["dropOverload"] = undefined;
  hosts: readonly FakeHost[];
  readonly #resources: ResourceManager;
  readonly #options: FakeClusterOptions;
  readonly #pools = new Map<string, FakePool>();
  #next = 0;

  constructor(options: FakeClusterOptions) {
    this.#options = options;
    this.name = options.name;
    this.observabilityName = options.name;
    this.metadata = options.metadata ?? {};
    this.scope = options.scope.scope("cluster").scope(options.name);
    this.stats = new TrafficStats(this.scope);
    const thresholds = { ...defaultThresholds, maxRetries: options.maxRetries ?? defaultThresholds.maxRetries };
    this.#resources = createResourceManager(thresholds, "default", this.scope);
    this.hosts = options.addresses.map((address) => new FakeHost(address));
  }

  resources(): ResourceManager {
    return this.#resources;
  }

  chooseHost(context: LbContext): Host | undefined {
    let host: FakeHost | undefined;
    for (let i = 0; i <= (context.hostSelectionRetryMaxAttempts ?? 1); i++) {
      host = this.hosts[this.#next++ % this.hosts.length];
      if (host === undefined || context.shouldSelectAnotherHost?.(host) !== true) return host;
    }
    return host;
  }

  httpPool(host: Host): HttpPool {
    let pool = this.#pools.get(host.addressText);
    if (pool === undefined) {
      pool = new FakePool(host, this.#options, this);
      this.#pools.set(host.addressText, pool);
    }
    return pool;
  }

  tcpConnect(): never {
    throw new Error("no TCP here");
  }

  upstreamProtocol(): "http1" | "http2" {
    return this.#options.protocol ?? "http1";
  }
}

export class FakeHost implements Host {
  readonly address: SocketAddress;
  readonly addressText: string;
  readonly hostname = "";
  weight = 1;
  readonly locality = { region: "", zone: "", subZone: "" };
  readonly priority = 0;
  metadata = {};
  readonly canary = false;
  readonly health = "healthy";
  readonly stats = {
    cxActive: 0,
    cxTotal: 0,
    cxConnectFail: 0,
    rqActive: 0,
    rqPendingActive: 0,
    rqError: 0,
    rqSuccess: 0,
    rqTimeout: 0,
    rqTotal: 0,
  };
  readonly outcomes: (number | string)[] = [];
  readonly outlier = {
    putHttpStatus: (status: number): void => void this.outcomes.push(status),
    putLocalOrigin: (result: string): void => void this.outcomes.push(result),
  };

  constructor(address: SocketAddress) {
    this.address = address;
    this.addressText = formatAddress(address);
  }
}

class FakePool implements HttpPool {
  readonly #host: Host;
  readonly #options: FakeClusterOptions;
  readonly #cluster: FakeCluster;
  readonly #idle: { readonly codec: ClientCodec; readonly connection: Connection }[] = [];
  readonly #names = new FieldNames();

  constructor(host: Host, options: FakeClusterOptions, cluster: FakeCluster) {
    this.#host = host;
    this.#options = options;
    this.#cluster = cluster;
  }

  newStream(decoder: StreamDecoder, callbacks: PoolCallbacks): PoolRequest | undefined {
    this.#cluster.stats.rqTotal.inc();
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (idle.codec.isDraining || idle.connection.isClosed) continue;
      callbacks.onPoolReady(idle.codec.newStream(decoder), this.#host, idle.connection, idle.codec.protocol);
      return undefined;
    }
    return this.#connect(decoder, callbacks);
  }

  #connect(decoder: StreamDecoder, callbacks: PoolCallbacks): PoolRequest {
    let codec: ClientCodec | undefined;
    let isCancelled = false;
    const connection = this.#options.runtime.network.connect(
      { address: this.#host.address },
      {
        onConnect: () => {
          const made = this.#codec(connection, () => {
            if (made.isDraining) connection.destroy();
            else this.#idle.push({ codec: made, connection });
          });
          codec = made;
          if (isCancelled) this.#idle.push({ codec, connection });
          else callbacks.onPoolReady(codec.newStream(decoder), this.#host, connection, codec.protocol);
        },
        onData: (chunk) => codec?.onData(chunk),
        onDrain: () => codec?.onDrain(),
        onEnd: () => connection.end(),
        onClose: (error) => {
          if (codec !== undefined) codec.onClose(error !== undefined);
          else if (!isCancelled) callbacks.onPoolFailure("remote connection failure", error?.message ?? "", this.#host);
        },
      },
    );
    return {
      cancel: () => {
        isCancelled = true;
      },
    };
  }

  #codec(connection: Connection, onStreamEnd: () => void): ClientCodec {
    const handler = { onStreamEnd, onGoAway: () => {}, onProtocolError: () => {} };
    return this.#options.protocol === "http2"
      ? createHttp2ClientCodec(connection, handler, defaultHttp2ClientOptions)
      : createHttp1ClientCodec(connection, handler, {
          ...defaultHttp1ClientOptions(this.#names),
          enableTrailers: this.#options.enableTrailers ?? false,
        });
  }
}
