/** What the main thread and its workers ask of each other. */
import type { Problem } from "#lib/problem.ts";
import type { LogLevel } from "#lib/runtime.ts";
import type { AdminParameter } from "../admin/endpoint.ts";
import type { ClusterView } from "../admin/clusters-endpoint.ts";
import type { ProxyOptions } from "../options.ts";
import type { Secret } from "../tls/types.ts";
import type { EjectedHost } from "../upstream/cluster.ts";
import type { RejectedResource } from "../xds/types.ts";
import type { StatsSnapshot } from "./stats-snapshot.ts";

/** What a worker is started with. */
export interface WorkerSeed {
  readonly index: number;
  readonly count: number;
  readonly options: ProxyOptions;
  /** As the main thread has read it; undefined: only `--config-yaml`. */
  readonly bootstrap: string | undefined;
  /** Process-wide counts. */
  readonly memory: SharedArrayBuffer;
  readonly bell: Int32Array;
}

/** A resource on one stream: `source` is `ads`, or the serialized `config_source` in base64. */
export interface SubscriptionKey {
  readonly source: string;
  readonly typeUrl: string;
  /** `*`: all of the type. */
  readonly name: string;
}

export interface RelayedUpdate {
  readonly source: string;
  readonly typeUrl: string;
  readonly resources: readonly { readonly name: string; readonly version: string; readonly bytes: Uint8Array }[];
  readonly removed: readonly string[];
}

export interface PageQuestion {
  readonly path: string;
  readonly method: string;
  readonly query: string;
}

export interface PageAnswer {
  readonly status?: number;
  readonly contentType?: string;
  readonly body: string;
}

export interface PageHead {
  readonly path: string;
  readonly help: string;
  readonly mutates: boolean;
  readonly parameters: readonly AdminParameter[];
}

interface Call<Takes, Gives = void> {
  readonly takes: Takes;
  readonly gives: Gives;
}

/** Answered by a worker. */
export type WorkerOperations = {
  /** Reads the bootstrap; fails with what is wrong in it. */
  readonly create: Call<undefined>;
  readonly start: Call<undefined>;
  /** Applies resources and answers which are refused. */
  readonly update: Call<RelayedUpdate, readonly RejectedResource[]>;
  /** A resource that can't be read. */
  readonly refused: Call<SubscriptionKey & { readonly problems: readonly Problem[] }>;
  /** The stream ended, or could not be opened. */
  readonly disconnected: Call<{ readonly source: string; readonly typeUrl: string }>;
  readonly secret: Call<{ readonly name: string; readonly secret: Secret }>;
  readonly pages: Call<undefined, readonly PageHead[]>;
  readonly page: Call<PageQuestion, PageAnswer>;
  readonly stats: Call<undefined, StatsSnapshot>;
  readonly clusters: Call<undefined, readonly ClusterView[]>;
  /** Closes the interval of every histogram. */
  readonly flush: Call<undefined>;
  /** All workers accept. */
  readonly listening: Call<undefined>;
  readonly levels: Call<readonly (readonly [component: string, level: LogLevel])[]>;
  /** Another worker has ejected a host. */
  readonly ejected: Call<EjectedHost>;
  readonly drainAndStop: Call<undefined>;
  readonly stop: Call<undefined>;
  readonly reopenLogs: Call<undefined>;
};

/** Answered by the main thread. */
export type MainOperations = {
  readonly subscribe: Call<SubscriptionKey>;
  readonly unsubscribe: Call<SubscriptionKey>;
  readonly pause: Call<{ readonly source: string; readonly typeUrl: string }>;
  readonly resume: Call<{ readonly source: string; readonly typeUrl: string }>;
  readonly identity: Call<{ readonly name: string }>;
  readonly log: Call<string>;
  /** The port of a listener that leaves it open; 0: bind to any, and say `bound`. */
  readonly port: Call<string, number>;
  /** 0: it could not be had. */
  readonly bound: Call<{ readonly key: string; readonly port: number }>;
  readonly released: Call<string>;
  /** Outlier detection of this worker has ejected a host. */
  readonly ejected: Call<EjectedHost>;
  /** The listeners of this worker accept. */
  readonly accepting: Call<undefined>;
  readonly dead: Call<{ readonly message: string; readonly problems: readonly Problem[] }>;
  readonly stopped: Call<undefined>;
};
