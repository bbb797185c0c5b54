/** What CDS and LDS do with a response: each good resource is applied, each bad one is refused by name. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed } from "#lib/problem.ts";
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
    const { problems } = target.addOrUpdate(message, version, { dynamic: true });
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
