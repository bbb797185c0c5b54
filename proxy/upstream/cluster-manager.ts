/** All clusters of a proxy: active ones, and new or changed ones that are warming (X-57 … ). */
import { toBinary, type Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import { xxHash64 } from "#lib/xxhash64.ts";
import { descOf } from "#protos/registry.ts";
import type { Cluster as ClusterMessage } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import { FieldNames } from "../http/http1/field-names.ts";
import type { NodeInfo } from "../http/filter.ts";
import type { StatsScope } from "../observability/stats.ts";
import type { SharedCells } from "../workers/shared-cells.ts";
import type { XdsClient } from "../xds/types.ts";
import type { ClusterDirectory } from "./aggregate.ts";
import { ClusterEntry, type EjectedHost } from "./cluster.ts";
import { observabilityNameOf, parseCluster } from "./config/parse-cluster.ts";
import { codecFactory } from "./pool/create-codec.ts";
import type { LocalCluster } from "./load-balancing/zone-aware.ts";
import type { UpstreamTransportFactory } from "./transport-selector.ts";
import type { Cluster, ClusterManager } from "./types.ts";

export interface ClusterManagerDeps {
  readonly runtime: Runtime;
  /** The root: statistics go below `cluster_manager.` and `cluster.<name>.`. */
  readonly scope: StatsScope;
  readonly node: NodeInfo;
  readonly transports: UpstreamTransportFactory;
  /** Without it, clusters of type EDS are refused. */
  readonly xds?: XdsClient | undefined;
  /** `cluster_manager.local_cluster_name`; "" or absent: none, and no zone aware routing. */
  readonly localClusterName?: string | undefined;
  /** File of `cluster_manager.outlier_detection`; "" or absent: none. */
  readonly outlierEventLog?: string | undefined;
  /** Appends a line to a file: event logs of health checks. */
  readonly writeLine?: ((path: string, line: string) => void) | undefined;
  /** Hears of hosts that outlier detection ejects: the other threads of the process are to eject them as well. */
  readonly onEjected?: ((ejected: EjectedHost) => void) | undefined;
  /** Circuit breakers count for the whole process; absent: this thread serves alone. */
  readonly sharedCells?: SharedCells | undefined;
}

/** A cluster as the admin pages show it. */
export interface ManagedCluster {
  readonly name: string;
  readonly cluster: ClusterEntry;
  readonly message: Message;
  readonly version: string;
  readonly lastUpdatedMs: number;
  readonly isDynamic: boolean;
  readonly state: "active" | "warming";
}

export interface ClusterManagerShell extends ClusterManager {
  /**
   * Adds a cluster or changes one; what is in force stays until the new one is warm. Problems of level `error` mean that
   * nothing was done. `dynamic`: from CDS, which may not change clusters of the bootstrap.
   */
  addOrUpdate(message: Message, version: string, options: { readonly dynamic: boolean }): Parsed<void>;
  /** Removes a cluster that came by CDS; false when there is none of this name. */
  remove(name: string): boolean;
  /** Calls back once no cluster is warming; at once when none is. */
  onceInitialized(callback: () => void): void;
  /** Another thread of the process has ejected a host. */
  adoptEjection(ejected: EjectedHost): void;
  /** Active clusters, then warming ones. */
  all(): readonly ManagedCluster[];
  close(): void;
}

/** Makes the cluster manager of one proxy. */
export function createClusterManager(deps: ClusterManagerDeps): ClusterManagerShell {
  return new Manager(deps);
}

interface Managed extends ManagedCluster {
  readonly hash: bigint;
  state: "active" | "warming";
}

/** Equal messages have equal hashes. */
function hashOf(message: Message): bigint {
  const { buffer, byteOffset, length } = toBinary(descOf(message), message);
  return xxHash64(Buffer.from(buffer, byteOffset, length).toString("latin1"));
}

class Manager implements ClusterManagerShell {
  readonly #deps: ClusterManagerDeps;
  readonly #names = new FieldNames();
  readonly #active = new Map<string, Managed>();
  readonly #warming = new Map<string, Managed>();
  readonly #stats: ManagerStats;
  readonly #clusterScope: StatsScope;
  #waiting: (() => void)[] = [];
  readonly #directory: ClusterDirectory & { version: number };
  /** Undefined: the bootstrap names no local cluster. */
  readonly #local: (LocalCluster & { version: number }) | undefined;

  constructor(deps: ClusterManagerDeps) {
    this.#deps = deps;
    this.#stats = new ManagerStats(deps.scope.scope("cluster_manager"));
    this.#clusterScope = deps.scope.scope("cluster");
    this.#directory = { version: 0, get: (name) => this.#active.get(name)?.cluster };
    const { localClusterName = "", node } = deps;
    if (localClusterName !== "")
      this.#local = {
        locality: node.locality,
        version: 0,
        hosts: () => this.#active.get(localClusterName)?.cluster.hostSets[0],
      };
  }

  get(name: string): Cluster | undefined {
    return this.#active.get(name)?.cluster;
  }

  addOrUpdate(message: Message, version: string, { dynamic }: { readonly dynamic: boolean }): Parsed<void> {
    const { name } = message as ClusterMessage;
    const active = this.#active.get(name);
    const warming = this.#warming.get(name);
    const known = warming ?? active;
    if (known !== undefined && dynamic && !known.isDynamic) {
      const text = "it is a cluster of the bootstrap, which CDS cannot change; the update is ignored";
      return {
        problems: [{ code: "static-cluster", level: "warning", path: "", object: `cluster ${name}`, message: text }],
      };
    }
    const hash = hashOf(message);
    if (known?.hash === hash) return { problems: [] };
    const { cluster, problems } = this.#create(message);
    if (cluster === undefined) return { problems };
    if (warming !== undefined) this.#drop(warming);
    (known === undefined ? this.#stats.added : this.#stats.modified).inc();
    this.#stats.updated.inc();
    const managed: Managed = {
      name,
      cluster,
      message,
      version,
      lastUpdatedMs: this.#deps.runtime.clock.now(),
      isDynamic: dynamic,
      state: "warming",
      hash,
    };
    this.#warming.set(name, managed);
    this.#count();
    cluster.start(() => this.#activate(managed));
    return { problems };
  }

  remove(name: string): boolean {
    const active = this.#active.get(name);
    const warming = this.#warming.get(name);
    const known = active ?? warming;
    if (known === undefined || !known.isDynamic) return false;
    if (active !== undefined) this.#drop(active);
    if (warming !== undefined) this.#drop(warming);
    this.#stats.removed.inc();
    this.#count();
    this.#callWaiting();
    return true;
  }

  onceInitialized(callback: () => void): void {
    this.#waiting.push(callback);
    this.#callWaiting();
  }

  adoptEjection(ejected: EjectedHost): void {
    this.#active.get(ejected.cluster)?.cluster.adoptEjection(ejected);
  }

  all(): readonly ManagedCluster[] {
    return [...this.#active.values(), ...this.#warming.values()];
  }

  close(): void {
    for (const managed of this.all()) managed.cluster.close();
    this.#active.clear();
    this.#warming.clear();
  }

  #create(message: Message): { readonly cluster?: ClusterEntry; readonly problems: readonly Problem[] } {
    const { runtime, transports, xds, writeLine, sharedCells, onEjected } = this.#deps;
    // Owned by the cluster from here on: it lets go of it in `close`.
    const own = this.#clusterScope.scope(observabilityNameOf(message as ClusterMessage));
    const { value: config, problems } = parseCluster(message, { transports, scope: own });
    if (config === undefined) {
      own.dispose();
      return { problems };
    }
    if (config.discovery.kind === "eds" && xds === undefined) {
      config.transports.close();
      own.dispose();
      const text = "an EDS cluster needs a management server: the bootstrap has no ads_config";
      return {
        problems: [
          {
            code: "invalid-value",
            level: "error",
            path: "eds_cluster_config",
            object: `cluster ${config.name}`,
            message: text,
          },
        ],
      };
    }
    const codecs = codecFactory(config.http, this.#names, runtime, own);
    const cluster = new ClusterEntry(config, {
      runtime,
      scope: own,
      xds,
      codecs,
      writeLine,
      sharedCells,
      onEjected,
      local: this.#local,
      outlierLog: this.#outlierLog(),
      directory: this.#directory,
      rootScope: this.#deps.scope,
      onHosts: () => this.#hostsChanged(config.name),
    });
    return { cluster, problems };
  }

  #outlierLog(): ((line: string) => void) | undefined {
    const { outlierEventLog = "", writeLine } = this.#deps;
    return outlierEventLog === "" ? undefined : (line) => writeLine?.(outlierEventLog, line);
  }

  #hostsChanged(name: string): void {
    this.#directory.version++;
    if (this.#local !== undefined && name === this.#deps.localClusterName) this.#local.version++;
  }

  /** The swap: what comes after goes to the new one, what is under way stays with the old one. */
  #activate(managed: Managed): void {
    if (this.#warming.get(managed.name) !== managed) return;
    const old = this.#active.get(managed.name);
    this.#warming.delete(managed.name);
    managed.state = "active";
    this.#active.set(managed.name, managed);
    old?.cluster.close();
    this.#hostsChanged(managed.name);
    this.#count();
    this.#callWaiting();
  }

  #drop(managed: Managed): void {
    (managed.state === "active" ? this.#active : this.#warming).delete(managed.name);
    this.#hostsChanged(managed.name);
    managed.cluster.close();
  }

  #count(): void {
    this.#stats.active.set(this.#active.size);
    this.#stats.warming.set(this.#warming.size);
  }

  #callWaiting(): void {
    for (const { cluster } of this.#warming.values()) if (cluster.config.waitsForWarming) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }
}

class ManagerStats {
  readonly added;
  readonly modified;
  readonly removed;
  readonly updated;
  readonly active;
  readonly warming;

  constructor(scope: StatsScope) {
    this.added = scope.counter("cluster_added");
    this.modified = scope.counter("cluster_modified");
    this.removed = scope.counter("cluster_removed");
    this.updated = scope.counter("cluster_updated");
    this.active = scope.gauge("active_clusters");
    this.warming = scope.gauge("warming_clusters");
  }
}
