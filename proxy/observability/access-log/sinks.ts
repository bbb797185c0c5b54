/** The access logs of one proxy: files that are opened once each, and collectors behind clusters. */
import type { Runtime } from "#lib/runtime.ts";
import type { NodeInfo } from "../../http/filter.ts";
import type { RuntimeSnapshot } from "../../runtime-layers.ts";
import type { ClusterManager } from "../../upstream/types.ts";
import type { SharedCells } from "../../workers/shared-cells.ts";
import type { StatsScope } from "../stats.ts";
import { formatEnvironment } from "./format.ts";
import { FileLock, fileStats, LogFile } from "./log-file.ts";
import type { AccessLogFilter, AccessLogger, AccessLogHost, AccessLogSinks, FormatContext } from "./types.ts";

export interface AccessLogs extends AccessLogSinks {
  /** Appends a line, without its end, to a file that is not an access log: an event log. */
  writeLine(path: string, line: string): void;
  /** Opens every file anew (log rotation); a file that can't be opened keeps its old descriptor. */
  reopen(): void;
  /** Writes what is gathered and closes the files. */
  close(): Promise<void>;
}

export interface AccessLogsDeps {
  readonly runtime: Runtime;
  readonly scope: StatsScope;
  readonly clusters: ClusterManager;
  readonly node: NodeInfo;
  /** `--file-flush-interval-msec`. */
  readonly flushIntervalMs: number;
  readonly runtimeSnapshot?: RuntimeSnapshot | undefined;
  /** Other threads write to the same files; absent: this thread serves alone. */
  readonly sharedCells?: SharedCells | undefined;
}

/** The access logs of one proxy. */
export function createAccessLogs(deps: AccessLogsDeps): AccessLogs {
  const { runtime, scope, clusters, node, flushIntervalMs, runtimeSnapshot } = deps;
  const files = new Map<string, LogFile>();
  const stats = fileStats(scope);
  const lockOf = (path: string): FileLock | undefined =>
    deps.sharedCells === undefined ? undefined : new FileLock(deps.sharedCells.of(`log file ${path}`));
  const host: AccessLogHost = {
    runtime,
    scope,
    clusters,
    node,
    environment: formatEnvironment(runtime),
    file(path) {
      let file = files.get(path);
      if (file === undefined) {
        file = new LogFile(path, runtime, stats, flushIntervalMs, lockOf(path));
        files.set(path, file);
      }
      return file;
    },
  };
  return {
    logger(configs) {
      const logs = configs.map(({ open, filter }) => {
        const log = open(host);
        return filter === undefined ? log : new FilteredLog(log, filter(runtime.random, runtimeSnapshot));
      });
      const [only] = logs;
      return logs.length > 1 ? new SeveralLogs(logs) : only;
    },
    writeLine: (path, line) => host.file(path).append(`${line}\n`),
    reopen() {
      for (const file of files.values()) file.reopen();
    },
    async close() {
      const open = [...files.values()];
      files.clear();
      await Promise.all(open.map((file) => file.close()));
    },
  };
}

class FilteredLog implements AccessLogger {
  readonly #log: AccessLogger;
  readonly #filter: AccessLogFilter;
  constructor(log: AccessLogger, filter: AccessLogFilter) {
    this.#log = log;
    this.#filter = filter;
  }
  log(context: FormatContext): void {
    if (this.#filter(context)) this.#log.log(context);
  }
}

class SeveralLogs implements AccessLogger {
  readonly #logs: readonly AccessLogger[];
  constructor(logs: readonly AccessLogger[]) {
    this.#logs = logs;
  }
  log(context: FormatContext): void {
    for (const log of this.#logs) log.log(context);
  }
}
