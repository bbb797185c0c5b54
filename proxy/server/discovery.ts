/** What CDS and LDS do with a response: each good resource is applied, each bad one is refused by name. */
import type { Message } from "@bufbuild/protobuf";
import { MeshError, type Parsed, type Problem } from "#lib/problem.ts";
import type { Logger } from "#lib/runtime.ts";
import type { SubscriptionStats } from "../xds/subscription-stats.ts";
import type { RejectedResource, WildcardHandler, XdsResource } from "../xds/types.ts";
import type { ConfigRecords } from "./config-records.ts";

/** Clusters or listeners. */
export interface DiscoveryTarget {
  addOrUpdate(message: Message, version: string, options: { readonly dynamic: boolean }): Parsed<unknown>;
  remove(name: string): void;
}

export interface DiscoveryOptions {
  /** `cluster`, `listener`. */
  readonly kind: string;
  readonly target: DiscoveryTarget;
  readonly records: ConfigRecords;
  readonly stats: SubscriptionStats;
  readonly log: Logger;
  /** Around every response: holds back what the resources ask for in turn, so that it goes out as one request. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** After the first response, or when it did not come in time. */
  readonly onFirst: () => void;
}

/** The handler of one wildcard type. */
export function discoveryHandler(options: DiscoveryOptions): WildcardHandler {
  const { kind, target, records, stats, log } = options;
  let isFirst = true;
  const first = (): void => {
    if (!isFirst) return;
    isFirst = false;
    options.onFirst();
  };
  return {
    stats,
    onUpdate(added, removed) {
      options.pause();
      const rejected: RejectedResource[] = [];
      for (const name of removed) remove(name);
      for (const resource of added) apply(resource, rejected);
      options.resume();
      if (added.length > 0 || removed.length > 0)
        log.info(
          `${kind}s: ${added.length - rejected.length} added or updated, ${removed.length} removed, ${rejected.length} refused`,
        );
      first();
      return rejected;
    },
    onFetchTimeout() {
      log.warning(`no ${kind}s within initial_fetch_timeout; starting without them`);
      first();
    },
  };

  function apply({ name, message, version }: XdsResource, rejected: RejectedResource[]): void {
    if (records.fixed.has(name)) {
      log.warning(`${kind} ${name} is one of the bootstrap and stays as it is`);
      return;
    }
    const problems = applied(() => target.addOrUpdate(message, version, { dynamic: true }), log);
    const errors = problems.filter(({ level }) => level === "error");
    if (errors.length === 0) {
      records.versionInfo = version;
      records.accept(name, message, version);
      return;
    }
    records.refuse(name, message, version, errors);
    rejected.push({ name, problems: errors });
  }

  function remove(name: string): void {
    if (records.fixed.has(name)) return;
    target.remove(name);
    records.remove(name);
  }
}

/** A resource that can't be set up (a log file that can't be opened) is refused as one that can't be read. */
export function applied(apply: () => Parsed<unknown>, log: Logger): readonly Problem[] {
  try {
    return apply().problems;
  } catch (error) {
    if (error instanceof MeshError) {
      if (error.problems.length > 0) return error.problems;
      return [{ code: error.code, level: "error", path: "", message: error.message }];
    }
    log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return [{ code: "internal-error", level: "error", path: "", message: `internal error: ${String(error)}` }];
  }
}
